"""The embedded local Athena: the AWS wire protocol on loopback, SQL run for real.

A local pass is not an AWS pass: what differs is listed in ``docs/local-athena.md``.
"""

from airflow_quilt_athena.local.calls import Call
from airflow_quilt_athena.local.knobs import Fault
from airflow_quilt_athena.local.runner import LocalAthena

__all__ = ["Call", "Fault", "LocalAthena"]
