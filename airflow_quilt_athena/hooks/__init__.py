"""Hooks: one Airflow connection, turned into the boto3 clients a flow needs."""
