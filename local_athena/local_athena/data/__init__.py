"""What statements and engines share: types, values as Athena prints them, tables in Glue, files in S3."""
