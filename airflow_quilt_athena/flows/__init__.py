"""Read, plan, apply on the boto3 clients handed in. Knows no Airflow."""
