"""Decisions, pure: text, documents and plans out of values. Standard library only; runs nothing."""
