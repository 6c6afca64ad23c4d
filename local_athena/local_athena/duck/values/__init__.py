"""Typed values in DuckDB's SQL: literals, operators, casts, and which type stands for which."""
