"""What an overwrite does to each partition: decided from what was staged and what Glue has now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Selection, Values
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry
from airflow_quilt_athena.exceptions import InvalidCallError

PARAMETER_PREFIX = "quilt_athena."
GENERATION_PARAMETER = PARAMETER_PREFIX + "generation"

_INPUT_FIELDS = ("Values", "StorageDescriptor", "Parameters")


@dataclass(frozen=True, slots=True)
class Staged:
    """Where the new rows of a partition are, and how many."""

    location: str
    rows: int


def plan_folder(base: S3Uri, selection: Selection, attempt: Attempt, elsewhere: S3Uri | None) -> S3Uri:
    """Return the fresh folder that holds all that an attempt stages.

    It lies in a dot-folder of the table's base, where neither a listing of the table nor MSCK REPAIR nor a
    tool that deletes the partition's natural folder meets it.
    """
    root = base / f"{GENERATIONS_FOLDER}/"
    if elsewhere is not None:
        if not elsewhere.key.strip("/"):
            raise InvalidCallError(f"generations_location is the root of a bucket: {elsewhere}.")
        if base.contains(elsewhere) and not root.contains(elsewhere):
            raise InvalidCallError(
                f"generations_location {elsewhere} lies inside the table's folder {base}, where a reader of "
                "the whole table would find every generation. Expected a place outside."
            )
        root = elsewhere.folder
    return root / f"{selection.prefix_path}/{attempt.name}/"


def plan_changes(
    selection: Selection,
    staged: Mapping[Values, Staged],
    current: Mapping[Values, Mapping[str, Any]],
    *,
    attempt: Attempt,
    base: S3Uri,
    known: Sequence[Change] = (),
) -> tuple[Change, ...]:
    """Return what happens to each partition, sorted by its values.

    :param staged: the new partitions, by their identity.
    :param current: the partitions as Glue has them, by their identity.
    :param known: what an earlier look planned. Where Glue already is as planned, what was there before it
        is known from then.
    """
    before = {change.values: change for change in known}
    changes: list[Change] = []
    for values in staged.keys() | current.keys() | before.keys():
        new, now, then = staged.get(values), current.get(values), before.get(values)
        if new is None and (now is None or not selection.removes or not selection.covers(values)):
            if now is None and then is not None and then.action is Action.REMOVED:
                changes.append(then)  # gone by now, as planned
        elif then is not None and new is not None and location_of(now) == new.location:
            changes.append(then)  # flipped by now, as planned
        else:
            changes.append(_change(values, new, now, attempt, base))
    return tuple(sorted(changes, key=lambda change: change.values))


def _change(
    values: Values,
    new: Staged | None,
    now: Mapping[str, Any] | None,
    attempt: Attempt,
    base: S3Uri,
) -> Change:
    action = Action.REMOVED if new is None else Action.CREATED if now is None else Action.REPLACED
    return Change(
        values=values,
        action=action,
        location=new.location if new else None,
        generation=attempt.name if new else None,
        rows=new.rows if new else None,
        previous_location=location_of(now),
        previous_generation=generation_of(now),
        previous=as_input(now),
        adopted=_adopted(base, location_of(now)),
    )


def _adopted(base: S3Uri, location: str | None) -> str | None:
    """Return the folder whose files may be deleted one day though we did not write them.

    Only where Glue pointed at it, inside the table: a foreign location is replaced, never deleted from.
    """
    if location is None:
        return None
    place = S3Uri.parse(location)
    inside = base.contains(place) and not (base / f"{GENERATIONS_FOLDER}/").contains(place)
    return location if inside else None


def plan_roll_forward(
    changes: Sequence[Change], current: Mapping[Values, Mapping[str, Any]]
) -> tuple[Change, ...]:
    """Return the changes still to be made for somebody who did not finish.

    A partition that is neither as it was nor as planned has been written since: it stays as it is.
    """
    return tuple(
        change
        for change in changes
        if location_of(current.get(change.values)) == change.previous_location != change.location
    )


def undone(change: Change) -> Change:
    """Return the change that gives a partition back what it had, where no overwrite had published it."""
    return replace(
        change,
        location=change.previous_location,
        generation=change.previous_generation,
        restored=change.previous,
    )


def is_superseded_by(selection: Selection, entry: Entry) -> bool:
    """Whether publishing ``selection`` replaces or removes everything that ``entry`` would publish."""
    return selection.removes and all(selection.covers(change.values) for change in entry.changes)


def as_input(partition: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what of a partition can be sent back to Glue to have it again: its own parts, not copies."""
    if partition is None:
        return None
    return {name: partition[name] for name in _INPUT_FIELDS if partition.get(name) is not None}


def location_of(partition: Mapping[str, Any] | None) -> str | None:
    """Return the folder of a partition's (or a table's) files, with a slash at its end."""
    location = ((partition or {}).get("StorageDescriptor") or {}).get("Location")
    return str(S3Uri.parse(location).folder) if location else None


def generation_of(partition: Mapping[str, Any] | None) -> str | None:
    """Return the generation a partition (or a table) is at, when it is one of ours."""
    name = ((partition or {}).get("Parameters") or {}).get(GENERATION_PARAMETER)
    # A tool that moved the partition may have kept the parameter.
    return name if name and f"/{name}/" in (location_of(partition) or "") else None
