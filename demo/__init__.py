"""The main job on real input: packages, provisioning, views, partitions, through real Airflow."""
