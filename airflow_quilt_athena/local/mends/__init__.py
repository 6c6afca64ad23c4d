"""What moto answers otherwise than AWS, mended in front of it; one thought a module.

A mend takes a request and what forwards it (to the next mend, and at last to moto), and answers. It runs
while its service is locked: what it checks is still true when it acts.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_quilt_athena.local.identity import Identities
from airflow_quilt_athena.local.wire import Mend


def build_mends(identities: Identities) -> Mapping[str, tuple[Mend, ...]]:
    """Give the mends of each service, the outermost first."""
    del identities
    return {}
