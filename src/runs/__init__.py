"""A run: its plan, what is checked before it starts, its snapshots and scores."""
