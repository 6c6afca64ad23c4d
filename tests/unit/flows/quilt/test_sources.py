"""Which tables views stand on, where a platform's are something else than is read."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.quilt.sources import SourceKind, find_source
from tests.fakes.glue import FakeGlue

NAMES = BucketNames.of("acme")
MANIFEST_COLUMNS = ("logical_key", "physical_keys", "size", "hash", "meta", "user_meta", "message", "version")


def table(name: str, location: str, *columns: str) -> dict[str, Any]:
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": [{"Name": column, "Type": "string"} for column in columns],
            "Location": location,
        },
    }


def platform(*tables: dict[str, Any]) -> FakeGlue:
    glue = FakeGlue({"platform": {}})
    for one in tables:
        glue.create_table(DatabaseName="platform", TableInput=one)
    return glue


def find(glue: FakeGlue, kind: SourceKind) -> ManifestSource:
    return find_source(glue, NAMES, kind, database="lake", source_database="Platform")


def test_a_platforms_iceberg_tables_are_named_as_what_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    glue = platform(table("acme_package_entry", "s3://platform/acme/"))
    assert find(glue, SourceKind.AUTO) == ManifestSource.of_bucket(NAMES, "lake")
    assert "Database Platform holds Iceberg tables for bucket acme" in caplog.text


@pytest.mark.parametrize(
    ("location", "columns", "hash_column"),
    [
        ("s3://other/.quilt/packages/", MANIFEST_COLUMNS, "hash"),
        ("s3://acme/.quilt/packages/", MANIFEST_COLUMNS[1:], "hash"),
        ("s3://acme/.quilt/packages/", MANIFEST_COLUMNS, "digest"),
    ],
    ids=["elsewhere", "a column less", "no hash"],
)
def test_tables_of_the_platforms_names_that_are_something_else_are_not_read(
    location: str, columns: tuple[str, ...], hash_column: str, caplog: pytest.LogCaptureFixture
) -> None:
    glue = platform(
        table("acme_manifests", location, *columns),
        table("acme_packages", "s3://acme/.quilt/named_packages/", hash_column),
    )
    assert find(glue, SourceKind.AUTO) == ManifestSource.of_bucket(NAMES, "lake")
    assert "are not over s3://acme/.quilt as expected: not used" in caplog.text
    with pytest.raises(InvalidCallError, match="No Quilt platform tables for bucket acme"):
        find(glue, SourceKind.QUILT_TABLES)
