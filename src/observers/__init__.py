"""Callbacks that report on a run, warn, or stop it before damage is done."""
