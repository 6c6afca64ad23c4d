"""The conformance table: statements by topic, the real Trino's answers, and a run of them on any endpoint."""
