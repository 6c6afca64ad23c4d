"""What is refused before anything is written, and what is decided of the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Bucketing, Table
from airflow_quilt_athena.core.overwrite.ctas import Encoding
from airflow_quilt_athena.core.overwrite.request import Replace, Writer
from airflow_quilt_athena.core.quilt.revisions import Interval, Revision
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.lake_examples import NOON, plan, statements, table, text_table

BUCKETED = {"BucketColumns": ["id"], "NumberOfBuckets": 4}
KEYS = [{"Name": "dt", "Type": "date"}, {"Name": "c", "Type": "string"}, {"Name": "n", "Type": "int"}]
LOCATION = S3Uri("lake", "sales/orders/")
PLACE: dict[str, Any] = {"location": LOCATION}
AS_SEEN = (("id", "bigint"), ("note", "string"))


def bucketed() -> Table:
    return table(descriptor=BUCKETED)


# ------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("seen_table", "arguments", "message"),
    [
        # a table that does not exist, without the means to create it
        (None, {}, "database sales has no location"),
        (None, {**PLACE, "partition": "2026-01-01"}, "no partition keys are given"),
        (None, {"location": S3Uri("lake")}, "root of a bucket"),
        (None, {"location": S3Uri("lake", "/")}, "root of a bucket"),
        # a partition that does not fit the keys
        (table(), {"partition": {"day": "2026-01-01"}}, "names day"),
        (table(), {"partition": {"dt": ""}}, "template that found no value"),
        (table(PartitionKeys=[]), {}, "no partition keys"),
        (table(PartitionKeys=KEYS), {"partition": "2026-01-01"}, "mapping"),
        (table(PartitionKeys=KEYS), {"partition": {"dt": "soon"}}, "not a date"),
        (table(), {"replace": Replace.TABLE}, r'replace is "table"'),
        (table(), {"partitioned_by": (("dt", "date"),)}, "partitioned_by"),
        # a table that cannot be overwritten
        (table(TableType="VIRTUAL_VIEW"), {}, "view"),
        (table(Parameters={"projection.enabled": "true"}), {}, "projected"),
        (table(descriptor={"Location": "s3://lake/"}), {}, "root of a bucket"),
        (table(descriptor={"SerdeInfo": {"SerializationLibrary": "org.OpenCSVSerde"}}), {}, "OpenCSVSerde"),
        (table(Parameters={"table_type": "ICEBERG"}), {}, "iceberg"),
        (table(), PLACE | {"location": S3Uri("lake", "elsewhere/")}, "does not move a table"),
        (table(), {"file_format": FileFormat.ORC}, "file_format is ORC"),
        (table(descriptor={"Columns": [{"Name": "x", "Type": "uniontype<int>"}]}), {}, "cannot be written"),
        # several statements, none, another
        (table(), {"query": "SELECT 1; SELECT 2"}, "2 statements"),
        (table(), {"query": "DELETE FROM orders"}, "'DELETE'"),
        (table(), {"query": "SELECT 'x"}, "not closed"),
        # checks
        (table(), {"checks": {"few": "SELECT 1"}}, "staged"),
        (table(), {"checks": {"few": "SELECT 1 FROM {staged}; SELECT 2"}}, "staged"),
        # buckets
        (table(), {"bucketed_by": ("id",), "bucket_count": 4}, "has no buckets"),
        (bucketed(), {"bucketed_by": ("id",), "bucket_count": 8}, "count=4"),
        (bucketed(), {"bucketed_by": ("note",), "bucket_count": 4}, "Leave bucketed_by"),
        (table(descriptor=BUCKETED | {"NumberOfBuckets": 101}), {}, "101 buckets"),
        (bucketed(), {"writer": Writer.UNLOAD}, 'writer is "unload": UNLOAD writes no buckets'),
        # where generations lie
        (table(), {"generations_location": S3Uri("other")}, "generations_location is the root"),
        (table(), {"generations_location": LOCATION / "gen/"}, "lies inside the table's folder"),
    ],
)
def test_what_can_be_known_to_fail_is_refused_before_anything_is_written(
    seen_table: Table | None, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCallError, match=message):
        plan(seen_table, **arguments)


@pytest.mark.parametrize(
    ("seen_table", "arguments", "message"),
    [
        (table(), {"writer": Writer.CTAS}, 'writer is "ctas", but Athena workgroup wg enforces'),
        (bucketed(), {}, "workgroup wg enforces its location: UNLOAD writes no buckets"),
        (None, {**PLACE, "bucketed_by": ("id",), "bucket_count": 4}, "UNLOAD writes no buckets"),
    ],
)
def test_what_a_workgroup_that_enforces_its_location_cannot_write_is_refused(
    seen_table: Table | None, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCallError, match=message):
        plan(seen_table, enforced=True, **arguments)


def padded(size: int) -> str:
    """Return a query that makes a CTAS of ``size`` bytes."""
    query = "SELECT 1 AS id, '' AS note"
    room = size - len(statements(table(), query=query).stage(AS_SEEN).encode())
    return query.replace("''", f"'{'ü' * (room // 2)}{'x' * (room % 2)}'")


def test_a_statement_longer_than_athena_takes_is_refused_counted_in_bytes() -> None:
    assert len(statements(table(), query=padded(262_144)).stage(AS_SEEN).encode()) == 262_144
    with pytest.raises(InvalidCallError, match=r"262,145 bytes long.*Athena takes 262,144"):
        plan(table(), query=padded(262_145))


# ------------------------------------------------------------------------------------------------ decided


def test_a_new_table_lies_where_it_is_told_or_in_its_database() -> None:
    assert plan(None, **PLACE).base == LOCATION
    assert plan(None, location=S3Uri("lake", "sales/orders")).base == LOCATION
    assert plan(None, default=S3Uri("lake", "sales/orders")).base == LOCATION
    assert plan(None, default=S3Uri("other", "x/"), **PLACE).base == LOCATION


@pytest.mark.parametrize(
    ("writer", "enforced", "unloads"),
    [
        (Writer.AUTO, False, False),
        (Writer.AUTO, True, True),
        (Writer.CTAS, False, False),
        (Writer.UNLOAD, False, True),
        (Writer.UNLOAD, True, True),
    ],
)
def test_unload_writes_where_the_workgroup_enforces_its_location_or_when_told(
    writer: Writer, enforced: bool, unloads: bool
) -> None:
    planned = plan(table(), enforced=enforced, writer=writer)
    assert planned.unloads is unloads
    assert planned.describes is unloads


@pytest.mark.parametrize(
    ("file_format", "describes"), [(FileFormat.TEXTFILE, True), (FileFormat.ORC, False), (None, False)]
)
def test_the_columns_of_a_new_text_table_are_learned_before_they_are_guarded(
    file_format: FileFormat | None, describes: bool
) -> None:
    assert plan(None, file_format=file_format, **PLACE).describes is describes
    assert plan(text_table()).describes is False


def test_the_tables_own_way_of_writing_is_taken_over() -> None:
    zstd = table(Parameters={"write.compression": "zstd", "compression_level": "7"})
    assert plan(zstd).encoding == Encoding(FileFormat.PARQUET, "ZSTD", 7)
    assert plan(zstd, compression="SNAPPY").encoding == Encoding(FileFormat.PARQUET, "SNAPPY")
    assert plan(zstd, compression="ZSTD", compression_level=3).encoding.compression_level == 3
    assert plan(table()).encoding == Encoding(FileFormat.PARQUET)
    assert plan(text_table(field__delim="|")).encoding == Encoding(FileFormat.TEXTFILE, field_delimiter="|")
    assert plan(bucketed()).bucketing == Bucketing(("id",), 4)
    assert plan(bucketed(), bucketed_by=("ID",), bucket_count=4).bucketing == Bucketing(("id",), 4)
    assert plan(None, bucketed_by=("ID",), bucket_count=2, **PLACE).bucketing == Bucketing(("id",), 2)


def test_the_result_has_the_tables_columns_and_the_keys_it_decides() -> None:
    assert plan(table()).expected_columns == AS_SEEN
    assert plan(table(), partition={}).expected_columns == (*AS_SEEN, ("dt", "string"))
    assert plan(None, **PLACE).expected_columns is None


def test_a_try_is_joined_only_where_it_would_send_the_same_statements() -> None:
    def basis(seen_table: Table | None, *, enforced: bool = False, **arguments: Any) -> str:
        return plan(seen_table, enforced=enforced, **arguments).basis

    others = [
        basis(None, **PLACE),
        basis(table(descriptor={"Columns": [{"Name": "id", "Type": "int"}]})),
        basis(table(Parameters={"quilt_athena.base": "s3://lake/moved/"})),
        basis(table(Parameters={"write.compression": "zstd"})),
        basis(bucketed()),
        basis(table(), enforced=True),
        basis(table(PartitionKeys=KEYS)),
    ]
    assert basis(table()) == basis(table(VersionId="17"))
    assert len({basis(table()), *others}) == len(others) + 1


# --------------------------------------------------------------------------------- revisions of an interval

INTERVAL = Interval("acme-data", NOON, NOON + timedelta(days=1))
MANY = tuple(Revision("team/pkg", str(1767225600 + n), f"{n:064x}", is_latest=False) for n in range(1800))
BY_REVISION: dict[str, Any] = {
    "query": "SELECT 1 AS id, r.pkg_name AS note FROM {revisions} AS r",
    "quilt_revisions": INTERVAL,
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": "SELECT 1 AS id FROM {entries}"}, r"uses \{entries\}, which quilt_revisions"),
        ({"query": "SELECT 1 AS id", "quilt_revisions": INTERVAL}, "uses neither"),
    ],
)
def test_tokens_and_an_interval_go_together(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        plan(table(), **arguments)


def test_a_query_that_is_too_long_without_its_revisions_is_refused() -> None:
    long = "SELECT 1 AS id, r.pkg_name || '" + "x" * 262_144 + "' AS note FROM {revisions} AS r"
    with pytest.raises(InvalidCallError, match="Athena takes 262,144"):
        plan(table(), revisions=MANY, query=long, quilt_revisions=INTERVAL)
