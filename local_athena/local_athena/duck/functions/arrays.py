"""Trino's functions on arrays, with their lambdas, and those that arrays and maps share, as DuckDB SQL."""

from __future__ import annotations

from collections.abc import Callable

from local_athena.data.types import YEAR_TO_MONTH
from local_athena.duck.functions.lambdas import inlined
from local_athena.duck.functions.signatures import FunctionCall, Signature, parse_signature, parse_table
from local_athena.duck.values.casts import text_of
from local_athena.duck.values.comparisons import equal
from local_athena.duck.values.snippets import ensure, fill, let, name, variable

HAS_NULL = "len(list_filter({0}, lambda e: e IS NULL)) > 0"
_DISTINCT = "list_filter({0}, lambda e, i: list_position({0}, e) = i)"
_SLICE = ensure(
    "{1} = 0",
    "'INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1'",
    ensure(
        "{2} < 0",
        "'INVALID_FUNCTION_ARGUMENT: length must be greater than or equal to 0'",
        "CASE WHEN abs({1}) > len({0}) OR {2} = 0 THEN {0}[1:0] WHEN {1} > 0 THEN {0}[{1} : {1} + {2} - 1] "
        "ELSE {0}[len({0}) + {1} + 1 : len({0}) + {1} + {2}] END",
    ),
)
_ELEMENT_AT = ensure("{1} = 0", "'INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1'", "{0}[{1}]")
_MAX_ENTRIES = 10_000
_WRONG_STOP = (
    "'INVALID_FUNCTION_ARGUMENT: sequence stop value should be greater than or equal to start value if step "
    "is greater than zero otherwise stop should be less than or equal to start'"
)
_TOO_LONG = (
    f"'INVALID_FUNCTION_ARGUMENT: result of sequence function must not have more than {_MAX_ENTRIES} entries'"
)
_SEQUENCE = ensure(
    "{2} = 0 OR ({2} > 0 AND {1} < {0}) OR ({2} < 0 AND {1} > {0})",
    _WRONG_STOP,
    ensure(
        f"({{1}} - {{0}}) // {{2}} >= {_MAX_ENTRIES}",
        _TOO_LONG,
        "generate_series({0}, {1}, {2})",
    ),
)
_STEP = "CASE WHEN {0} <= {1} THEN 1 ELSE -1 END"
_TABLE = f"""
cardinality(array(T)) -> bigint := len({{0}})
cardinality(map(K,V)) -> bigint := CAST(cardinality({{0}}) AS BIGINT)
element_at(array(T), bigint) -> T := {_ELEMENT_AT}
element_at(map(K,V), K) -> V := {{0}}[{{1}}]
array_max(array(T)) -> T := CASE WHEN NOT ({HAS_NULL}) THEN list_max({{0}}) END
array_min(array(T)) -> T := CASE WHEN NOT ({HAS_NULL}) THEN list_min({{0}}) END
array_sort(array(T)) -> array(T) := list_sort({{0}}, 'ASC', 'NULLS LAST')
array_distinct(array(T)) -> array(T) := {_DISTINCT}
array_remove(array(T), T) -> array(T) := list_filter({{0}}, lambda e: e IS NULL OR e <> {{1}})
array_first(array(T)) -> T := {{0}}[1]
array_last(array(T)) -> T := {{0}}[-1]
array_average(array(double)) -> double := list_avg({{0}})
array_sum(array(double)) -> double := list_sum({{0}})
slice(array(T), bigint, bigint) -> array(T) := {_SLICE}
trim_array(array(T), bigint) -> array(T) := {
    ensure(
        "{1} > len({0}) OR {1} < 0",
        "'INVALID_FUNCTION_ARGUMENT: size must not exceed array cardinality'",
        "{0}[1 : len({0}) - {1}]",
    )
}
reverse(array(T)) -> array(T) := list_reverse({{0}})
flatten(array(array(T))) -> array(T) := flatten(list_filter({{0}}, lambda e: e IS NOT NULL))
sequence(bigint, bigint) -> array(bigint) := {_SEQUENCE.replace("{2}", "(" + _STEP + ")")}
sequence(bigint, bigint, bigint) -> array(bigint) := {_SEQUENCE}
transform(array(T), function(T,U)) -> array(U) := list_transform({{0}}, {{1}})
filter(array(T), function(T,boolean)) -> array(T) := list_filter({{0}}, {{1}})
"""


def _match(template: str) -> Callable[[FunctionCall], str]:
    def body(call: FunctionCall) -> str:
        return fill(template, [f"list_transform({call.arguments[0]}, {call.arguments[1]})"])

    return body


_ANY = (
    "CASE WHEN {0} IS NULL THEN NULL WHEN list_contains({0}, TRUE) THEN TRUE WHEN "
    + HAS_NULL
    + " THEN NULL ELSE FALSE END"
)
_ALL = (
    "CASE WHEN {0} IS NULL THEN NULL WHEN list_contains({0}, FALSE) THEN FALSE WHEN "
    + HAS_NULL
    + " THEN NULL ELSE TRUE END"
)


def _searched(function: str, among_scalars: str, found: str) -> Callable[[FunctionCall], str]:
    """Look for a value in an array. ``found`` is for arrays, maps and rows, on what was said of each element.

    Trino refuses where a NULL inside keeps it from saying whether an element that it comes to is the one.
    """
    message = (
        f"'NOT_SUPPORTED: {function} does not support arrays with elements that are null or contain null'"
    )
    first_said = "coalesce(list_position({0}, 'true'), len({0}) + 1)"
    checked = ensure(f"list_position({{0}}, 'unsaid') < {first_said}", message, found)

    def body(call: FunctionCall) -> str:
        items, wanted = call.arguments
        kind = call.types[1]
        if not kind.children:
            return fill(
                f"CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN {among_scalars} END", [items, wanted]
            )
        element = variable(items + wanted)

        def nested(it: str) -> str:
            same = f"coalesce(CAST({equal(element, it, kind)} AS VARCHAR), 'unsaid')"
            said = f"CASE WHEN {element} IS NULL THEN 'null' ELSE {same} END"
            value = fill(checked, [f"list_transform({items}, lambda {element}: {said})"])
            return f"CASE WHEN {it} IS NOT NULL THEN {value} END"

        return let(wanted, nested)

    return body


_CONTAINS = _searched(
    "contains",
    f"CASE WHEN list_contains({{0}}, {{1}}) THEN TRUE WHEN {HAS_NULL} THEN NULL ELSE FALSE END",
    "CASE WHEN list_contains({0}, 'true') THEN TRUE WHEN NOT list_contains({0}, 'null') THEN FALSE END",
)
_POSITION = _searched(
    "array_position",
    "CAST(coalesce(list_position({0}, {1}), 0) AS BIGINT)",
    "CASE WHEN {0} IS NOT NULL THEN CAST(coalesce(list_position({0}, 'true'), 0) AS BIGINT) END",
)


def _array_join(call: FunctionCall) -> str:
    kind = call.types[0].children[0]
    items = f'list_transform({call.arguments[0]}, lambda "e": {text_of(chr(34) + "e" + chr(34), kind)})'
    if len(call.arguments) == 3:
        items = f"list_transform({items}, lambda e: coalesce(e, {call.arguments[2]}))"
    return f"array_to_string({items}, {call.arguments[1]})"


def distinct(sql: str) -> str:
    """Return an array without what stands further ahead in it already."""
    return fill(_DISTINCT, [sql])


def _array_union(call: FunctionCall) -> str:
    both = "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN list_concat({0}, {1}) END"
    return distinct(fill(both, list(call.arguments)))


def _among(keep: str) -> Callable[[FunctionCall], str]:
    def body(call: FunctionCall) -> str:
        found = (
            "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN "
            f"list_filter({{0}}, lambda e: {keep}(coalesce(list_position({{1}}, e), 0) > 0)) END"
        )
        return distinct(fill(found, list(call.arguments)))

    return body


def _overlap(call: FunctionCall) -> str:
    template = (
        "CASE WHEN {0} IS NULL OR {1} IS NULL THEN NULL WHEN list_has_any({0}, {1}) THEN TRUE "
        "WHEN len({0}) = 0 OR len({1}) = 0 THEN FALSE WHEN "
        + HAS_NULL
        + " OR "
        + HAS_NULL.replace("{0}", "{1}")
        + " THEN NULL ELSE FALSE END"
    )
    return fill(template, list(call.arguments))


def _repeat(call: FunctionCall) -> str:
    return let(call.arguments[0], lambda it: f"list_transform(range({call.arguments[1]}), lambda i: {it})")


def _zip(call: FunctionCall) -> str:
    def packed(at: int, names: list[str]) -> str:
        if at < len(call.arguments):
            return let(call.arguments[at], lambda it: packed(at + 1, [*names, it]))
        longest = f"greatest({', '.join(f'len({it})' for it in names)})"
        cells = ", ".join(f"{name(f'field{index}')} := {it}[i]" for index, it in enumerate(names))
        present = " AND ".join(f"{it} IS NOT NULL" for it in names)
        rows = f"list_transform(range(1, {longest} + 1), lambda i: struct_pack({cells}))"
        return f"CASE WHEN {present} THEN {rows} END"

    return packed(0, [])


def _zip_with(call: FunctionCall) -> str:
    at = variable(call.arguments[2])

    def zipped(one: str, other: str) -> str:
        value = inlined(call.arguments[2], [f"{one}[{at}]", f"{other}[{at}]"])
        longest = f"greatest(len({one}), len({other}))"
        return (
            f"CASE WHEN {one} IS NOT NULL AND {other} IS NOT NULL THEN "
            f"list_transform(range(1, {longest} + 1), lambda {at}: {value}) END"
        )

    return let(call.arguments[0], lambda one: let(call.arguments[1], lambda other: zipped(one, other)))


def _reduce(call: FunctionCall) -> str:
    items, start, step, finish = call.arguments
    return let(f"list_reduce({items}, {step}, {start})", lambda it: inlined(finish, [it]))


def _ngrams(call: FunctionCall) -> str:
    template = "list_transform(range(1, greatest(len({0}) - {1} + 2, 2)), lambda i: {0}[i : i + {1} - 1])"
    return fill(template, list(call.arguments))


def _sequence_moments(call: FunctionCall) -> str:
    """Dates or timestamps: the first with whole numbers of steps added."""
    start, stop = (f"CAST({one} AS TIMESTAMP)" for one in call.arguments[:2])
    if len(call.types) == 3 and call.types[2].name == YEAR_TO_MONTH:
        span, step, add = (
            "date_sub('month', {0}, {1})",
            call.arguments[2],
            "to_months(CAST({2} * i AS INTEGER))",
        )
    else:
        span, add = "(epoch_ms({1}) - epoch_ms({0}))", "to_milliseconds({2} * i)"
        day = fill("CASE WHEN {0} <= {1} THEN 86400000 ELSE -86400000 END", [start, stop])
        step = call.arguments[2] if len(call.types) == 3 else day
    value = (
        f"list_transform(range({span} // {{2}} + 1), lambda i: CAST({{0}} + {add} AS {call.types[0].duckdb}))"
    )
    wrong = "{2} = 0 OR ({2} > 0 AND {1} < {0}) OR ({2} < 0 AND {1} > {0})"
    checked = ensure(wrong, _WRONG_STOP, ensure(f"{span} // {{2}} >= {_MAX_ENTRIES}", _TOO_LONG, value))
    return fill(checked, [start, stop, step])


def _sort_by(call: FunctionCall) -> str:
    """Sort by a comparator: each element goes behind those that do not come after it."""
    sorted_so_far, single, other = (variable(part + call.arguments[1]) for part in ("a", "b", "c"))
    before = inlined(call.arguments[1], [other, f"{single}[1]"])
    at = f"len(list_filter({sorted_so_far}, lambda {other}: {before} <= 0))"
    placed = f"list_concat(list_concat({sorted_so_far}[1:{at}], {single}), {sorted_so_far}[{at} + 1:])"
    singles = f'list_transform({call.arguments[0]}, lambda "e": ["e"])'
    empty = f"CAST([] AS {call.types[0].duckdb})"
    return f"list_reduce({singles}, lambda {sorted_so_far}, {single}: {placed}, {empty})"


def signatures() -> list[Signature]:
    """All of them."""
    found = parse_table(_TABLE)
    predicate = "(array(T), function(T,boolean)) -> boolean"
    for head, body in (
        (f"any_match{predicate}", _match(_ANY)),
        (f"all_match{predicate}", _match(_ALL)),
        (f"none_match{predicate}", _match(f"NOT ({_ANY})")),
        ("array_join(array(T), varchar) -> varchar", _array_join),
        ("array_join(array(T), varchar, varchar) -> varchar", _array_join),
        ("array_sort(array(T), function(T,T,integer)) -> array(T)", _sort_by),
        ("contains(array(T), T) -> boolean", _CONTAINS),
        ("array_position(array(T), T) -> bigint", _POSITION),
        ("array_union(array(T), array(T)) -> array(T)", _array_union),
        ("array_intersect(array(T), array(T)) -> array(T)", _among("")),
        ("array_except(array(T), array(T)) -> array(T)", _among("NOT ")),
        ("arrays_overlap(array(T), array(T)) -> boolean", _overlap),
        ("repeat(T, bigint) -> array(T)", _repeat),
        ("zip(array(A), array(B)) -> array(row(A, B))", _zip),
        ("zip(array(A), array(B), array(C)) -> array(row(A, B, C))", _zip),
        ("zip(array(A), array(B), array(C), array(D)) -> array(row(A, B, C, D))", _zip),
        ("zip_with(array(T), array(U), function(T,U,R)) -> array(R)", _zip_with),
        ("reduce(array(T), S, function(S,T,S), function(S,R)) -> R", _reduce),
        ("ngrams(array(T), bigint) -> array(array(T))", _ngrams),
        ("sequence(date, date) -> array(date)", _sequence_moments),
        ("sequence(date, date, interval_day) -> array(date)", _sequence_moments),
        ("sequence(date, date, interval_month) -> array(date)", _sequence_moments),
        ("sequence(timestamp, timestamp, interval_day) -> array(timestamp)", _sequence_moments),
        ("sequence(timestamp, timestamp, interval_month) -> array(timestamp)", _sequence_moments),
    ):
        found.append(parse_signature(head, body))
    return found
