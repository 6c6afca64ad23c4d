"""The embedded engine: Trino SQL on Glue tables, run by DuckDB in this process."""
