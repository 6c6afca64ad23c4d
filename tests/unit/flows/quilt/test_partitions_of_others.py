"""Partitions that somebody else wrote into a table of ours: they say nothing, and hide nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_quilt_athena.core.glue.tables import parse_table
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import KEEPS_PARAMETER, Held, Unit, render_mark
from airflow_quilt_athena.core.quilt.late import COVERED_PARAMETER, Covered
from airflow_quilt_athena.core.quilt.revisions import Interval
from airflow_quilt_athena.flows.quilt.kept import observe_kept
from airflow_quilt_athena.flows.quilt.late import read_covered
from tests.fakes.glue import FakeGlue
from tests.unit.flows.quilt.test_refresh_plan import NAMES, kept_tables
from tests.unit.s3_fake import FakeS3

A = "a" * 64
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def partition(glue: FakeGlue, *values: str, **parameters: str) -> None:
    glue.create_partition(
        DatabaseName="lake",
        TableName=NAMES.revisions_table,
        PartitionInput={"Values": list(values), "Parameters": parameters, "StorageDescriptor": {}},
    )


def test_a_partition_without_our_mark_keeps_nothing_and_the_marked_one_does() -> None:
    s3, glue = FakeS3(), kept_tables()
    for package in ("team/kept", "team/others"):
        s3.objects[f".quilt/named_packages/{package}/1767225600"] = (A.encode(), s3.now)
    s3.objects[f".quilt/packages/{A}"] = (b"{}", s3.now)
    key = ".quilt/named_packages/team/kept/1767225600"
    mark = render_mark({"1767225600": Held(s3.etag(key), A, s3.etag(f".quilt/packages/{A}"))})
    partition(glue, "2026-01-01", "team/kept", **{KEEPS_PARAMETER: mark})
    partition(glue, "2026-01-01", "team/others")
    seen = observe_kept(glue, s3, BucketNames.of("acme"), "lake")
    assert set(seen.newer_units) == {Unit("2026-01-01", "team/others")}


def test_a_partition_that_does_not_say_what_it_was_written_from_is_passed_over() -> None:
    glue = kept_tables()
    covered = Covered.of(Interval("acme", DAY, datetime(2026, 1, 2, tzinfo=UTC)), {"dt": "x"}, DAY, ())
    partition(glue, "2026-01-01", "team/pkg", **{COVERED_PARAMETER: covered.render()})
    partition(glue, "2026-01-02", "team/pkg", **{COVERED_PARAMETER: "of another release"})
    partition(glue, "2026-01-03", "team/pkg")
    raw = glue.get_table(DatabaseName="lake", Name=NAMES.revisions_table)["Table"]
    assert read_covered(glue, parse_table(raw)) == (covered,)
