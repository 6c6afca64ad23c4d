"""Sensors: waiting for Athena as an Airflow task."""
