"""The name under which users of the provider know the local Athena, which is a distribution of its own.

A local pass is not an AWS pass: what differs is listed in ``local_athena/docs/local-athena.md``.
"""

from local_athena import Call, Fault, LocalAthena

__all__ = ["Call", "Fault", "LocalAthena"]
