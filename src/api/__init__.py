"""Trained agents and their games for Python programs and notebooks; see docs/python.md."""
