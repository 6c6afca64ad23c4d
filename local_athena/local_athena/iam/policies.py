"""What IAM policy documents say of a request. Pure: documents and a request in, a decision out.

Rules: IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements" (read 2026-11). moto's own
evaluation is not used: it knows no resource of a Glue call, no condition outside trust policies, and takes
an unmet condition for a denial.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

Context = Mapping[str, Sequence[str]]
"""Condition keys in lower case, with their values."""


class Decision(Enum):
    """What a set of statements says of one request."""

    ALLOWED = "allowed"
    DENIED = "denied"  # by an explicit Deny
    SILENT = "silent"


class UnknownConditionError(Exception):
    """A policy uses an element that is not evaluated here; guessing could turn a Deny into an Allow."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a Condition block: all keys of a request must fit one of the values."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyStatement:
    """One statement. None stands for an element that is not there."""

    allows: bool
    actions: tuple[str, ...] | None  # in lower case
    not_actions: tuple[str, ...] | None
    resources: tuple[str, ...] | None
    not_resources: tuple[str, ...] | None
    principals: tuple[str, ...] | None
    not_principals: tuple[str, ...] | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: all names a policy may know the caller by."""

    arns: tuple[str, ...]  # the session's, the role's
    account_id: str

    def is_named(self, patterns: Iterable[str]) -> bool:
        """Whether a Principal element speaks of this caller."""
        account = f"arn:aws:iam::{self.account_id}:root"
        return any(p == "*" or p in self.arns or p in (self.account_id, account) for p in patterns)


@lru_cache(maxsize=4096)
def parse_policy(document: str) -> tuple[PolicyStatement, ...]:
    """Read the statements of a policy document."""
    statements = json.loads(document).get("Statement", [])
    return tuple(_parse_statement(s) for s in (statements if isinstance(statements, list) else [statements]))


def _parse_statement(document: Mapping[str, Any]) -> PolicyStatement:
    return PolicyStatement(
        allows=document.get("Effect") == "Allow",
        actions=_lowered(document.get("Action")),
        not_actions=_lowered(document.get("NotAction")),
        resources=_strings(document.get("Resource")),
        not_resources=_strings(document.get("NotResource")),
        principals=_principals(document.get("Principal")),
        not_principals=_principals(document.get("NotPrincipal")),
        conditions=tuple(
            Condition(operator, key.lower(), _strings(values) or ())
            for operator, keys in (document.get("Condition") or {}).items()
            for key, values in keys.items()
        ),
    )


def _strings(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in items)


def _lowered(value: Any) -> tuple[str, ...] | None:
    strings = _strings(value)
    return None if strings is None else tuple(text.lower() for text in strings)


def _principals(value: Any) -> tuple[str, ...] | None:
    if value is None or isinstance(value, str):
        return _strings(value)
    return tuple(name for names in value.values() for name in _strings(names) or ())


def decide(
    statements: Iterable[PolicyStatement],
    action: str,
    resource: str,
    context: Context,
    principal: Principal | None = None,
) -> Decision:
    """Ask ``statements`` about one action on one resource.

    ``principal`` is given for policies that name principals (of buckets, of roles' trust).
    """
    decision = Decision.SILENT
    for statement in statements:
        if _applies(statement, action, resource, context, principal):
            if not statement.allows:
                return Decision.DENIED
            decision = Decision.ALLOWED
    return decision


def _applies(
    statement: PolicyStatement, action: str, resource: str, context: Context, principal: Principal | None
) -> bool:
    return (
        _names_action(statement, action)
        and _names_resource(statement, resource, context)
        and _names_principal(statement, principal)
        and all(_meets(condition, context) for condition in statement.conditions)
    )


def _names_action(statement: PolicyStatement, action: str) -> bool:
    lowered = action.lower()
    if statement.actions is not None:
        return any(_like(pattern, lowered) for pattern in statement.actions)
    return not any(_like(pattern, lowered) for pattern in statement.not_actions or ())


def _names_resource(statement: PolicyStatement, resource: str, context: Context) -> bool:
    if statement.resources is not None:
        return any(_like(_filled(pattern, context), resource) for pattern in statement.resources)
    if statement.not_resources is not None:
        return not any(_like(_filled(pattern, context), resource) for pattern in statement.not_resources)
    return True  # trust policies have no Resource


def _names_principal(statement: PolicyStatement, principal: Principal | None) -> bool:
    if principal is None:
        return True
    if statement.principals is not None:
        return principal.is_named(statement.principals)
    return statement.not_principals is not None and not principal.is_named(statement.not_principals)


_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def _filled(pattern: str, context: Context) -> str:
    """Replace a pattern's policy variables; one without a value matches nothing."""
    if "${" not in pattern:
        return pattern

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in ("*", "?", "$"):
            return f"\\{name}"
        found = context.get(name.lower())
        return found[0] if found else "\0"

    return _VARIABLE.sub(value, pattern)


def _like(pattern: str, text: str) -> bool:
    return pattern == "*" or _pattern(pattern).fullmatch(text) is not None


@lru_cache(maxsize=65536)
def _pattern(pattern: str) -> re.Pattern[str]:
    """``*`` and ``?`` as IAM reads them; a backslash, put there by ``_filled``, takes their meaning away."""
    parts = []
    for part in re.findall(r"\\[*?$]|[\s\S]", pattern):
        parts.append({"*": ".*", "?": "."}.get(part) or re.escape(part[-1]))
    return re.compile("".join(parts), re.DOTALL)


def _meets(condition: Condition, context: Context) -> bool:
    operator = condition.operator
    quantifier, _, rest = operator.rpartition(":")
    base = rest.removesuffix("IfExists")
    values = context.get(condition.key)
    if base == "Null":
        return (values is None) == (condition.values[0] == "true")
    test = _OPERATORS.get(base.replace("Not", "", 1))
    if test is None:
        raise UnknownConditionError(
            f"The condition operator {operator} is not evaluated by the local Athena."
        )
    negated = "Not" in base
    if values is None:
        return negated or base != rest or quantifier == "ForAllValues"
    wanted = [_filled(value, context) for value in condition.values]
    hits = (any(test(value, want) for want in wanted) != negated for value in values)
    return all(hits) if quantifier == "ForAllValues" or (negated and not quantifier) else any(hits)


def _in_network(value: str, network: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(network, strict=False)


def _time(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    return datetime.fromisoformat(text).timestamp()


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, want: value == want,
    "StringEqualsIgnoreCase": lambda value, want: value.lower() == want.lower(),
    "StringLike": lambda value, want: _like(want, value),
    "ArnEquals": lambda value, want: _like(want, value),
    "ArnLike": lambda value, want: _like(want, value),
    "Bool": lambda value, want: value.lower() == want.lower(),
    "IpAddress": _in_network,
    "NumericEquals": lambda value, want: float(value) == float(want),
    "NumericLessThan": lambda value, want: float(value) < float(want),
    "NumericLessThanEquals": lambda value, want: float(value) <= float(want),
    "NumericGreaterThan": lambda value, want: float(value) > float(want),
    "NumericGreaterThanEquals": lambda value, want: float(value) >= float(want),
    "DateEquals": lambda value, want: _time(value) == _time(want),
    "DateLessThan": lambda value, want: _time(value) < _time(want),
    "DateLessThanEquals": lambda value, want: _time(value) <= _time(want),
    "DateGreaterThan": lambda value, want: _time(value) > _time(want),
    "DateGreaterThanEquals": lambda value, want: _time(value) >= _time(want),
}
