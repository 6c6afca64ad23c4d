"""Whose a view of one of our names is, where its mark does not say."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.ownership import (
    Owner,
    owner_of_view,
    refuse_others_view,
    view_sql,
    views_known,
)
from airflow_quilt_athena.core.quilt.views import ViewDefinition
from airflow_quilt_athena.exceptions import ManualActionError

NAMES = BucketNames.of("acme-data")
VIEW = ViewDefinition(NAMES.packages_view, "SELECT * FROM t WHERE a = 'registry'")
MARK = {"quilt_athena.created_by": "airflow-quilt-athena"}
SEEDS_COLUMNS = ["user", "name", "hash", "timestamp", "message", "meta"]


def athenas(document: object) -> str:
    return f"/* Presto View: {base64.b64encode(json.dumps(document).encode()).decode()} */"


def view(sql: str | None, text: str = "", columns: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    found = {
        "DatabaseName": "lake",
        "Name": VIEW.name,
        "ViewOriginalText": text if sql is None else athenas({"originalSql": sql}),
        "StorageDescriptor": {"Columns": [{"Name": name} for name in columns or ()]},
    }
    return found | fields


@pytest.mark.parametrize(
    ("raw", "known", "owner"),
    [
        (view("SELECT 1", Parameters=MARK), (), Owner.US),
        (view("SELECT 1"), (VIEW.name,), Owner.US_CHANGED_BY_HAND),
        (view('SELECT "a" FROM "t" WHERE (a = \'registry\')'), (), Owner.US),
        (view(f"SELECT * FROM {NAMES.manifests}", columns=SEEDS_COLUMNS), (), Owner.SEEDS),
        (view(f"SELECT * FROM {NAMES.manifests}", columns=["user"]), (), Owner.OTHERS),
        (view("SELECT 'it does not end"), (), Owner.OTHERS),
        (view(None, text="SELECT 1"), (), Owner.OTHERS),
    ],
)
def test_a_views_owner_is_told_by_its_mark_its_neighbours_or_its_text(
    raw: dict[str, Any], known: tuple[str, ...], owner: Owner
) -> None:
    assert owner_of_view(VIEW, raw, NAMES, known) is owner


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "/* Presto View: AAA */",
        "/* Presto View: AAAA */",
        athenas({"sql": "SELECT 1"}),
        athenas(["SELECT 1"]),
    ],
)
def test_a_view_of_another_engine_has_no_sql_of_athenas(text: str) -> None:
    assert view_sql({"ViewOriginalText": text}) is None
    assert view_sql({}) is None


def test_a_bucket_s_marked_views_say_which_were_made_with_them() -> None:
    made = {"quilt_athena.made_with": f"{NAMES.packages_view},{NAMES.objects_view}"}
    found = {
        NAMES.packages_view: view("SELECT 1", Parameters=MARK | made),
        NAMES.objects_view: view("SELECT 1", Parameters={"quilt_athena.made_with": "others"}),
    }
    assert views_known(NAMES, found) == {NAMES.packages_view, NAMES.objects_view}


def test_nothing_of_others_is_replaced() -> None:
    refuse_others_view(VIEW, view("SELECT 1"), Owner.SEEDS)
    with pytest.raises(ManualActionError, match=f"View lake.{VIEW.name} was made by somebody else"):
        refuse_others_view(VIEW, view("SELECT 1"), Owner.OTHERS)
