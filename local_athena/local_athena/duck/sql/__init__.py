"""The analysis of a query: from Trino's parse tree to typed DuckDB SQL, clause by clause."""
