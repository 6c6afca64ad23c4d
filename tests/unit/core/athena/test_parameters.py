"""Execution parameters arrive as the value and the type that they are, or are refused."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import numpy as np
import pytest

from airflow_quilt_athena.core.athena.parameters import to_literal
from airflow_quilt_athena.exceptions import InvalidCallError


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (0, "0"),
        (-7, "-7"),
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "BIGINT '-9223372036854775808'"),
        (2**63, "DECIMAL '9223372036854775808'"),
        (10**38 - 1, "DECIMAL '" + "9" * 38 + "'"),
        (1.5, "1.5E0"),
        (1e22, "1E+22"),
        (1e-7, "1E-07"),
        (-0.0, "-0.0E0"),
        (Decimal("1.50"), "DECIMAL '1.50'"),
        (Decimal("1E+5"), "DECIMAL '100000'"),
        (Decimal("1E-5"), "DECIMAL '0.00001'"),
        (Decimal("-0"), "DECIMAL '-0'"),
        (np.int64(7), "7"),
        (np.uint8(7), "7"),
        (np.float64(1.5), "1.5E0"),
        (np.float32(0.1), "REAL '0.1'"),
        (np.bool_(True), "true"),
    ],
)
def test_a_number_is_written_as_what_it_is(value: object, literal: str) -> None:
    assert to_literal(value) == literal


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        np.float64("nan"),
        np.float32("inf"),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+39"),
        Decimal("1E+999999"),
        Decimal("1E-39"),
        10**38,
        10**5000,
        1j,
        np.complex64(1),
        np.datetime64("2026-01-01"),
        np.array([1]),
        Fraction(1, 3),
        b"x",
        ["x"],
        {"x": 1},
        uuid4(),
        time(1),
        "",
        "x" * 1025,
        "\ud800",
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_literal_of_its_own_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidCallError, match=r"^parameters\[0\]"):
        to_literal(value, "parameters[0]")
