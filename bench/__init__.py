"""Benchmarks. Without this file bench.py would hide the folder from `import bench.loop`."""
