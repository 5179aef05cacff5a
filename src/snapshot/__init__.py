"""Snapshots: the network after an epoch, in Neon's file format."""
