"""Revisions to be kept, cut into statements that Athena takes."""

from __future__ import annotations

from airflow_quilt_athena.core.quilt.kept import Held, Unit
from airflow_quilt_athena.flows.kept.keep_quilt_tables import cut_units


def held(count: int) -> dict[str, Held]:
    return {str(1_767_225_600 + number): Held("e", "a" * 64, "m") for number in range(count)}


def test_units_that_fit_one_statement_are_written_by_one() -> None:
    units = {Unit("2026-01-02", "team/a"): held(2), Unit("2026-01-01", "team/b"): held(3)}
    assert list(cut_units(units)) == [units]
    assert list(cut_units({})) == []


def test_a_statement_names_five_hundred_revisions_at_most() -> None:
    a, b, c = (Unit("2026-01-01", f"team/{name}") for name in "abc")
    cut = list(cut_units({a: held(300), b: held(200), c: held(1)}))
    assert [list(part) for part in cut] == [[a, b], [c]]


def test_long_names_take_more_statements() -> None:
    a, b = (Unit("2026-01-01", f"team/{name * 400}") for name in "ab")
    assert [list(part) for part in cut_units({a: held(100), b: held(100)})] == [[a], [b]]


def test_a_unit_whose_name_is_not_plain_has_a_statement_of_its_own() -> None:
    a, snow, z = (
        Unit("2026-01-01", "team/a"),
        Unit("2026-01-01", "team/\N{SNOWMAN}"),
        Unit("2026-01-01", "z/z"),
    )
    cut = list(cut_units({a: held(1), snow: held(1), z: held(1)}))
    assert [list(part) for part in cut] == [[snow], [a, z]]
