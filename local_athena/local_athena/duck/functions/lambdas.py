"""A lambda's body, where DuckDB takes none or another than Trino."""

from __future__ import annotations

from local_athena.duck.values.snippets import Lambda
from local_athena.duck.values.symbols import replace_symbols


def inlined(function: str, values: list[str]) -> str:
    """Return a lambda's body, with values in place of its parameters."""
    assert isinstance(function, Lambda)
    return replace_symbols(function.body, dict(zip(function.parameters, values, strict=True)))
