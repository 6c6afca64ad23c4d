from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.request import (
    OnEmpty,
    OnFailedAudit,
    OverwriteRequest,
    Replace,
    Writer,
    parse_partitioned_by,
    parse_retain,
    plan_format,
    refuse_other_location,
    refuse_unknown_columns,
    table_properties,
)
from airflow_quilt_athena.core.quilt.revisions import Interval
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.lake_examples import NOON, request, table

# -------------------------------------------------------------------------------------- refused at once


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_parallel_queries": 0}, "max_parallel_queries is 0"),
        ({"bucketed_by": ("id",)}, "go together"),
        ({"bucket_count": 4}, "go together"),
        ({"bucketed_by": ("id",), "bucket_count": 0}, "bucket_count is 0"),
        ({"bucketed_by": ("id",), "bucket_count": 101}, "bucket_count is 101"),
        ({"compression_level": 3}, "only ZSTD has levels"),
        ({"compression_level": 3, "compression": "GZIP"}, "only ZSTD has levels"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        request(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"bucketed_by": ("id",), "bucket_count": 1},
        {"bucketed_by": ("id",), "bucket_count": 100},
        {"compression": "zstd", "compression_level": 22},
    ],
)
def test_arguments_at_their_limits_are_taken(arguments: dict[str, Any]) -> None:
    request(**arguments)


# ------------------------------------------------------------------------------------------ fingerprint

CHANGED: dict[str, Any] = {
    "query": "SELECT 2",
    "table": TableName("sales", "returns"),
    "partition": {"dt": "2026-01-02"},
    "database": "other",
    "workgroup": "other",
    "replace": Replace.TABLE,
    "partitioned_by": (("dt", "date"),),
    "location": S3Uri("b", "k/"),
    "file_format": FileFormat.ORC,
    "compression": "ZSTD",
    "compression_level": 4,
    "bucketed_by": ("id",),
    "bucket_count": 4,
    "table_comment": "c",
    "column_comments": {"id": "c"},
    "table_properties": {"a": "b"},
    "on_empty": OnEmpty.SKIP,
    "min_rows": 1,
    "checks": {"c": "SELECT 1 FROM {staged}"},
    "on_failed_audit": OnFailedAudit.DROP,
    "retain": timedelta(hours=1),
    "writer": Writer.CTAS,
    "max_parallel_queries": 2,
    "generations_location": S3Uri("b", "g/"),
    "catalog_id": "123456789012",
    "kms_key_arn": "arn:aws:kms:eu-west-1:123456789012:key/k",
    "quilt_revisions": Interval("b", NOON, NOON + timedelta(days=1)),
    "partition_notes": {'["2026-01-31"]': {"note": "x"}},
}
TOGETHER: dict[str, dict[str, Any]] = {
    "bucketed_by": {"bucket_count": 2},
    "bucket_count": {"bucketed_by": ("note",)},
    "compression_level": {"compression": "ZSTD"},
}


def test_every_argument_is_tried_below() -> None:
    assert CHANGED.keys() == {field.name for field in fields(OverwriteRequest)}


@pytest.mark.parametrize("name", CHANGED)
def test_a_retry_that_asks_for_something_else_is_told_apart(name: str) -> None:
    beside = TOGETHER.get(name, {})
    changed = request(**{**beside, name: CHANGED[name]})
    assert changed.fingerprint == request(**{**beside, name: CHANGED[name]}).fingerprint
    default = request() if name in {"bucketed_by", "bucket_count"} else request(**beside)
    assert changed.fingerprint != default.fingerprint


def test_equal_requests_have_one_fingerprint_however_they_are_spelled() -> None:
    one = request(partition={"dt": date(2026, 1, 1), "c": "x"}, checks={"a": "1", "b": "2"})
    same = request(partition={"c": "x", "dt": "2026-01-01"}, checks={"b": "2", "a": "1"})
    assert one.fingerprint == same.fingerprint


# ------------------------------------------------------------------------------------------- small reads


@pytest.mark.parametrize(
    ("text", "retain"),
    [
        ("24h", timedelta(days=1)),
        ("30m", timedelta(minutes=30)),
        ("7d", timedelta(days=7)),
        (" 90 M ", timedelta(minutes=90)),
    ],
)
def test_a_retention_is_read(text: str, retain: timedelta) -> None:
    assert parse_retain(text) == retain


@pytest.mark.parametrize("text", ["29m", "0h", "1w", "soon", "", "-1h", "1.5h"])
def test_a_retention_shorter_than_a_readers_query_is_refused(text: str) -> None:
    with pytest.raises(InvalidCallError, match="retain"):
        parse_retain(text)


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ("dt", (("dt", "string"),)),
        (("dt", " C "), (("dt", "string"), ("c", "string"))),
        ({"DT": "DATE", "n": " int"}, (("dt", "date"), ("n", "int"))),
        ((), ()),
    ],
)
def test_partition_keys_are_strings_unless_told_otherwise(given: Any, keys: tuple[Any, ...]) -> None:
    assert parse_partitioned_by(given) == keys


def test_a_format_or_place_other_than_the_tables_is_refused() -> None:
    assert plan_format(table(), request()) is FileFormat.PARQUET
    assert plan_format(table(), request(file_format=FileFormat.PARQUET)) is FileFormat.PARQUET
    assert plan_format(None, request()) is FileFormat.PARQUET
    assert plan_format(None, request(file_format=FileFormat.JSON)) is FileFormat.JSON
    with pytest.raises(InvalidCallError, match=r"ORC.*PARQUET"):
        plan_format(table(), request(file_format=FileFormat.ORC))
    with pytest.raises(InvalidCallError, match="no format that can be written"):
        plan_format(table(descriptor={"SerdeInfo": {}}), request())
    refuse_other_location(table(), None)
    refuse_other_location(table(), S3Uri("lake", "sales/orders"))
    with pytest.raises(InvalidCallError, match="s3://lake/sales/orders2/"):
        refuse_other_location(table(), S3Uri("lake", "sales/orders2"))


# ------------------------------------------------------------------------------------- a table to be made


def test_properties_of_a_users_own_are_taken_as_they_are() -> None:
    assert table_properties("table_properties", {"team": "blue", "n": "1"}) == {"team": "blue", "n": "1"}


@pytest.mark.parametrize("name", ["quilt_athena.base", "EXTERNAL", "projection.enabled"])
def test_properties_that_decide_how_a_table_is_read_are_refused(name: str) -> None:
    with pytest.raises(InvalidCallError, match=rf"table_properties sets {name}, which decides how"):
        table_properties("table_properties", {"team": "blue", name: "x"})


@pytest.mark.parametrize("given", ["29m", timedelta(minutes=29)])
def test_old_files_are_not_taken_away_from_their_readers(given: object) -> None:
    with pytest.raises(InvalidCallError, match=r"shorter than 30m, the default time limit"):
        parse_retain(given)


def test_a_compression_that_files_of_a_format_cannot_have_is_refused() -> None:
    asked = request(file_format=FileFormat.ORC, compression="GZIP2")
    with pytest.raises(InvalidCallError, match=r"which ORC files cannot have\. Expected one of"):
        plan_format(None, asked)


def test_comments_on_columns_that_a_table_does_not_have_are_refused() -> None:
    with pytest.raises(InvalidCallError, match=r"column_comments names nope; table sales\.orders has"):
        refuse_unknown_columns(table(), request(column_comments={"Note": "x", "Nope": "y"}))
    refuse_unknown_columns(table(), request(column_comments={"Note": "x", "dt": "y"}))
