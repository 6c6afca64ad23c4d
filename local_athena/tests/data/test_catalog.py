"""Glue as a query sees it: names, pages, refusals, and views as Athena keeps them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_athena import LocalAthena
from local_athena.data.catalog import Catalog, EntityExists, EntityMissing, refusal
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Clients, Column
from local_athena.data.tables import parse_table
from local_athena.data.views import decode_view, encode_view
from local_athena.errors import QueryFailed
from support.scanning import FakeObjects

COLUMNS = (Column("id", "bigint"), Column("tags", 'array(row(k varchar, "a b" decimal(5,2)))'))


@pytest.fixture
def catalog(aws: LocalAthena) -> Catalog:
    return Catalog(Clients(FakeObjects(), aws.client("glue"), "123456789012", "us-east-1"))


@pytest.fixture
def database(catalog: Catalog, unique: Callable[[str], str]) -> str:
    name = unique("catalog")
    catalog.create_database({"Name": name})
    return name


def table_input(name: str, **more: Any) -> dict[str, Any]:
    storage = {"Columns": [{"Name": "Id", "Type": "int"}], "Location": "s3://b/t", "SerdeInfo": {}}
    keys = [{"Name": "k", "Type": "string"}]
    return {"Name": name, "StorageDescriptor": storage, "PartitionKeys": keys, **more}


def partition_input(value: str) -> dict[str, Any]:
    return {"Values": [value], "StorageDescriptor": {"Location": f"s3://b/t/k={value}/", "Columns": []}}


def test_names_are_lower_case_whatever_was_asked(catalog: Catalog, database: str) -> None:
    catalog.create_table(database.upper(), table_input("MyTable"))
    found = catalog.get_table(database.upper(), "MYTABLE")
    assert found is not None
    assert (found.database, found.name, found.columns) == (database, "mytable", (("id", "int"),))
    assert found.location == S3Uri("b", "t")
    assert [one.name for one in catalog.list_tables(database)] == ["mytable"]
    catalog.delete_table(database.upper(), "MyTable")
    assert catalog.get_table(database, "mytable") is None


def test_what_is_not_there_is_none_to_get_and_an_error_to_change(catalog: Catalog, database: str) -> None:
    assert catalog.get_table("no_such_database", "t") is None
    assert catalog.get_database("no_such_database") is None
    with pytest.raises(EntityMissing, match="EntityNotFoundException"):
        catalog.list_tables("no_such_database")
    with pytest.raises(EntityMissing):
        catalog.delete_table(database, "t")


def test_what_is_there_cannot_be_created_again(catalog: Catalog, database: str) -> None:
    catalog.create_table(database, table_input("t"))
    with pytest.raises(
        EntityExists, match=r"\(Service: AmazonDataCatalog; Status Code: 400; Error Code: Already"
    ):
        catalog.create_table(database, table_input("t"))
    with pytest.raises(EntityExists):
        catalog.create_database({"Name": database})


def test_a_table_changed_by_another_is_not_overwritten(catalog: Catalog, database: str) -> None:
    catalog.create_table(database, table_input("t"))
    first = catalog.get_table(database, "t")
    assert first is not None
    catalog.update_table(database, table_input("t", Description="theirs"), first.raw["VersionId"])
    with pytest.raises(QueryFailed):
        catalog.update_table(database, table_input("t", Description="ours"), first.raw["VersionId"])
    second = catalog.get_table(database, "t")
    assert second is not None
    assert second.comment == "theirs"


def test_hundreds_of_partitions_are_made_listed_and_deleted(catalog: Catalog, database: str) -> None:
    """More than one batch call takes, and more than one page holds."""
    catalog.create_table(database, table_input("t"))
    table = catalog.get_table(database, "t")
    assert table is not None
    values = [f"{n:03}" for n in range(250)]
    catalog.create_partitions(table, [partition_input(value) for value in values])
    found = catalog.partitions(table)
    assert sorted(one.values[0] for one in found) == values
    assert catalog.partitions(table, "k = '007'")[0].location == S3Uri("b", "t/k=007/")
    with pytest.raises(EntityExists, match=r"\['001'\]"):
        catalog.create_partitions(table, [partition_input("001")])
    catalog.create_partitions(table, [partition_input("001"), partition_input("new")], existing_ok=True)
    catalog.update_partition(table, ["new"], {**partition_input("new"), "Parameters": {"a": "b"}})
    updated = catalog.get_partition(table, ["new"])
    assert updated is not None
    assert updated.parameters == {"a": "b"}
    catalog.delete_partitions(table, [[value] for value in [*values, "new"]])
    assert catalog.partitions(table) == ()
    assert catalog.get_partition(table, ["new"]) is None
    with pytest.raises(EntityMissing):
        catalog.delete_partitions(table, [["new"]])
    catalog.delete_partitions(table, [["new"]], missing_ok=True)


def client_error(code: str, message: str, status: int) -> ClientError:
    metadata = {"HTTPStatusCode": status, "RequestId": "r-1"}
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "GetTable"
    )


def test_a_missing_grant_says_what_for() -> None:
    message = (
        "User: arn:aws:iam::1:user/u is not authorized to perform: glue:GetTable on resource: "
        "arn:aws:glue:us-east-1:1:table/db/t"
    )
    failure = refusal(client_error("AccessDeniedException", message, 400))
    assert failure.reason == (
        f"Insufficient permissions to execute the query. {message} (Service: AmazonDataCatalog; "
        "Status Code: 400; Error Code: AccessDeniedException; Request ID: r-1; Proxy: null)"
    )
    assert not failure.retryable
    bare = refusal(client_error("403", "Forbidden", 403)).reason
    assert "Insufficient permissions" in bare
    assert "glue:GetTable" in bare


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        ("ThrottlingException", 400, True),
        ("InternalServiceException", 500, True),
        ("InvalidInputException", 400, False),
    ],
)
def test_only_what_may_pass_is_worth_a_retry(code: str, status: int, retryable: bool) -> None:
    failure = refusal(client_error(code, "no", status))
    assert failure.retryable is retryable
    assert failure.category == (1 if retryable else 2)


def test_a_view_is_kept_as_athena_and_trino_keep_it() -> None:
    """The form is Trino's ViewReaderUtil and what CloudFormation users write for Athena."""
    parts = encode_view("SELECT 'é' AS id", COLUMNS, "AwsDataCatalog", "DB")
    text = parts["ViewOriginalText"]
    assert text.startswith("/* Presto View: ")
    assert text.endswith(" */")
    assert json.loads(base64.b64decode(text[len("/* Presto View: ") : -len(" */")])) == {
        "originalSql": "SELECT 'é' AS id",
        "catalog": "awsdatacatalog",
        "schema": "db",
        "columns": [
            {"name": "id", "type": "bigint"},
            {"name": "tags", "type": 'array(row(k varchar, "a b" decimal(5,2)))'},
        ],
    }
    assert parts["TableType"] == "VIRTUAL_VIEW"
    assert parts["ViewExpandedText"] == "/* Presto View */"
    assert parts["PartitionKeys"] == []
    assert parts["Parameters"] == {"presto_view": "true", "comment": "Presto View"}
    assert parts["StorageDescriptor"]["Columns"] == [
        {"Name": "id", "Type": "bigint"},
        {"Name": "tags", "Type": "array<struct<k:string,a b:decimal(5,2)>>"},
    ]


def test_a_view_comes_back_from_glue_as_it_was(catalog: Catalog, database: str) -> None:
    sql = "SELECT id, tags\nFROM t -- all of it"
    catalog.create_table(database, {"Name": "V", **encode_view(sql, COLUMNS, "awsdatacatalog", database)})
    found = catalog.get_table(database, "v")
    assert found is not None
    assert found.is_view
    assert found.location is None
    assert found.view_sql == sql
    assert found.view is not None
    assert (found.view.catalog, found.view.schema, found.view.columns) == (
        "awsdatacatalog",
        database,
        COLUMNS,
    )


def test_a_hive_view_has_no_sql_for_trino() -> None:
    found = parse_table({"Name": "v", "TableType": "VIRTUAL_VIEW", "ViewOriginalText": "SELECT 1"})
    assert found.is_view
    assert found.view is None


@pytest.mark.parametrize("data", ["e30=", "AAAA", "e"])
def test_a_view_whose_text_is_broken_is_named(data: str) -> None:
    raw = {"DatabaseName": "db", "Name": "v", "ViewOriginalText": f"/* Presto View: {data} */"}
    with pytest.raises(QueryFailed, match=r"INVALID_VIEW: .*'db\.v'"):
        decode_view(raw)
