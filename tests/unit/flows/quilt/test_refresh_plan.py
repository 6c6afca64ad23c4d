"""What is refused before views are planned, and what they read where too much is not kept."""

from __future__ import annotations

import logging

import pytest

from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import BUCKET_PARAMETER
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest, plan_refresh
from tests.fakes.glue import FakeGlue
from tests.unit.s3_fake import FakeS3

NAMES = BucketNames.of("acme")
STALE = RefreshRequest(("acme",), "lake", "wg", materialized=True, always_fresh=False)


def kept_tables() -> FakeGlue:
    glue = FakeGlue({"lake": {}})
    for name in NAMES.kept_tables:
        glue.create_table(
            DatabaseName="lake",
            TableInput={
                "Name": name,
                "TableType": "EXTERNAL_TABLE",
                "Parameters": {BUCKET_PARAMETER: "acme"},
                "PartitionKeys": [
                    {"Name": "revision_date", "Type": "date"},
                    {"Name": "pkg_name", "Type": "string"},
                ],
                "StorageDescriptor": {"Columns": [], "Location": f"s3://lake/{name}/"},
            },
        )
    return glue


def registry(revisions: int) -> FakeS3:
    s3 = FakeS3()
    for number in range(revisions):
        top_hash = f"{number:064x}"
        s3.objects[f".quilt/named_packages/team/pkg/{1_600_000_000 + number}"] = (top_hash.encode(), s3.now)
        s3.objects[f".quilt/packages/{top_hash}"] = (b"{}", s3.now)
    return s3


def reads_kept(s3: FakeS3) -> bool:
    views = {view.name: view.sql for view in plan_refresh(kept_tables(), STALE, s3).views}
    return NAMES.entries_table in views[NAMES.entries]


def test_no_bucket_at_all_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(InvalidCallError, match="No bucket to make views for"):
        RefreshRequest((), "lake", "wg")


def test_views_that_name_what_is_not_kept_need_a_look_at_the_registry() -> None:
    with pytest.raises(TypeError, match="A client of S3 is needed"):
        plan_refresh(kept_tables(), STALE)


def test_more_revisions_than_views_can_name_are_read_from_the_manifests(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    assert reads_kept(registry(500))
    assert caplog.messages == []
    assert not reads_kept(registry(501))
    assert "Bucket acme has 501 revisions that its tables do not keep yet" in caplog.text
