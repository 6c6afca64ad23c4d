"""Operators: flows dressed as Airflow tasks."""
