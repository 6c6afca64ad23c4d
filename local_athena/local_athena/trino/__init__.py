"""The real engine: a Trino server whose Hive connector uses the local Glue and S3."""
