"""Queries that Hypothesis makes over Quilt's tables and views have the same rows on both engines.

What it finds becomes a statement of the conformance table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from local_athena import LocalAthena
from local_athena.conformance import table
from local_athena.conformance.lake import Lake

pytestmark = pytest.mark.trino

_QUERIES = 100
_QUILT = '"{database}_emitted"."{bucket}_quilt_%s"'
# By relation, its columns of each type; the views have more, of types that no expression here is made of.
_SOURCES = {
    "people": {"int": ["id", "age"], "text": ["name", "extra", '"$path"'], "date": ["born"]},
    "dates": {"int": ["id", "v"], "text": ['"$path"'], "date": ["dt"]},
    "nums": {"int": ["id", "n"], "text": ['"$path"'], "date": []},
    _QUILT % "manifests": {
        "int": [],
        "text": [
            "logical_key",
            '"size"',
            '"hash"."type"',
            "meta",
            "user_meta",
            "message",
            "version",
            '"$path"',
        ],
        "date": [],
    },
    _QUILT % "packages": {"int": [], "text": ["hash", '"$path"'], "date": []},
    _QUILT % "revisions": {
        "int": [],
        "text": ["pkg_name", "top_hash", "pointer", "message", "user_meta", "workflow"],
        "date": ["revision_date"],
    },
    _QUILT % "entries": {
        "int": ['"size"'],
        "text": [
            "pkg_name",
            "top_hash",
            "logical_key",
            "physical_key",
            '"key"',
            "version_id",
            "hash_type",
            "meta",
        ],
        "date": ["revision_date"],
    },
    _QUILT % "tags": {"int": [], "text": ["pkg_name", "tag_name", "top_hash"], "date": []},
    _QUILT % "objects_view": {
        "int": [],
        "text": ['"user"', "name", '"timestamp"', '"size"', "meta"],
        "date": [],
    },
}
_GROUPS = ("([a-z]+)/([^/]+)", "^s3://([^/]+)/(.*)$", "([.]quilt)?/")
_PATTERNS = (*_GROUPS, "[0-9]+", "(?i)KIND", "x*")
_TEXTS = ("", "a", "one", "user/one", "latest", "%", "A_b", "ž", "12", " 7 ")


@dataclass(frozen=True)
class Columns:
    """The columns that expressions may name, by type, as they are named in one query."""

    int: tuple[str, ...]
    text: tuple[str, ...]
    date: tuple[str, ...]


def _one_of(names: tuple[str, ...], others: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.sampled_from(names) | others if names else others


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _filled(template: str, *parts: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.tuples(*parts).map(lambda made: template.format(*made))


class Expressions:
    """Strategies of expressions over some columns; ``depth`` is how deep they nest at most."""

    def __init__(self, columns: Columns, depth: int) -> None:
        number, text = st.integers(-3, 40).map(str), st.sampled_from(_TEXTS).map(_quoted)
        day = st.sampled_from(["DATE '2023-11-14'", "DATE '2026-01-02'", "DATE '1999-12-31'"])
        self.int = _one_of(columns.int, number)
        self.text = _one_of(columns.text, text)
        self.date = _one_of(columns.date, day)
        self.bool = self._conditions()
        if depth:
            self._deepen(Expressions(columns, depth - 1), number, text)

    def _conditions(self) -> SearchStrategy[str]:
        sign = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"])
        sides = (self.int, self.text, self.date)
        return st.one_of(
            *(_filled("({} {} {})", side, sign, side) for side in sides),
            *(_filled("({} IS NULL)", side) for side in sides),
            *(_filled("({} BETWEEN {} AND {})", side, side, side) for side in sides),
            *(_filled("({} NOT IN ({}, {}))", side, side, side) for side in sides),
            _filled("({} LIKE {})", self.text, st.sampled_from(["'%a%'", "'s3://%/1%'", "'_'", "'%'"])),
            _filled("regexp_like({}, '{}')", self.text, st.sampled_from(_PATTERNS)),
        )

    def _deepen(self, inner: Expressions, number: SearchStrategy[str], text: SearchStrategy[str]) -> None:
        i, t, d, b = inner.int, inner.text, inner.date, inner.bool
        small, pattern = st.sampled_from(["1", "2", "3", "-2"]), st.sampled_from(_PATTERNS)
        self.int |= st.one_of(
            _filled("({} + {})", i, i),
            _filled("({} - {} * 3)", i, i),
            _filled("({} / {})", i, small),
            _filled("({} % {})", i, small),
            _filled("length({})", t),
            _filled("strpos({}, {})", t, text),
            _filled("coalesce({}, {})", i, number),
            _filled("nullif({}, {})", i, i),
            _filled("IF({}, {}, {})", b, i, i),
            _filled("TRY_CAST({} AS integer)", t),
            _filled("date_diff('day', {}, {})", d, d),
            _filled("year({})", d),
            _filled("cardinality(split({}, '/'))", t),
            _filled("json_array_length({})", t),
        )
        self.text |= st.one_of(
            _filled("lower({})", t),
            _filled("upper({})", t),
            _filled("substr({}, {}, 3)", t, small),
            _filled("({} || CAST({} AS varchar))", t, t),
            _filled("CAST({} AS varchar)", i),
            _filled("CAST({} AS varchar)", d),
            _filled("CAST({} AS varchar(3))", t),
            _filled("coalesce({}, {})", t, t),
            _filled("CASE WHEN {} THEN {} WHEN {} THEN {} END", b, t, b, t),
            _filled("regexp_extract({}, '{}')", t, pattern),
            _filled("regexp_extract({}, '{}', 1)", t, st.sampled_from(_GROUPS)),
            _filled("regexp_replace({}, '{}', '<$0>')", t, pattern),
            _filled("split_part({}, '/', 2)", t),
            _filled("replace({}, 'a', {})", t, text),
            _filled("json_extract_scalar({}, '$.user_meta.Kind')", t),
            _filled("array_join(array_sort(split({}, '/')), '+')", t),
        )
        self.date |= st.one_of(
            _filled("date_add('month', {}, {})", small, d),
            _filled("date_trunc('month', {})", d),
            _filled("({} + INTERVAL '40' DAY)", d),
            _filled("greatest({}, {})", d, d),
            _filled("TRY_CAST({} AS date)", t),
        )
        self.bool |= st.one_of(
            _filled("({} AND {})", b, b), _filled("({} OR {})", b, b), _filled("(NOT {})", b)
        )


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A SELECT over one relation or two: plain, grouped, cut off, or two of them set against each other."""
    names = draw(st.lists(st.sampled_from(sorted(_SOURCES)), min_size=1, max_size=2))
    columns = Columns(
        *(
            tuple(f"t{n}.{one}" for n, name in enumerate(names) for one in _SOURCES[name][kind])
            for kind in ("int", "text", "date")
        )
    )
    source = f"{names[0]} t0"
    flat = Expressions(columns, 1)
    if len(names) == 2:
        kind = draw(st.sampled_from(["JOIN", "LEFT JOIN", "FULL JOIN"]))
        on = _equality(columns, draw)
        source += f" {kind} {names[1]} t1 ON {on}"
    made = Expressions(columns, 2)
    kinds = draw(st.lists(st.sampled_from(["int", "text", "date", "bool"]), min_size=1, max_size=3))
    where = f" WHERE {draw(made.bool)}" if draw(st.booleans()) else ""
    shape = draw(st.sampled_from(["plain", "grouped", "cut", "set"]))
    if shape == "grouped":
        keys = [draw(getattr(flat, kind)) for kind in kinds]
        counted, summed, kept = draw(made.text), draw(made.int), draw(made.bool)
        shown = ", ".join(f"{key} AS k{n}" for n, key in enumerate(keys))
        groups = ", ".join(str(n + 1) for n in range(len(keys)))
        return (
            f"SELECT {shown}, count(*) AS n, count(DISTINCT {counted}) AS c, sum({summed}) AS s, "
            f"max({counted}) AS m, count_if({kept}) AS b FROM {source}{where} GROUP BY {groups} "
            "HAVING count(*) > 0"
        )
    items = [draw(getattr(made, kind)) for kind in kinds]
    select = f"SELECT {', '.join(f'{one} AS c{n}' for n, one in enumerate(items))} FROM {source}{where}"
    if shape == "cut":
        order = ", ".join(
            f"{n + 1} {draw(st.sampled_from(['ASC', 'DESC NULLS FIRST']))}" for n in range(len(items))
        )
        return f"{select} ORDER BY {order} LIMIT {draw(st.integers(0, 7))}"
    if shape == "set":
        word = draw(st.sampled_from(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]))
        others = ", ".join(draw(getattr(made, kind)) for kind in kinds)
        return f"{select} {word} SELECT {others} FROM {source}"
    return select


def _equality(columns: Columns, draw: st.DrawFn) -> str:
    """Return a condition between a column of each side, of a type that both have."""
    for kind in draw(st.permutations(["int", "text", "date"])):
        sides = [[one for one in getattr(columns, kind) if one.startswith(f"t{n}.")] for n in (0, 1)]
        if all(sides):
            return " = ".join(draw(st.sampled_from(side)) for side in sides)
    return "true"


# The last are tables that keep rows, which views stand on.
_MAKES = ("CREATE DATABASE", "CREATE EXTERNAL", "CREATE OR REPLACE VIEW", 'CREATE TABLE "{database}_kept"')


@pytest.fixture(scope="module")
def lakes(aws: LocalAthena) -> Iterator[tuple[Lake, Lake]]:
    """The same tables and views on DuckDB and on Trino."""
    with LocalAthena() as duckdb:
        both = Lake.on(duckdb.client, "made"), Lake.on(aws.client, "made")
        for lake in both:
            lake.answers(table.SET_UP)
            for sql in table.topics()["emitted"]:
                if sql.startswith(_MAKES):
                    assert "error" not in lake.answer(sql)
        yield both


@given(queries())
@example("SELECT count(*) AS n FROM people t0")
@settings(
    max_examples=_QUERIES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_a_made_query_has_the_same_rows_on_both_engines(lakes: tuple[Lake, Lake], sql: str) -> None:
    duckdb, trino = (lake.answer(sql) for lake in lakes)
    assert table.comparable(duckdb) == table.comparable(trino), f"{sql}\n{duckdb}\n{trino}"
