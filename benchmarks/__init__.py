"""Benchmarks: figures and ratios within one run, never timed tests."""
