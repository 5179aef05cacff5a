"""A run from the command line to its files: verbs, checks, checkpoints, results."""
