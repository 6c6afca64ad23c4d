from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import (
    Bucketing,
    TableName,
    parse_table,
    refuse_unwritable,
    table_input,
)
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.lake_examples import PARQUET, TEXT, glue_table, table, text_table

BUCKETED = {"BucketColumns": ["ID"], "NumberOfBuckets": 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TableType": "VIRTUAL_VIEW"}, "view"),
        ({"TargetTable": {"Name": "x"}}, "link"),
        ({"Parameters": {"table_type": "ICEBERG"}}, "iceberg"),
        ({"Parameters": {"spark.sql.sources.provider": "delta"}}, "delta"),
        ({"Parameters": {"projection.enabled": "true"}}, "projection"),
        ({"Parameters": {"projection.enabled": "TRUE"}}, "projection"),
        ({"descriptor": BUCKETED | {"SortColumns": [{"Column": "id", "SortOrder": 1}]}}, "sorted"),
        ({"descriptor": BUCKETED, "Parameters": {"bucketing_format": "spark"}}, "Spark"),
        ({"descriptor": {"Location": "s3://lake"}}, "root of a bucket"),
        ({"descriptor": {"Location": "s3://lake/"}}, "root of a bucket"),
        ({"descriptor": {"Location": "s3://lake//"}}, "root of a bucket"),
        ({"Parameters": {"quilt_athena.base": "s3://lake/"}}, "root of a bucket"),
        ({"descriptor": {"Location": None}}, "no location"),
        ({"descriptor": {"SerdeInfo": {"SerializationLibrary": "org.OpenCSVSerde"}}}, "OpenCSVSerde"),
        ({"descriptor": {"SerdeInfo": None}}, "not given"),
        (
            {
                "descriptor": {
                    "SerdeInfo": {"SerializationLibrary": TEXT, "Parameters": {"escape.delim": "\\"}}
                }
            },
            "escape.delim",
        ),
        (
            {
                "descriptor": {"SerdeInfo": {"SerializationLibrary": TEXT}},
                "Parameters": {"skip.header.line.count": "1"},
            },
            "header",
        ),
    ],
)
def test_a_table_whose_partitions_cannot_be_overwritten_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCallError, match=f"(?s)sales.orders.*{message}"):
        refuse_unwritable(table(**changes))


@pytest.mark.parametrize("delimiter", ["||", "", "9", "€"])
def test_a_field_delimiter_that_is_not_one_plain_character_is_refused(delimiter: str) -> None:
    # Hive takes the first character of several, and a number for a character's code.
    with pytest.raises(InvalidCallError, match=r"(?s)sales.orders.*field\.delim"):
        refuse_unwritable(text_table(field__delim=delimiter))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Parameters": {"projection.enabled": "false"}},
        {"descriptor": BUCKETED},
        {"descriptor": BUCKETED, "Parameters": {"bucketing_format": "hive"}},
        {
            "descriptor": {"SerdeInfo": {"SerializationLibrary": TEXT, "Parameters": {"field.delim": "\t"}}},
            "Parameters": {"skip.header.line.count": "0"},
        },
        {"descriptor": {"SerdeInfo": {"SerializationLibrary": TEXT}}},
    ],
)
def test_a_plain_hive_table_is_not_refused(changes: dict[str, Any]) -> None:
    refuse_unwritable(table(**changes))


@pytest.mark.parametrize("text", ["", ".", "a.", "catalog.db.table"])
def test_a_table_of_another_catalog_or_no_table_is_refused(text: str) -> None:
    with pytest.raises(InvalidCallError, match="table"):
        TableName.parse(text, "db")


def test_a_table_name_is_in_glues_lower_case() -> None:
    assert str(TableName.parse("Orders", "Sales")) == "sales.orders"
    assert str(TableName.parse("X.Orders", "Sales")) == "x.orders"
    assert TableName.parse("t", "db", "123456789012").catalog_id == "123456789012"


@pytest.mark.parametrize(
    ("location", "recorded", "base"),
    [
        ("s3://lake/sales/orders", None, "s3://lake/sales/orders/"),
        ("s3a://lake/sales/orders/", None, "s3://lake/sales/orders/"),
        ("s3://lake/elsewhere/", "s3://lake/sales/orders", "s3://lake/sales/orders/"),
        # a tool dropped the parameter of a table that lies in a generation: it must not nest
        ("s3://lake/sales/orders/.generations/a1/", None, "s3://lake/sales/orders/"),
        ("s3://lake/sales/orders/.generations/dt=1/a1", None, "s3://lake/sales/orders/"),
    ],
)
def test_generations_never_nest_whatever_became_of_the_location(
    location: str, recorded: str | None, base: str
) -> None:
    parameters = {} if recorded is None else {"quilt_athena.base": recorded}
    assert str(table(Parameters=parameters, descriptor={"Location": location}).base) == base


def test_a_table_without_a_place_has_no_base() -> None:
    with pytest.raises(InvalidCallError, match="no location"):
        table(descriptor={"Location": None}).base  # noqa: B018 - asking is what is tested


@pytest.mark.parametrize(
    ("serde", "file_format"),
    [
        (PARQUET, FileFormat.PARQUET),
        ("org.apache.hadoop.hive.ql.io.orc.OrcSerde", FileFormat.ORC),
        ("org.openx.data.jsonserde.JsonSerDe", FileFormat.JSON),
        ("org.apache.hive.hcatalog.data.JsonSerDe", FileFormat.JSON),
        (TEXT, FileFormat.TEXTFILE),
        ("org.apache.hadoop.hive.serde2.OpenCSVSerde", None),
    ],
)
def test_the_format_is_told_by_the_serde(serde: str, file_format: FileFormat | None) -> None:
    assert table(descriptor={"SerdeInfo": {"SerializationLibrary": serde}}).file_format is file_format


@pytest.mark.parametrize(
    ("parameters", "compression"),
    [
        ({}, None),
        ({"write.compression": "zstd"}, "ZSTD"),
        ({"write_compression": "gzip"}, "GZIP"),
        ({"parquet.compression": "SNAPPY"}, "SNAPPY"),
        ({"orc.compress": "ZLIB"}, "ZLIB"),
        ({"write.compression": "", "orc.compress": "SNAPPY"}, "SNAPPY"),
        ({"compressionType": "snappy"}, "SNAPPY"),
        ({"compressionType": "none"}, None),
        ({"compressionType": "none", "orc.compress": "NONE"}, None),
    ],
)
def test_the_compression_is_what_any_tool_recorded(
    parameters: dict[str, str], compression: str | None
) -> None:
    assert table(Parameters=parameters).compression == compression


def test_buckets_are_read() -> None:
    assert table().bucketing is None
    assert table(descriptor=BUCKETED).bucketing == Bucketing(("id",), 8)


def test_who_governs_is_read() -> None:
    assert not table().is_governed
    assert table(IsRegisteredWithLakeFormation=True).is_governed


def test_names_and_types_are_in_lower_case() -> None:
    read = parse_table(
        glue_table(
            Name="Orders",
            PartitionKeys=[{"Name": "DT", "Type": "DATE"}],
            descriptor={"Columns": [{"Name": "ID", "Type": "BIGINT"}, {"Name": "x"}]},
        ),
        "123456789012",
    )
    assert read.name == TableName("sales", "orders", "123456789012")
    assert read.partition_keys == (("dt", "date"),)
    assert read.columns == (("id", "bigint"), ("x", ""))
    assert read.location == S3Uri("lake", "sales/orders")


def test_an_update_sends_back_everything_that_may_be_sent() -> None:
    own = {"CreateTime": 1, "IsRegisteredWithLakeFormation": False, "CatalogId": "1", "CreatedBy": "x"}
    kept = {"Owner": "me", "Retention": 3, "Description": "d", "ViewOriginalText": None}
    sent = table_input(parse_table({**glue_table(), **own, **kept}))
    raw = glue_table()
    assert sent == {
        "Name": "orders",
        "Owner": "me",
        "Retention": 3,
        "Description": "d",
        "StorageDescriptor": raw["StorageDescriptor"],
        "PartitionKeys": raw["PartitionKeys"],
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"owner": "me"},
    }
