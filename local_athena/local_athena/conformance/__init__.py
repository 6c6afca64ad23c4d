"""The conformance table: statements by topic, and the answers that the real Trino gave to them."""
