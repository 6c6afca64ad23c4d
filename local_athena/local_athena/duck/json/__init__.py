"""JSON as Trino reads and writes it, for what DuckDB does otherwise."""
