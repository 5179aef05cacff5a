"""Pieces that can take the place of the default ones, each with its paper."""
