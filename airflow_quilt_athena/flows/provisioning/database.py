"""The Glue database of tables and views, and what it remembers of a run that was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_quilt_athena.core.plans import Difference, Step
from airflow_quilt_athena.core.quilt.ownership import CREATED_BY, CREATED_BY_PARAMETER
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change

# The results bucket that provisioning was about to make. S3 cannot make a bucket and mark it in one step:
# by this the next run knows a bucket for ours that a run made and did not come to mark.
_MAKES_BUCKET_PARAMETER = "quilt_athena.makes_bucket"
_NOT_THERE = frozenset({"EntityNotFoundException"})
_CAME_FIRST = frozenset({"AlreadyExistsException"})
# What GetDatabase answers besides what UpdateDatabase takes.
_READ_ONLY = frozenset({"CreateTime", "CatalogId"})

RawDatabase = Mapping[str, Any]


def observe_database(clients: AwsClients, name: str) -> RawDatabase | None:
    """Return a database as Glue has it, or None."""
    found = ask_unless(
        _NOT_THERE, lambda: clients.glue.get_database(Name=name), f"look at database {name} in Glue"
    )
    return None if found is None else found["Database"]


def is_ours(database: RawDatabase) -> bool:
    """Whether provisioning made the database."""
    return (database.get("Parameters") or {}).get(CREATED_BY_PARAMETER) == CREATED_BY


def is_begun(database: RawDatabase | None, bucket: str) -> bool:
    """Whether a run wrote down that it was about to make this bucket."""
    return ((database or {}).get("Parameters") or {}).get(_MAKES_BUCKET_PARAMETER) == bucket


def plan_database(
    clients: AwsClients, name: str, found: RawDatabase | None, *, bucket_to_make: str | None
) -> Change:
    """Return what has to be done.

    :param bucket_to_make: the results bucket, when this run makes it; written down before that is done.
    """
    note = {_MAKES_BUCKET_PARAMETER: bucket_to_make} if bucket_to_make else {}
    if found is None:
        definition = {
            "Name": name,
            "Description": "Quilt packages",
            "Parameters": {CREATED_BY_PARAMETER: CREATED_BY, **note},
        }
        return Change(
            Step.create("database", name),
            lambda: ask_unless(
                _CAME_FIRST,
                lambda: clients.glue.create_database(DatabaseInput=definition),
                f"create database {name} in Glue",
            ),
        )
    if not (bucket_to_make and is_ours(found)) or is_begun(found, bucket_to_make):
        return Change(Step.converge("database", name, ()), lambda: None)
    kept = {field: value for field, value in found.items() if field not in _READ_ONLY}
    changed = {**kept, "Parameters": {**(found.get("Parameters") or {}), **note}}
    step = Step.converge("database", name, [Difference(_MAKES_BUCKET_PARAMETER, None, bucket_to_make)])
    return Change(
        step,
        lambda: ask(
            lambda: clients.glue.update_database(Name=name, DatabaseInput=changed),
            f"change database {name} in Glue",
        ),
    )
