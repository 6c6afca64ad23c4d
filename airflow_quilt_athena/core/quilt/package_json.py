"""JSON as manifests hold it: nothing in it that another reader would take otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn


def parse_json(text: str, *, remedy: str = "") -> Any:
    """Return the value of JSON. Raises ValueError for what other readers would refuse, or take otherwise.

    :param remedy: what the error says at its end of text that is no JSON.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON ({error}){remedy}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def to_json(value: Any, *, parsed: bool = False) -> str:
    """Return a value as JSON. Raises ValueError, saying what of it has no JSON.

    :param parsed: whether it was JSON before: then only a number beyond all numbers is to be feared.
    """
    if not parsed:
        _check_json(value, "")
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        _check_json(value, "")  # which says where
        raise
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half a character and cannot be written as UTF-8") from error
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which JSON does not know")


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"has the key {doubled!r} twice")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_doubled)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _check_json(value: Any, where: str) -> None:
    """Refuse what json.dumps would change or refuse without saying where."""
    at = f" at {where}" if where else ""
    match value:
        case None | bool() | int() | str():
            return
        case float():
            if value != value or value in {float("inf"), float("-inf")}:
                raise ValueError(f"holds {value}{at}, which JSON does not know")
        case Mapping():
            for name, item in value.items():
                if not isinstance(name, str):
                    raise ValueError(f"has the key {name!r}{at}, which is no text")
                _check_json(item, f"{where}.{name}" if where else name)
        case list() | tuple():
            for index, item in enumerate(value):
                _check_json(item, f"{where}[{index}]")
        case _:
            raise ValueError(f"holds {value!r}{at}, which JSON does not know")
