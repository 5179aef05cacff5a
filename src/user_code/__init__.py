"""Code of the user's own: finding it, loading it, and whether it may run."""
