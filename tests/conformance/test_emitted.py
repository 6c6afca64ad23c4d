"""The table that the local Athena ships holds what the operators send now, word for word."""

from __future__ import annotations

from local_athena.conformance import table
from tests.conformance.emitted import emitted_statements


def test_the_statements_of_the_operators_are_those_that_their_builders_make() -> None:
    assert table.topics()["emitted"] == emitted_statements()
