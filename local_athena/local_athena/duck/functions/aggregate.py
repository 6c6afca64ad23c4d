"""Trino's aggregate and window functions, as DuckDB SQL.

``@D`` stands for DISTINCT, ``@O`` for ORDER BY among the arguments, ``@F`` for FILTER and OVER, ``@N`` for
IGNORE NULLS.
"""

from __future__ import annotations

from local_athena.duck.functions.signatures import FunctionCall, Signature, parse_signature, parse_table
from local_athena.duck.values.operators import divide, unscaled
from local_athena.duck.values.snippets import fill, let

_AGGREGATES = """
count() -> bigint := count(*)@F
count(T) -> bigint := count(@D{0})@F
count_if(boolean) -> bigint := coalesce(CAST(count_if({0})@F AS BIGINT), 0)
sum(bigint) -> bigint := CAST(sum(@D{0})@F AS BIGINT)
sum(real) -> real := CAST(sum(@D{0})@F AS FLOAT)
sum(double) -> double := sum(@D{0})@F
sum(interval_day) -> interval_day := CAST(sum(@D{0})@F AS BIGINT)
sum(interval_month) -> interval_month := CAST(sum(@D{0})@F AS BIGINT)
avg(bigint) -> double := avg(@D{0})@F
avg(real) -> real := CAST(avg(@D{0})@F AS FLOAT)
avg(double) -> double := avg(@D{0})@F
avg(interval_day) -> interval_day := CAST(avg(@D{0})@F AS BIGINT)
min(T) -> T := min(@D{0})@F
max(real) -> real := coalesce(max(CASE WHEN NOT isnan({0}) THEN {0} END)@F, max({0})@F)
max(double) -> double := coalesce(max(CASE WHEN NOT isnan({0}) THEN {0} END)@F, max({0})@F)
max(T) -> T := max(@D{0})@F
min(T, bigint) -> array(T) := min({0}, {1})@F
max(T, bigint) -> array(T) := max({0}, {1})@F
min_by(T, U) -> T := arg_min_null({0}, {1})@F
max_by(T, U) -> T := arg_max_null({0}, {1})@F
min_by(T, U, bigint) -> array(T) := arg_min({0}, {1}, {2})@F
max_by(T, U, bigint) -> array(T) := arg_max({0}, {1}, {2})@F
bool_and(boolean) -> boolean := bool_and({0})@F
every(boolean) -> boolean := bool_and({0})@F
bool_or(boolean) -> boolean := bool_or({0})@F
arbitrary(T) -> T := any_value({0})@F
any_value(T) -> T := any_value({0})@F
array_agg(T) -> array(T) := list(@D{0}@O)@F
set_agg(T) -> array(T) := list(DISTINCT {0})@F
histogram(T) -> map(T, bigint) := CAST(histogram({0})@F AS RESULT)
approx_distinct(T) -> bigint := count(DISTINCT {0})@F
approx_distinct(T, double) -> bigint := count(DISTINCT {0})@F
stddev(double) -> double := stddev_samp(@D{0})@F
stddev_samp(double) -> double := stddev_samp(@D{0})@F
stddev_pop(double) -> double := stddev_pop(@D{0})@F
variance(double) -> double := var_samp(@D{0})@F
var_samp(double) -> double := var_samp(@D{0})@F
var_pop(double) -> double := var_pop(@D{0})@F
skewness(double) -> double := skewness({0})@F
kurtosis(double) -> double := kurtosis({0})@F
corr(real, real) -> real := CAST(corr({0}, {1})@F AS FLOAT)
corr(double, double) -> double := corr({0}, {1})@F
covar_samp(real, real) -> real := CAST(covar_samp({0}, {1})@F AS FLOAT)
covar_samp(double, double) -> double := covar_samp({0}, {1})@F
covar_pop(real, real) -> real := CAST(covar_pop({0}, {1})@F AS FLOAT)
covar_pop(double, double) -> double := covar_pop({0}, {1})@F
regr_slope(real, real) -> real := CAST(regr_slope({0}, {1})@F AS FLOAT)
regr_slope(double, double) -> double := regr_slope({0}, {1})@F
regr_intercept(real, real) -> real := CAST(regr_intercept({0}, {1})@F AS FLOAT)
regr_intercept(double, double) -> double := regr_intercept({0}, {1})@F
geometric_mean(double) -> double := geomean({0})@F
bitwise_and_agg(bigint) -> bigint := bit_and({0})@F
bitwise_or_agg(bigint) -> bigint := bit_or({0})@F
bitwise_xor_agg(bigint) -> bigint := bit_xor({0})@F
"""

_WINDOWS = """
row_number() -> bigint := row_number()@F
rank() -> bigint := rank()@F
dense_rank() -> bigint := dense_rank()@F
percent_rank() -> double := percent_rank()@F
cume_dist() -> double := cume_dist()@F
ntile(bigint) -> bigint := ntile({0})@F
first_value(T) -> T := first_value({0}@N)@F
last_value(T) -> T := last_value({0}@N)@F
nth_value(T, bigint) -> T := nth_value({0}, {1}@N)@F
lag(T) -> T := lag({0}@N)@F
lag(T, bigint) -> T := lag({0}, {1}@N)@F
lag(T, bigint, T) -> T := lag({0}, {1}, {2}@N)@F
lead(T) -> T := lead({0}@N)@F
lead(T, bigint) -> T := lead({0}, {1}@N)@F
lead(T, bigint, T) -> T := lead({0}, {1}, {2}@N)@F
"""


def _sum_decimal(call: FunctionCall) -> str:
    return f"CAST(sum(@D{call.arguments[0]})@F AS {call.result.duckdb})"


def _avg_decimal(call: FunctionCall) -> str:
    """Return the exact sum over the count, rounded half up; DuckDB's own avg is a double."""
    scale = call.types[0].parameters[1]
    total, count = f"sum(@D{call.arguments[0]})@F", f"CAST(count(@D{call.arguments[0]})@F AS HUGEINT)"
    value = divide(unscaled(total, scale), f"nullif({count}, 0)", 0, scale)
    return f"CAST({value} AS {call.result.duckdb})"


_ENTRIES = 'list(struct_pack("key" := {0}, "value" := {1})@O)@F'


def _entries(call: FunctionCall) -> str:
    return fill(_ENTRIES, list(call.arguments))


def _map_agg(call: FunctionCall) -> str:
    def made(it: str) -> str:
        keys = f'list_transform({it}, lambda e: e."key")'

        def unique(labels: str) -> str:
            firsts = f'list_filter({it}, lambda e, i: list_position({labels}, e."key") = i)'
            entries = f"CASE WHEN list_unique({labels}) = len({it}) THEN {it} ELSE {firsts} END"
            return f"CASE WHEN {it} IS NOT NULL THEN map_from_entries({entries}) END"

        return let(keys, unique)

    return let(f'list_filter({_entries(call)}, lambda e: e."key" IS NOT NULL)', made)


def _multimap_agg(call: FunctionCall) -> str:
    def made(it: str) -> str:
        keys = fill(
            "list_filter({0}, lambda e, i: list_position({0}, e) = i)",
            [f'list_transform({it}, lambda e: e."key")'],
        )
        values = f'list_transform(list_filter({it}, lambda e: e."key" = k), lambda e: e."value")'
        entry = f'struct_pack("key" := k, "value" := {values})'
        return (
            f"CASE WHEN {it} IS NOT NULL THEN map_from_entries(list_transform({keys}, lambda k: {entry})) END"
        )

    return let(f'list_filter({_entries(call)}, lambda e: e."key" IS NOT NULL)', made)


def _map_union(call: FunctionCall) -> str:
    def made(it: str) -> str:
        keys = f'list_transform({it}, lambda e: e."key")'
        return let(
            keys,
            lambda labels: (
                f"CASE WHEN {it} IS NOT NULL THEN map_from_entries(list_filter({it}, lambda e, i: "
                f'list_position({labels}, e."key") = i)) END'
            ),
        )

    return let(f"flatten(list(map_entries({call.arguments[0]}))@F)", made)


def _approx_percentile(call: FunctionCall) -> str:
    """Return the exact percentile: an approximation may be exact."""
    return f"quantile_disc({call.arguments[0]}, {call.arguments[1]})@F"


def aggregates() -> list[Signature]:
    """All aggregate functions."""
    found = parse_table(_AGGREGATES, aggregate=True)
    for head, body in (
        ("sum(decimal(p,s)) -> decimal(q,s)", _sum_decimal),
        ("avg(decimal(p,s)) -> decimal(p,s)", _avg_decimal),
        ("map_agg(K, V) -> map(K, V)", _map_agg),
        ("multimap_agg(K, V) -> map(K, array(V))", _multimap_agg),
        ("map_union(map(K, V)) -> map(K, V)", _map_union),
        ("approx_percentile(bigint, double) -> bigint", _approx_percentile),
        ("approx_percentile(real, double) -> real", _approx_percentile),
        ("approx_percentile(double, double) -> double", _approx_percentile),
        ("approx_percentile(bigint, array(double)) -> array(bigint)", _approx_percentile),
        ("approx_percentile(double, array(double)) -> array(double)", _approx_percentile),
    ):
        found.append(parse_signature(head, body, aggregate=True))
    return found


def windows() -> list[Signature]:
    """All functions that need OVER."""
    return parse_table(_WINDOWS, window=True)
