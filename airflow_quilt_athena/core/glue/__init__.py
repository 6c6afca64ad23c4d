"""What Glue keeps, as values: places in S3, tables, partitions and their values."""
