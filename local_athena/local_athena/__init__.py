"""The embedded local Athena: the AWS wire protocol on loopback, SQL run for real.

A local pass is not an AWS pass: what differs is listed in ``docs/local-athena.md``.
"""

from local_athena.process import LocalAthena
from local_athena.wire.call_log import Call
from local_athena.wire.faults import Fault

__all__ = ["Call", "Fault", "LocalAthena"]
