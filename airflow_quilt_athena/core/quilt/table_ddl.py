"""The two tables over a bucket's manifests and pointers, as values, as Hive DDL and as Glue input.

A refresh creates and mends them through Glue, which takes one call and no query; the DDL says the same
in words a person can paste into Athena.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.athena.sql import Dialect, quote_identifier, quote_literal, quote_name
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.identifiers import BucketNames

TEXT_INPUT_FORMAT = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUTPUT_FORMAT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"
TEXT_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"

EXTERNAL_TABLE = "EXTERNAL_TABLE"


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table over text files: all that makes it read what it should."""

    name: str
    location: S3Uri
    columns: tuple[tuple[str, str], ...]  # name, Hive type
    serde: str
    serde_parameters: tuple[tuple[str, str], ...]
    comment: str


def manifests_location(bucket: str) -> S3Uri:
    """Return the folder of a bucket's manifests."""
    return S3Uri(bucket, ".quilt/packages/")


def packages_location(bucket: str) -> S3Uri:
    """Return the folder of a bucket's pointers."""
    return S3Uri(bucket, ".quilt/named_packages/")


def define_tables(names: BucketNames) -> tuple[TableDefinition, ...]:
    """Return the bucket's two tables."""
    return (_define_manifests(names), _define_packages(names))


def _define_manifests(names: BucketNames) -> TableDefinition:
    return TableDefinition(
        name=names.manifests,
        location=manifests_location(names.bucket),
        columns=(
            ("logical_key", "string"),
            ("physical_keys", "array<string>"),
            # Text, not bigint: some clients wrote "10" for 10, and that must not cost a line. The views cast.
            ("size", "string"),
            ("hash", "struct<type:string,value:string>"),
            ("meta", "string"),
            ("user_meta", "string"),
            ("message", "string"),
            ("version", "string"),
            ("workflow", "string"),
        ),
        serde=JSON_SERDE,
        serde_parameters=(
            # The SerDe's default lower-cases the keys of people's metadata, at every depth.
            ("case.insensitive", "false"),
            ("ignore.malformed.json", "true"),
        ),
        comment=f"Lines of all Quilt manifests in s3://{names.bucket}",
    )


def _define_packages(names: BucketNames) -> TableDefinition:
    return TableDefinition(
        name=names.packages,
        location=packages_location(names.bucket),
        columns=(("hash", "string"),),
        serde=TEXT_SERDE,
        serde_parameters=(),
        comment=f"Pointers of all Quilt packages in s3://{names.bucket}: revisions and tags",
    )


def render_create_table(definition: TableDefinition, database: str) -> str:
    """Return ``CREATE EXTERNAL TABLE`` for the table."""
    columns = ",\n".join(
        f"  {quote_identifier(name, Dialect.HIVE)} {hive_type}" for name, hive_type in definition.columns
    )
    properties = ", ".join(
        f"{_literal(name)} = {_literal(value)}" for name, value in definition.serde_parameters
    )
    lines = [
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {quote_name(database, definition.name, Dialect.HIVE)} (",
        columns,
        ")",
        f"COMMENT {_literal(definition.comment)}",
        f"ROW FORMAT SERDE {_literal(definition.serde)}",
        *([f"WITH SERDEPROPERTIES ({properties})"] if properties else []),
        f"STORED AS INPUTFORMAT {_literal(TEXT_INPUT_FORMAT)}",
        f"OUTPUTFORMAT {_literal(TEXT_OUTPUT_FORMAT)}",
        f"LOCATION {_literal(str(definition.location))}",
    ]
    return "\n".join(lines)


def _literal(text: str) -> str:
    return quote_literal(text, Dialect.HIVE)


def build_table_input(definition: TableDefinition, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return Glue's ``TableInput`` for the table."""
    return {
        "Name": definition.name,
        "Description": definition.comment,
        "TableType": EXTERNAL_TABLE,
        "Parameters": {"EXTERNAL": "TRUE", **parameters},
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": hive_type} for name, hive_type in definition.columns],
            "Location": str(definition.location),
            "InputFormat": TEXT_INPUT_FORMAT,
            "OutputFormat": TEXT_OUTPUT_FORMAT,
            "SerdeInfo": {
                "SerializationLibrary": definition.serde,
                "Parameters": {"serialization.format": "1", **dict(definition.serde_parameters)},
            },
            "Compressed": False,
            "NumberOfBuckets": -1,
            "StoredAsSubDirectories": False,
        },
    }
