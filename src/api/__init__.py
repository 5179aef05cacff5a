"""Trained agents and their games for Python programs and notebooks: docs/python.md."""
