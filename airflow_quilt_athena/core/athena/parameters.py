"""Execution parameters: Python's values as the SQL literals that Athena wants. Runs nothing.

A value arrives as the value and the type that it is, or is refused: Trino reads ``1.5`` as a decimal and
``1E2`` as a double, so that neither a float nor a Decimal is written as Python prints it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from numbers import Number
from typing import Any

from airflow_quilt_athena.core.arguments import refusal, sendable
from airflow_quilt_athena.exceptions import InvalidCallError

MAX_PARAMETER_LENGTH = 1024  # Athena API reference, "StartQueryExecution" (ExecutionParameters), read 2026-11
_MOST_DIGITS = 38  # of a decimal
_BIGINT = range(-(1 << 63), 1 << 63)
_EXPECTED = (
    "an SQL literal as text, a number, a boolean, a date, a datetime or None. Write others as literals: "
    "\"'text'\", \"X'00ff'\", \"TIME '10:30:00'\""
)


def to_literal(value: object, name: str = "a parameter") -> str:
    """Return an execution parameter; text is taken to be a literal already.

    >>> from datetime import date
    >>> [to_literal(value) for value in ("'x'", 3, 1.5, Decimal("1E+2"), True, None, date(2026, 1, 31))]
    ["'x'", '3', '1.5E0', "DECIMAL '100'", 'true', 'NULL', "DATE '2026-01-31'"]
    """
    for kind, render in _RENDERERS:
        if isinstance(value, kind):
            return render(name, value)
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return _numpy(name, value)
    raise refusal(name, value, _EXPECTED)


def _text(name: str, value: str) -> str:
    if not value.strip():
        raise refusal(name, value, f"{_EXPECTED}. Empty text is \"''\"")
    if len(value) > MAX_PARAMETER_LENGTH:
        raise InvalidCallError(
            f"{name} has {len(value):,} characters; Athena takes parameters up to {MAX_PARAMETER_LENGTH:,}."
        )
    return sendable(name, value)


def _integer(name: str, value: int) -> str:
    if value in _BIGINT:
        # The digits alone of the least one are beyond a bigint, before the minus is read.
        return f"BIGINT '{value}'" if value == _BIGINT.start else str(value)
    if abs(value) >= 10**_MOST_DIGITS:
        raise refusal(name, value, f"a number of at most {_MOST_DIGITS} digits")
    return f"DECIMAL '{value}'"


def _decimal(name: str, value: Decimal) -> str:
    # Before it is written out: Decimal("1E+999999") has a million digits.
    if not value.is_finite() or max(value.adjusted() + 1, 0) + max(-int(value.as_tuple().exponent), 0) > 38:
        raise refusal(name, value, f"a finite number of at most {_MOST_DIGITS} digits")
    return f"DECIMAL '{value:f}'"


def _float(name: str, value: float) -> str:
    if not math.isfinite(value):
        raise refusal(name, value, "a finite number")
    text = float.__repr__(value)  # of numpy's, which is a float, without its type
    return text.replace("e", "E") if "e" in text else f"{text}E0"


def _numpy(name: str, value: Any) -> str:
    """Numpy's numbers by their own type: a float32 is a real, and 0.1 in it is written as 0.1."""
    found = value.item()
    if not isinstance(value, Number) and not isinstance(found, bool):
        raise refusal(name, value, _EXPECTED)
    if type(value).__name__ in {"float16", "float32"} and math.isfinite(found):
        return f"REAL '{value!s}'"
    if isinstance(found, bool | int | float):
        return to_literal(found, name)
    raise refusal(name, value, _EXPECTED)


_RENDERERS: tuple[tuple[type, Callable[[str, Any], str]], ...] = (
    (str, _text),
    (type(None), lambda name, value: "NULL"),
    (bool, lambda name, value: str(value).lower()),
    (int, _integer),
    (Decimal, _decimal),
    (float, _float),
    (datetime, lambda name, value: f"TIMESTAMP '{value.isoformat(' ')}'"),
    (date, lambda name, value: f"DATE '{value.isoformat()}'"),
)
