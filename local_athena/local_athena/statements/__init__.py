"""Athena's statements, told apart: each kind is run by a module of its own, on Glue and an engine."""
