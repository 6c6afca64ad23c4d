"""Quilt tables that keep rows: written by overwrites, from revisions found by a listing."""
