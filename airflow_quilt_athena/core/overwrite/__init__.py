"""Decisions of an insert overwrite: what is staged, what becomes of each partition, what is kept."""
