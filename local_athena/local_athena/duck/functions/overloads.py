"""Which of the signatures that share a name a call means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local_athena.data.types import DataType
from local_athena.duck.errors import failed
from local_athena.duck.functions.signatures import (
    Bindings,
    Signature,
    candidates,
    unify_arguments,
)


def choose(
    name: str, signatures: list[Signature], kinds: Sequence[DataType | None], node: Any
) -> tuple[Signature, Bindings]:
    """Return the signature meant: one that fits as it is, else the first that fits by conversion."""
    possible = candidates(signatures, len(kinds))
    for convert_types in (False, True):
        for signature in possible:
            found = unify_arguments(signature, kinds, convert_types)
            if found is not None:
                return signature, found
    given = ", ".join("<function>" if kind is None else kind.trino for kind in kinds)
    expected = ", ".join(dict.fromkeys(signature.shown for signature in signatures))
    message = f"Unexpected parameters ({given}) for function {name}. Expected: {expected}"
    raise failed("FUNCTION_NOT_FOUND", node, message)
