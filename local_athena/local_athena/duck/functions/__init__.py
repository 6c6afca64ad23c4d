"""Trino's functions: their signatures, and the DuckDB SQL of each."""
