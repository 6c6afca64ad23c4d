"""Trino's mathematical and bitwise functions, as DuckDB SQL."""

from __future__ import annotations

from local_athena.duck.functions.signatures import FunctionCall, Signature, parse_signature, parse_table
from local_athena.duck.values.snippets import ensure, fill, let

_NAN = "CAST('nan' AS DOUBLE)"
_INFINITY = "CAST('inf' AS DOUBLE)"
_LOGARITHM = f"CASE WHEN {{0}} < 0 THEN {_NAN} WHEN {{0}} = 0 THEN -{_INFINITY} ELSE LN({{0}}) END"
_BITS = "CAST(18446744073709551616 AS HUGEINT)"
_SIGNED = f"CASE WHEN {{0}} >= {_BITS} // 2 THEN {{0}} - {_BITS} ELSE {{0}} END"

_TABLE = f"""
abs(N) -> N := abs({{0}})
ceil(I) -> I := {{0}}
ceil(real) -> real := ceil({{0}})
ceil(double) -> double := ceil({{0}})
floor(I) -> I := {{0}}
floor(real) -> real := floor({{0}})
floor(double) -> double := floor({{0}})
round(I) -> I := {{0}}
round(real) -> real := round({{0}})
round(double) -> double := round({{0}})
round(real, integer) -> real := CAST(round({{0}}, {{1}}) AS FLOAT)
round(double, integer) -> double := CASE WHEN isfinite({{0}}) THEN round({{0}}, {{1}}) ELSE {{0}} END
truncate(real) -> real := trunc({{0}})
truncate(double) -> double := trunc({{0}})
sqrt(double) -> double := CASE WHEN {{0}} < 0 THEN {_NAN} ELSE sqrt({{0}}) END
cbrt(double) -> double := CASE WHEN power(round(cbrt({{0}})), 3) = {{0}} THEN round(cbrt({{0}}))
  ELSE cbrt({{0}}) END
exp(double) -> double := exp({{0}})
ln(double) -> double := {_LOGARITHM}
log2(double) -> double := {_LOGARITHM.replace("LN", "log2")}
log10(double) -> double := {_LOGARITHM.replace("LN", "log10")}
log(double, double) -> double := ({_LOGARITHM.replace("{0}", "{1}")}) / ({_LOGARITHM})
power(double, double) -> double := power({{0}}, {{1}})
pow(double, double) -> double := power({{0}}, {{1}})
sin(double) -> double := sin({{0}})
cos(double) -> double := cos({{0}})
tan(double) -> double := tan({{0}})
asin(double) -> double := CASE WHEN abs({{0}}) > 1 THEN {_NAN} ELSE asin({{0}}) END
acos(double) -> double := CASE WHEN abs({{0}}) > 1 THEN {_NAN} ELSE acos({{0}}) END
atan(double) -> double := atan({{0}})
atan2(double, double) -> double := atan2({{0}}, {{1}})
sinh(double) -> double := sinh({{0}})
cosh(double) -> double := cosh({{0}})
tanh(double) -> double := tanh({{0}})
radians(double) -> double := radians({{0}})
degrees(double) -> double := degrees({{0}})
pi() -> double := pi()
e() -> double := exp(CAST(1 AS DOUBLE))
nan() -> double := {_NAN}
infinity() -> double := {_INFINITY}
is_nan(double) -> boolean := isnan({{0}})
is_finite(double) -> boolean := isfinite({{0}})
is_infinite(double) -> boolean := isinf({{0}})
width_bucket(double, double, double, bigint) -> bigint := CASE WHEN {{1}} < {{2}} THEN
  CASE WHEN {{0}} < {{1}} THEN 0 WHEN {{0}} >= {{2}} THEN {{3}} + 1
  ELSE CAST(floor({{3}} * ({{0}} - {{1}}) / ({{2}} - {{1}})) AS BIGINT) + 1 END ELSE
  CASE WHEN {{0}} > {{1}} THEN 0 WHEN {{0}} <= {{2}} THEN {{3}} + 1
  ELSE CAST(floor({{3}} * ({{1}} - {{0}}) / ({{1}} - {{2}})) AS BIGINT) + 1 END END
bitwise_and(bigint, bigint) -> bigint := ({{0}} & {{1}})
bitwise_or(bigint, bigint) -> bigint := ({{0}} | {{1}})
bitwise_xor(bigint, bigint) -> bigint := xor({{0}}, {{1}})
bitwise_not(bigint) -> bigint := (-{{0}} - 1)
bit_count(bigint, bigint) -> bigint := CAST(bit_count(CASE WHEN {{1}} >= 64 THEN {{0}}
  ELSE {{0}} & ((CAST(1 AS BIGINT) << {{1}}) - 1) END) AS BIGINT)
sign(real) -> real := CAST(sign({{0}}) AS FLOAT)
sign(double) -> double := CASE WHEN isnan({{0}}) THEN {{0}} ELSE CAST(sign({{0}}) AS DOUBLE) END
"""

_VOLATILE = """
random() -> double := random()
rand() -> double := random()
random(bigint) -> bigint := CAST(floor(random() * {0}) AS BIGINT)
rand(bigint) -> bigint := CAST(floor(random() * {0}) AS BIGINT)
random(bigint, bigint) -> bigint := ({0} + CAST(floor(random() * ({1} - {0})) AS BIGINT))
uuid() -> uuid := CAST(uuid() AS VARCHAR)
"""


def _sign(call: FunctionCall) -> str:
    return f"CAST(sign({call.arguments[0]}) AS {call.result.duckdb})"


_BAD_RADIX = "'INVALID_FUNCTION_ARGUMENT: Radix must be between 2 and 36'"
_ALPHABET = "'0123456789abcdefghijklmnopqrstuvwxyz'"
_VALUES = f"list_transform(string_split({{0}}, ''), lambda c: CAST(instr({_ALPHABET}, c) - 1 AS HUGEINT))"


def _from_base(call: FunctionCall) -> str:
    """Read a number of up to 64 bits, with a sign or without."""

    def read(it: str, radix: str) -> str:
        digits = f"regexp_replace(lower({it}), '^[+-]', '')"
        values = fill(_VALUES, [digits])
        total = f"TRY(list_reduce({values}, lambda a, b: a * CAST({radix} AS HUGEINT) + b))"
        signed = f"(CASE WHEN {it}[1] = '-' THEN -{total} ELSE {total} END)"
        odd = f"len(list_filter({values}, lambda v: v < 0 OR v >= {radix})) > 0"
        unread = f"{it} IS NOT NULL AND ({digits} = '' OR {odd} OR TRY_CAST({signed} AS BIGINT) IS NULL)"
        message = f"concat('INVALID_FUNCTION_ARGUMENT: Not a valid base-', {radix}, ' number: ', {it})"
        return ensure(unread, message, f"CAST({signed} AS BIGINT)")

    text, radix = call.arguments
    return let(
        text,
        lambda it: let(radix, lambda r: ensure(f"{r} NOT BETWEEN 2 AND 36", _BAD_RADIX, read(it, r))),
    )


_TO_BASE = ensure(
    "{1} NOT BETWEEN 2 AND 36",
    _BAD_RADIX,
    "CASE WHEN {0} < 0 THEN '-' ELSE '' END || lower(to_base(abs({0}), CAST({1} AS INTEGER)))",
)


def _shift_left(call: FunctionCall) -> str:
    moved = f"(CAST({{0}} AS HUGEINT) * CAST(power(2, least({{1}}, 63)) AS HUGEINT)) % {_BITS}"
    unsigned = f"(({fill(moved, list(call.arguments))} + {_BITS}) % {_BITS})"
    shifted = f"CAST({fill(_SIGNED, [unsigned])} AS BIGINT)"
    return fill(f"CASE WHEN {{0}} >= 64 THEN 0 ELSE {shifted} END", [call.arguments[1]])


def _shift_right(call: FunctionCall) -> str:
    unsigned = f"((CAST({{0}} AS HUGEINT) + {_BITS}) % {_BITS})"
    shifted = f"CAST({unsigned} // CAST(power(2, least({{1}}, 63)) AS HUGEINT) AS HUGEINT)"
    value = fill(
        f"CASE WHEN {{1}} >= 64 THEN 0 WHEN {{1}} = 0 THEN {{0}} ELSE {shifted} END", list(call.arguments)
    )
    return f"CAST({value} AS BIGINT)"


def _round_integer(call: FunctionCall) -> str:
    power = "CAST(power(10, -{1}) AS BIGINT)"
    rounded = f"CAST(round(CAST({{0}} AS DOUBLE) / {power}) AS BIGINT) * {power}"
    template = f"CASE WHEN {{1}} >= 0 THEN {{0}} ELSE {rounded} END"
    return f"CAST({fill(template, list(call.arguments))} AS {call.result.duckdb})"


def signatures() -> list[Signature]:
    """All of them."""
    found = parse_table(_TABLE) + parse_table(_VOLATILE, volatile=True)
    found += [
        parse_signature("ceiling" + one.shown[4:] + "->" + one.result.name, one.body)
        for one in found
        if one.name == "ceil"
    ]
    found += [
        parse_signature("sign(I) -> I", _sign),
        parse_signature("round(I, integer) -> I", _round_integer),
        parse_signature("from_base(varchar, bigint) -> bigint", _from_base),
        parse_signature("to_base(bigint, bigint) -> varchar", _TO_BASE),
        parse_signature("bitwise_left_shift(bigint, bigint) -> bigint", _shift_left),
        parse_signature("bitwise_right_shift(bigint, bigint) -> bigint", _shift_right),
        parse_signature(
            "bitwise_right_shift_arithmetic(bigint, bigint) -> bigint",
            "CASE WHEN {1} >= 64 THEN CASE WHEN {0} < 0 THEN -1 ELSE 0 END ELSE {0} >> {1} END",
        ),
    ]
    return found
