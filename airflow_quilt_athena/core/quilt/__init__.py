"""Decisions about Quilt's tables and views: names, texts, revisions, drift."""
