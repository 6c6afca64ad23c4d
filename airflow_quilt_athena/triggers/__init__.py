"""Triggers: waiting for Athena in the triggerer. They wait and report, nothing else."""
