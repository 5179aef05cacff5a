"""Checkpoints, from which a run resumes exactly where it was."""
