"""Tables and views that others change in the same moment: looked at again, and never half made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.ownership import CREATED_BY, CREATED_BY_PARAMETER
from airflow_quilt_athena.core.quilt.table_ddl import TableDefinition, build_table_input, define_tables
from airflow_quilt_athena.exceptions import InvalidCallError, QueryFailedError, RetryableError
from airflow_quilt_athena.flows.aws import deadline
from airflow_quilt_athena.flows.quilt.bucket_views import apply_tables, mark_views, refresh_bucket_views
from airflow_quilt_athena.flows.quilt.refresh_plan import Refresh, RefreshRequest
from tests.fakes.glue import FakeGlue
from tests.unit.athena_fake import FakeAthena, client_error

MANIFESTS = define_tables(BucketNames.of("acme"))[0]


@dataclass(eq=False)
class BusyGlue(FakeGlue):
    """Somebody else changes tables just before we do, so many times."""

    overtaken: int = 0
    updates: list[dict[str, Any]] = field(default_factory=list)

    def update_table(self, **request: Any) -> dict[str, Any]:
        self.updates.append(request)
        if self.overtaken:
            self.overtaken -= 1
            raise client_error("ConcurrentModificationException")
        return super().update_table(**request)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_FIRST_PAUSE_SECONDS", 0.0)


def drifted() -> dict[str, Any]:
    """The table as somebody mended it by hand: a column is missing."""
    table = build_table_input(MANIFESTS, {CREATED_BY_PARAMETER: CREATED_BY})
    del table["StorageDescriptor"]["Columns"][0]
    return table


def apply(glue: FakeGlue, definition: TableDefinition, raw: dict[str, Any] | None) -> None:
    apply_tables(glue, "lake", Refresh(Plan(()), ((definition, raw),), ()))


def columns(glue: FakeGlue) -> list[str]:
    table = glue.get_table(DatabaseName="lake", Name=MANIFESTS.name)["Table"]
    return [column["Name"] for column in table["StorageDescriptor"]["Columns"]]


def test_a_table_that_somebody_changes_meanwhile_is_looked_at_and_mended_again() -> None:
    glue = BusyGlue({"lake": {}}, overtaken=2)
    glue.create_table(DatabaseName="lake", TableInput=drifted())
    apply(glue, MANIFESTS, glue.get_table(DatabaseName="lake", Name=MANIFESTS.name)["Table"])
    assert columns(glue)[0] == "logical_key"
    assert len(glue.updates) == 3


def test_a_table_that_somebody_made_first_and_as_wanted_is_left_as_it_is() -> None:
    glue = BusyGlue({"lake": {}})
    glue.create_table(DatabaseName="lake", TableInput=build_table_input(MANIFESTS, {}))
    apply(glue, MANIFESTS, None)
    assert glue.updates == []
    assert columns(glue)[0] == "logical_key"


def test_a_table_that_is_never_at_rest_is_left_to_a_later_run() -> None:
    glue = BusyGlue({"lake": {}}, overtaken=99)
    glue.create_table(DatabaseName="lake", TableInput=drifted())
    raw = glue.get_table(DatabaseName="lake", Name=MANIFESTS.name)["Table"]
    with pytest.raises(RetryableError, match=rf"lake\.{MANIFESTS.name} is being changed by others"):
        apply(glue, MANIFESTS, raw)
    assert len(glue.updates) == 5
    assert columns(glue)[0] == "physical_keys"


def test_a_table_whose_version_is_not_told_is_mended_all_the_same() -> None:
    glue = BusyGlue({"lake": {}})
    glue.create_table(DatabaseName="lake", TableInput=drifted())
    raw = glue.get_table(DatabaseName="lake", Name=MANIFESTS.name)["Table"]
    del raw["VersionId"]
    apply(glue, MANIFESTS, raw)
    assert columns(glue)[0] == "logical_key"
    assert "VersionId" not in glue.updates[0]


def test_a_refusal_of_glue_is_told_and_not_tried_again() -> None:
    glue = BusyGlue({"lake": {}})
    raw = {**drifted(), "DatabaseName": "lake", "VersionId": "0"}
    with pytest.raises(InvalidCallError, match=rf"change lake\.{MANIFESTS.name} in Glue"):
        apply(glue, MANIFESTS, raw)  # it was dropped since it was looked at
    assert len(glue.updates) == 1


def view(glue: FakeGlue) -> None:
    definition = {"Name": "acme_tags", "TableType": "VIRTUAL_VIEW", "StorageDescriptor": {"Columns": []}}
    glue.create_table(DatabaseName="lake", TableInput=definition)


def test_a_view_that_vanished_just_after_it_was_made_is_made_by_the_next_run() -> None:
    with pytest.raises(RetryableError, match=r"lake\.acme_tags vanished just after it was made"):
        mark_views(BusyGlue({"lake": {}}), "lake", {"acme_tags": "digest"})


def test_a_view_that_is_never_at_rest_is_left_to_a_later_run() -> None:
    glue = BusyGlue({"lake": {}}, overtaken=99)
    view(glue)
    with pytest.raises(RetryableError, match=r"lake\.acme_tags is being changed by others"):
        mark_views(glue, "lake", {"acme_tags": "digest"})
    assert len(glue.updates) == 5


def test_a_view_changed_once_while_it_is_marked_is_marked_as_it_then_is() -> None:
    glue = BusyGlue({"lake": {}}, overtaken=1)
    view(glue)
    mark_views(glue, "lake", {"acme_tags": "digest"})
    marks = glue.get_table(DatabaseName="lake", Name="acme_tags")["Table"]["Parameters"]
    assert marks["quilt_athena.wanted"] == "digest"


class Overtaken(FakeAthena):
    """Every view was made by somebody else a moment before."""

    def _execution(self, query_id: str) -> dict[str, Any]:
        status = {"State": "FAILED", "StateChangeReason": "View already exists"}
        return {"QueryExecutionId": query_id, "WorkGroup": "wg", "Status": status}


def test_a_refresh_that_others_overtake_without_end_fails_with_the_reason_of_athena() -> None:
    athena = Overtaken()
    with pytest.raises(QueryFailedError, match="View already exists"):
        refresh_bucket_views(
            athena, FakeGlue({"lake": {}}), RefreshRequest(("acme",), "lake", "wg"), timeout_seconds=60
        )
    made = [re.findall(r'VIEW "lake"\."(\w+)"', one["QueryString"])[0] for one in athena.started]
    assert made.count(BucketNames.of("acme").tags) == 5
