"""What Athena's service model asks of a request: required members, types, lengths, ranges, patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from local_athena.errors import ApiError

_TYPES: dict[str, type | tuple[type, ...]] = {
    "structure": dict,
    "map": dict,
    "list": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "double": (int, float),
    "timestamp": (int, float, str),
}
# The model is written for Java, whose patterns spell the planes above the first as surrogate pairs.
_JAVA_UPPER_PLANES = r"\uD800\uDC00-\uDBFF\uDFFF"


@cache
def _service() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("athena", "service-2"), "athena")


@cache
def _input_shape(operation: str) -> Any:
    return _service().operation_model(operation).input_shape


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace(_JAVA_UPPER_PLANES, "\U00010000-\U0010ffff"))


def is_athena_operation(operation: str) -> bool:
    """Whether Athena has an operation of that name, offered here or not."""
    return operation in _service().operation_names


def check_request(operation: str, request: dict[str, Any]) -> None:
    """Refuse what Athena's model does not allow, in the words AWS uses. Unknown members are ignored."""
    problems = list(_problems(_input_shape(operation), request, ""))
    if problems:
        plural = "" if len(problems) == 1 else "s"
        raise ApiError(
            "InvalidRequestException",
            f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}",
        )


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if not _is_of_type(shape.type_name, value):
        yield f"Value at '{path}' failed to satisfy constraint: Member must be of type {shape.type_name}"
        return
    yield from _out_of_range(shape, value, path)
    if shape.type_name == "structure":
        yield from _in_structure(shape, value, path)
    elif shape.type_name == "list":
        for index, item in enumerate(value, start=1):
            yield from _problems(shape.member, item, f"{path}.{index}.member")
    elif shape.type_name == "string":
        yield from _in_string(shape, value, path)


def _is_of_type(name: str, value: object) -> bool:
    if isinstance(value, bool):  # which Python takes for an integer
        return name == "boolean"
    return isinstance(value, _TYPES.get(name, object))


def _in_structure(shape: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        below = f"{path}.{_camel(name)}" if path else _camel(name)
        given = value.get(name)  # JSON null is the same as absent
        if given is not None:
            yield from _problems(member, given, below)
        elif name in shape.required_members:
            yield f"Value null at '{below}' failed to satisfy constraint: Member must not be null"


def _out_of_range(shape: Any, value: Any, path: str) -> Iterator[str]:
    sized = isinstance(value, str | list)
    measured = len(value) if sized else value
    if not isinstance(measured, int | float) or shape.type_name in {"boolean", "timestamp"}:
        return
    what = "have length" if sized else "have value"
    shown = "" if sized else f" '{value}'"
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    start = f"Value{shown} at '{path}' failed to satisfy constraint: Member must {what}"
    if low is not None and measured < low:
        yield f"{start} greater than or equal to {low}"
    if high is not None and measured > high:
        yield f"{start} less than or equal to {high}"


def _in_string(shape: Any, value: str, path: str) -> Iterator[str]:
    start = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must satisfy"
    choices = shape.metadata.get("enum")
    if choices and value not in choices:
        yield f"{start} enum value set: [{', '.join(choices)}]"
    pattern = shape.metadata.get("pattern")
    if pattern and not _pattern(pattern).fullmatch(value):
        yield f"{start} regular expression pattern: {pattern}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
