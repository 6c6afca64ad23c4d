"""Whose a view of one of our names is: told by its mark, before it is replaced or dropped. Pure.

Athena writes fresh parameters when it replaces a view, so a view that somebody changed by hand carries no
mark any more, and one whose maker was stopped carries none yet. The first is told by the other views of its
bucket, each of which says what was made with it; the second by its text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import Any

from airflow_quilt_athena.core.athena.sql import SqlTextError, TokenKind, tokenize
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.views import ViewDefinition
from airflow_quilt_athena.exceptions import ManualActionError

CREATED_BY_PARAMETER = "quilt_athena.created_by"
CREATED_BY = "airflow-quilt-athena"
MADE_WITH_PARAMETER = "quilt_athena.made_with"  # the names of the bucket's views that this package makes

VIRTUAL_VIEW = "VIRTUAL_VIEW"

_PRESTO_VIEW = re.compile(r"/\* Presto View: ([A-Za-z0-9+/=\s]+) \*/")
# What Quilt's documentation of 2022 gives its views.
_SEEDS_COLUMNS = {
    "packages_view": ["user", "name", "hash", "timestamp", "message", "meta"],
    "objects_view": [
        "user", "name", "timestamp", "tophash", "logical_key", "physical_keys", "size", "hash", "meta",
        "user_meta",
    ],
}  # fmt: skip

RawTable = Mapping[str, Any]


class Owner(Enum):
    """Who made a view."""

    US = "us"
    US_CHANGED_BY_HAND = "us, changed by hand"
    SEEDS = "made as Quilt's documentation says"
    OTHERS = "somebody else"


def is_marked(raw: RawTable) -> bool:
    """Whether a table or view carries our mark."""
    return (raw.get("Parameters") or {}).get(CREATED_BY_PARAMETER) == CREATED_BY


def views_known(names: BucketNames, found: Mapping[str, RawTable]) -> frozenset[str]:
    """Return which of a bucket's views this package has made, as far as those that are there say."""
    marked = [found[name] for name in names.views if name in found and is_marked(found[name])]
    said = ((raw.get("Parameters") or {}).get(MADE_WITH_PARAMETER, "") for raw in marked)
    return frozenset(name for text in said for name in text.split(",") if name)


def made_with(names: Iterable[str]) -> str:
    """Return what a view says of those that are made with it."""
    return ",".join(sorted(names))


def owner_of_view(view: ViewDefinition, raw: RawTable, names: BucketNames, known: Collection[str]) -> Owner:
    """Return who made the view that has our view's name.

    :param known: the views of the bucket that were made by us; see ``views_known``.
    """
    if is_marked(raw):
        return Owner.US
    if view.name in known:
        return Owner.US_CHANGED_BY_HAND
    sql = view_sql(raw)
    if sql is None:
        return Owner.OTHERS
    if _says_the_same(sql, view.sql):
        return Owner.US
    return Owner.SEEDS if _is_seeds(view.name, raw, sql, names) else Owner.OTHERS


def refuse_others_view(view: ViewDefinition, raw: RawTable, owner: Owner) -> None:
    """Raise ManualActionError unless the view is there to be replaced by ours."""
    if owner is Owner.OTHERS:
        raise ManualActionError(
            f"View {raw['DatabaseName']}.{view.name} was made by somebody else: it does not carry the "
            f"parameter {CREATED_BY_PARAMETER}={CREATED_BY}. Nothing was changed. Rename or drop it, or name "
            "another database."
        )


def view_sql(raw: RawTable) -> str | None:
    """Return the SQL of a view that Athena wrote; None for another engine's."""
    match = _PRESTO_VIEW.fullmatch(str(raw.get("ViewOriginalText") or ""))
    if not match:
        return None
    try:
        return str(json.loads(base64.b64decode(match[1]))["originalSql"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None


def _says_the_same(found: str, wanted: str) -> bool:
    """Whether a view's text is ours in Athena's words, which change all but names and string literals."""
    mine = _literals(wanted)
    return bool(mine) and _literals(found) == mine


def _literals(sql: str) -> Counter[str] | None:
    try:
        return Counter(token.text for token in tokenize(sql) if token.kind is TokenKind.STRING)
    except SqlTextError:
        return None


def _is_seeds(name: str, raw: RawTable, sql: str, names: BucketNames) -> bool:
    kind = {names.packages_view: "packages_view", names.objects_view: "objects_view"}.get(name)
    columns = [column["Name"] for column in (raw.get("StorageDescriptor") or {}).get("Columns") or ()]
    return kind is not None and columns == _SEEDS_COLUMNS[kind] and names.manifests in sql.lower()
