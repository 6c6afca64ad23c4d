"""Calls of AWS that every flow shares: clients, errors, deadlines, Glue, objects in S3."""
