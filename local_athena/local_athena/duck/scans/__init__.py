"""The rows of Glue's tables: which partitions and files a query reads, and what it reads in them."""
