"""From CSV files to curves."""
