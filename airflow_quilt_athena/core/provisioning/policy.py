"""The IAM policy of those who run our operators, as documents that fit IAM's limit.

What is granted besides buckets is in the first document. A bucket stays in the document that it is in, so
that growing moves no right from one document to another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.grants import (
    FIND_BUCKETS,
    RESULTS_PREFIX,
    Grant,
    Statement,
    bucket_statements,
    common_statements,
)
from airflow_quilt_athena.core.provisioning.package_policy import package_statements
from airflow_quilt_athena.exceptions import InvalidCallError

__all__ = [
    "MAX_DOCUMENT_CHARACTERS",
    "RESULTS_PREFIX",
    "Account",
    "Grant",
    "PolicyDocument",
    "Statement",
    "buckets_of",
    "build_policies",
    "count_characters",
    "number_of",
    "policy_name",
]

# IAM user guide, "IAM and AWS STS quotas", read 2026-11. White space does not count.
MAX_DOCUMENT_CHARACTERS = 6144

_POLICY_NAME = re.compile(r"[\w+=,.@-]{1,120}", re.ASCII)  # 128, less the room for a number
_NUMBERED = re.compile(r"(.*)-([1-9]\d*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """One managed policy."""

    name: str
    statements: tuple[Statement, ...]

    @property
    def document(self) -> dict[str, Any]:
        """The document as IAM takes it."""
        return {"Version": "2012-10-17", "Statement": list(self.statements)}


def build_policies(
    name: str,
    grant: Grant,
    placed: Mapping[int, Collection[str]] | None = None,
    taken: Collection[int] = (),
) -> tuple[PolicyDocument, ...]:
    """Return the documents that hold the grant: ``name``, and ``name-2``, … for buckets that do not fit.

    Buckets are sorted, so that the order they are named in does not change a document.

    :param placed: which buckets the documents that are there hold, by number. They stay, as far as they fit.
    :param taken: numbers whose names are somebody else's.
    """
    check_policy_name(name)
    common = (*common_statements(grant), *package_statements(grant))
    if count_characters(common) > MAX_DOCUMENT_CHARACTERS:
        raise _too_long(name)
    wanted = set(grant.quilt_buckets)
    contents: dict[int, list[str]] = {1: []}
    for number in sorted(placed or {}):
        contents[number] = []
        for bucket in sorted(wanted.intersection((placed or {})[number])):
            if _fits(grant, common, number, [*contents[number], bucket]):
                contents[number].append(bucket)
                wanted.discard(bucket)
    numbers = _numbers(contents, taken)
    number = next(numbers)
    for bucket in sorted(wanted):
        while not _fits(grant, common, number, [*contents.setdefault(number, []), bucket]):
            if not contents[number] and number > 1:
                raise _too_long(name)
            number = next(numbers)
        contents[number].append(bucket)
    return tuple(
        PolicyDocument(policy_name(name, number), _statements(grant, common, number, sorted(buckets)))
        for number, buckets in sorted(contents.items())
        if buckets or number == 1
    )


def _numbers(contents: Mapping[int, object], taken: Collection[int]) -> Iterator[int]:
    """Yield the numbers of documents to be filled: those that are there, then new ones."""
    there = sorted(contents)
    yield from there
    yield from (number for number in count(2) if number not in taken and number not in there)


def _statements(
    grant: Grant, common: tuple[Statement, ...], number: int, buckets: Sequence[str]
) -> tuple[Statement, ...]:
    return (*(common if number == 1 else ()), *bucket_statements(grant.account, buckets))


def _fits(grant: Grant, common: tuple[Statement, ...], number: int, buckets: Sequence[str]) -> bool:
    return count_characters(_statements(grant, common, number, buckets)) <= MAX_DOCUMENT_CHARACTERS


def _too_long(name: str) -> InvalidCallError:
    return InvalidCallError(
        f"The policy {name} does not fit {MAX_DOCUMENT_CHARACTERS} characters even without buckets. "
        "Shorten the names of the database, the workgroup and the warehouse, or name fewer registries and "
        "sources of packages: those of others fit a second provisioning, with a policy_name of its own."
    )


def check_policy_name(name: str) -> str:
    """Return ``name`` when policies may be called so; raise InvalidCallError otherwise."""
    if not _POLICY_NAME.fullmatch(name):
        raise InvalidCallError(
            f"Not a policy name: {name!r}. Expected up to 120 letters, digits and characters of _+=,.@-"
        )
    return name


def policy_name(name: str, number: int) -> str:
    """Return the name of the first, second, … policy."""
    return name if number == 1 else f"{name}-{number}"


def number_of(policy: str, name: str) -> int | None:
    """Return which of the policies called ``name`` this one is; None when it is none of them.

    IAM's names are unique whatever their case, so another case is the same name.

    >>> number_of("Stack", "Stack"), number_of("stack-12", "Stack"), number_of("Stack-02", "Stack")
    (1, 12, None)
    """
    if policy.casefold() == name.casefold():
        return 1
    numbered = _NUMBERED.fullmatch(policy)
    if not numbered or numbered[1].casefold() != name.casefold():
        return None
    number = int(numbered[2])
    return number if number > 1 else None


def buckets_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the Quilt buckets that a document of ours names."""
    statements = document.get("Statement") or ()
    for statement in [statements] if isinstance(statements, dict) else statements:
        if statement.get("Sid") == FIND_BUCKETS:
            resources = statement.get("Resource") or ()
            roots = [resources] if isinstance(resources, str) else resources
            return tuple(root.rpartition(":::")[2] for root in roots)
    return ()


def count_characters(statements: Sequence[Statement]) -> int:
    """Return how many characters IAM counts in a document of these statements."""
    text = json.dumps(PolicyDocument("", tuple(statements)).document)
    return len(re.sub(r"\s", "", text))
