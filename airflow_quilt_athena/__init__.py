"""Airflow provider for Quilt packages in S3, queried and written with Amazon Athena."""

__version__ = "0.1.0"
