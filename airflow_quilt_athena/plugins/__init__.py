"""Airflow plugins, found by their entry points."""
