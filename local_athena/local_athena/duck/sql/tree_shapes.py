"""Shapes of Trino's parse trees that more than one clause looks for."""

from __future__ import annotations

from typing import Any

from local_athena.duck.values import literals


def chain_of(node: Any) -> list[Any]:
    """Return the terms of ``a OR b OR c``, which is nested as deep as it is long, from left to right."""
    terms: list[Any] = []
    kind = type(node)
    while type(node) is kind:
        node, last = node.booleanExpression()
        terms.insert(0, last)
    return [node, *terms]


def dotted(node: Any) -> tuple[str, ...] | None:
    """Return the parts of ``a.b.c``, or None when it starts with something else than a name."""
    parts: list[str] = []
    while type(node).__name__ == "DereferenceContext":
        parts.insert(0, literals.identifier(node.fieldName))
        node = node.base
    if type(node).__name__ != "ColumnReferenceContext":
        return None
    return (literals.identifier(node.identifier()), *parts)
