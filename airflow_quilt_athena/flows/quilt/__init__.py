"""Quilt's tables and views in a database: created, refreshed, dropped; revisions found."""
