"""Alternatives to the default parts of the agent, each with its paper."""
