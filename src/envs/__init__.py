"""The worlds an agent can play in, and where their games run."""
