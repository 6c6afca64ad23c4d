"""Where moto's Glue differs from AWS's, and a fix answers as AWS does. Through boto3 over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_athena import LocalAthena

Unique = Callable[[str], str]


@pytest.fixture
def glue(aws: LocalAthena) -> Any:
    return aws.client("glue")


@pytest.fixture
def database(glue: Any, unique: Unique) -> str:
    name = unique("db")
    glue.create_database(DatabaseInput={"Name": name})
    return name


def create_table(glue: Any, database: str, keys: dict[str, str], name: str = "t") -> None:
    glue.create_table(
        DatabaseName=database,
        TableInput={
            "Name": name,
            "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://b/t"},
            "PartitionKeys": [{"Name": n, "Type": kind} for n, kind in keys.items()],
        },
    )


def partition(*values: str) -> dict[str, Any]:
    columns = [{"Name": "a", "Type": "int"}]
    return {"Values": list(values), "StorageDescriptor": {"Columns": columns, "Location": "s3://b/t/x"}}


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_names_are_folded_to_lower_case_but_those_of_struct_fields(glue: Any, unique: Unique) -> None:
    name = unique("db")
    glue.create_database(DatabaseInput={"Name": name.upper()})
    assert glue.get_database(Name=name.upper())["Database"]["Name"] == name
    glue.create_table(
        DatabaseName=name.upper(),
        TableInput={
            "Name": "MyTable",
            "StorageDescriptor": {"Columns": [{"Name": "UserId", "Type": "struct<Id:int>"}]},
            "PartitionKeys": [{"Name": "Dt", "Type": "string"}],
        },
    )
    table = glue.get_table(DatabaseName=name, Name="MYTABLE")["Table"]
    assert (table["DatabaseName"], table["Name"]) == (name, "mytable")
    assert table["StorageDescriptor"]["Columns"] == [{"Name": "userid", "Type": "struct<Id:int>"}]
    assert table["PartitionKeys"] == [{"Name": "dt", "Type": "string"}]
    glue.create_partition(DatabaseName=name, TableName="MyTable", PartitionInput={"Values": ["X"]})
    assert glue.get_partition(DatabaseName=name, TableName="mytable", PartitionValues=["X"])
    assert "Errors" not in glue.batch_delete_table(DatabaseName=name, TablesToDelete=["MyTable"])
    assert glue.get_tables(DatabaseName=name)["TableList"] == []


def test_no_catalog_is_offered_but_the_callers_own(glue: Any, database: str) -> None:
    create_table(glue, database, {})
    assert glue.get_table(CatalogId="123456789012", DatabaseName=database, Name="t")
    with pytest.raises(ClientError) as error:
        glue.get_table(CatalogId="999999999999", DatabaseName=database, Name="t")
    assert code(error) == "AccessDeniedException"


def test_an_update_planned_on_an_older_version_is_refused(glue: Any, database: str) -> None:
    create_table(glue, database, {})
    version = glue.get_table(DatabaseName=database, Name="t")["Table"]["VersionId"]
    glue.update_table(
        DatabaseName=database, TableInput={"Name": "t", "Description": "first"}, VersionId=version
    )
    with pytest.raises(ClientError) as error:
        glue.update_table(
            DatabaseName=database, TableInput={"Name": "t", "Description": "second"}, VersionId=version
        )
    assert code(error) == "ConcurrentModificationException"
    assert glue.get_table(DatabaseName=database, Name="t")["Table"]["Description"] == "first"


def test_of_many_writers_that_saw_one_version_one_wins(aws: LocalAthena, glue: Any, database: str) -> None:
    create_table(glue, database, {})
    version = glue.get_table(DatabaseName=database, Name="t")["Table"]["VersionId"]

    def write(number: int) -> str:
        try:
            glue.update_table(
                DatabaseName=database,
                TableInput={"Name": "t", "Description": str(number)},
                VersionId=version,
            )
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(write, range(16)))
    assert sorted(ends) == ["ConcurrentModificationException"] * 15 + ["won"]
    table = glue.get_table(DatabaseName=database, Name="t")["Table"]
    assert table["Description"] == str(ends.index("won"))


def test_an_update_that_skips_the_archive_leaves_no_old_version(glue: Any, database: str) -> None:
    create_table(glue, database, {})
    glue.update_table(DatabaseName=database, TableInput={"Name": "t", "Description": "kept"})
    glue.update_table(DatabaseName=database, TableInput={"Name": "t", "Description": "new"}, SkipArchive=True)
    versions = glue.get_table_versions(DatabaseName=database, TableName="t")["TableVersions"]
    assert {v["Table"].get("Description") for v in versions} == {None, "new"}


def test_partitions_come_in_pages(glue: Any, database: str) -> None:
    create_table(glue, database, {"n": "int"})
    for start in range(0, 250, 100):
        glue.batch_create_partition(
            DatabaseName=database,
            TableName="t",
            PartitionInputList=[partition(str(n)) for n in range(start, min(start + 100, 250))],
        )
    first = glue.get_partitions(DatabaseName=database, TableName="t", MaxResults=100)
    assert len(first["Partitions"]) == 100
    assert first["NextToken"]
    pages = list(
        glue.get_paginator("get_partitions").paginate(
            DatabaseName=database, TableName="t", Expression="n >= 10", PaginationConfig={"PageSize": 100}
        )
    )
    assert [len(page["Partitions"]) for page in pages] == [100, 100, 40]
    assert {int(p["Values"][0]) for page in pages for p in page["Partitions"]} == set(range(10, 250))
    with pytest.raises(ClientError) as error:
        glue.get_partitions(DatabaseName=database, TableName="t", MaxResults=1001)
    assert code(error) == "ValidationException"
    with pytest.raises(ClientError) as error:
        glue.get_partitions(DatabaseName=database, TableName="t", NextToken="nonsense")
    assert code(error) == "InvalidInputException"


def test_tables_come_a_hundred_at_a_time(glue: Any, database: str) -> None:
    for number in range(105):
        create_table(glue, database, {}, name=f"t{number:03}")
    pages = list(glue.get_paginator("get_tables").paginate(DatabaseName=database))
    assert [len(page["TableList"]) for page in pages] == [100, 5]
    few = glue.get_tables(DatabaseName=database, Expression="t00.*", MaxResults=3)
    assert [t["Name"] for t in few["TableList"]] == ["t000", "t001", "t002"]


@pytest.mark.parametrize(
    ("operation", "member", "most", "item"),
    [
        ("batch_create_partition", "PartitionInputList", 100, {"Values": ["x"]}),
        ("batch_delete_partition", "PartitionsToDelete", 25, {"Values": ["x"]}),
        ("batch_get_partition", "PartitionsToGet", 1000, {"Values": ["x"]}),
        (
            "batch_update_partition",
            "Entries",
            100,
            {"PartitionValueList": ["x"], "PartitionInput": {"Values": ["x"]}},
        ),
    ],
)
def test_a_batch_that_is_too_long_is_refused(
    glue: Any, database: str, operation: str, member: str, most: int, item: dict[str, Any]
) -> None:
    create_table(glue, database, {"dt": "string"})
    arguments = {"DatabaseName": database, "TableName": "t"}
    with pytest.raises(ClientError) as error:
        getattr(glue, operation)(**arguments, **{member: [item] * (most + 1)})
    assert code(error) == "ValidationException"
    getattr(glue, operation)(**arguments, **{member: [item] * most})


def test_a_partition_needs_a_value_for_each_key(glue: Any, database: str) -> None:
    create_table(glue, database, {"dt": "string", "n": "int"})
    with pytest.raises(ClientError) as error:
        glue.create_partition(DatabaseName=database, TableName="t", PartitionInput=partition("2026-01-01"))
    assert code(error) == "InvalidInputException"
    answer = glue.batch_create_partition(
        DatabaseName=database, TableName="t", PartitionInputList=[partition("a", "1"), partition("b")]
    )
    assert [e["PartitionValues"] for e in answer["Errors"]] == [["b"]]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "InvalidInputException"
    found = glue.get_partitions(DatabaseName=database, TableName="t")["Partitions"]
    assert [p["Values"] for p in found] == [["a", "1"]]


def test_segments_cut_the_partitions_into_parts_without_overlap(glue: Any, database: str) -> None:
    create_table(glue, database, {"n": "int"})
    glue.batch_create_partition(
        DatabaseName=database, TableName="t", PartitionInputList=[partition(str(n)) for n in range(10)]
    )
    found = [
        p["Values"][0]
        for number in range(3)
        for page in glue.get_paginator("get_partitions").paginate(
            DatabaseName=database,
            TableName="t",
            Segment={"SegmentNumber": number, "TotalSegments": 3},
            PaginationConfig={"PageSize": 2},
        )
        for p in page["Partitions"]
    ]
    assert sorted(map(int, found)) == list(range(10))


def test_a_batch_of_reads_leaves_out_what_is_not_there(glue: Any, database: str) -> None:
    create_table(glue, database, {"n": "int"})
    glue.create_partition(DatabaseName=database, TableName="t", PartitionInput=partition("1"))
    found = glue.batch_get_partition(
        DatabaseName=database, TableName="t", PartitionsToGet=[{"Values": ["1"]}, {"Values": ["2"]}]
    )
    assert [p["Values"] for p in found["Partitions"]] == [["1"]]
    assert found["UnprocessedKeys"] == []
    assert found["Partitions"][0]["CatalogId"] == "123456789012"
    with pytest.raises(ClientError) as error:
        glue.batch_get_partition(DatabaseName=database, TableName="none", PartitionsToGet=[{"Values": ["1"]}])
    assert code(error) == "EntityNotFoundException"


def test_a_batch_of_updates_says_what_became_of_each(glue: Any, database: str) -> None:
    create_table(glue, database, {"n": "int"})
    for value in ("1", "2", "3"):
        glue.create_partition(DatabaseName=database, TableName="t", PartitionInput=partition(value))
    moved = {**partition("1"), "StorageDescriptor": {"Location": "s3://b/t/new"}}
    entries = [("1", moved), ("2", partition("3")), ("4", partition("4")), ("3", partition("3", "x"))]
    answer = glue.batch_update_partition(
        DatabaseName=database,
        TableName="t",
        Entries=[{"PartitionValueList": [old], "PartitionInput": new} for old, new in entries],
    )
    errors = {e["PartitionValueList"][0]: e["ErrorDetail"]["ErrorCode"] for e in answer["Errors"]}
    assert errors == {
        "2": "AlreadyExistsException",
        "3": "InvalidInputException",
        "4": "EntityNotFoundException",
    }
    found = glue.get_partitions(DatabaseName=database, TableName="t")["Partitions"]
    assert [p["Values"] for p in found] == [["1"], ["2"], ["3"]]
    assert found[0]["StorageDescriptor"]["Location"] == "s3://b/t/new"


def test_a_partition_that_may_not_be_renamed_stays(glue: Any, database: str) -> None:
    create_table(glue, database, {"n": "int"})
    for value in ("1", "2"):
        glue.create_partition(DatabaseName=database, TableName="t", PartitionInput=partition(value))
    with pytest.raises(ClientError) as error:
        glue.update_partition(
            DatabaseName=database, TableName="t", PartitionValueList=["1"], PartitionInput=partition("2")
        )
    assert code(error) == "AlreadyExistsException"
    found = glue.get_partitions(DatabaseName=database, TableName="t")["Partitions"]
    assert [p["Values"] for p in found] == [["1"], ["2"]]


PARTITIONS = [("2026-01-01", "2"), ("2026-01-02", "10"), ("it's", "3"), ("__HIVE_DEFAULT_PARTITION__", "4")]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", [0, 1, 2, 3]),
        ("dt = '2026-01-01'", [0]),
        ("dt <> '2026-01-01'", [1, 2, 3]),
        ("dt = '__HIVE_DEFAULT_PARTITION__'", [3]),
        ("dt <> '__HIVE_DEFAULT_PARTITION__'", [0, 1, 2]),
        ("dt='it''s'", [2]),
        ("n > 3", [1, 3]),
        ("n < 10", [0, 2, 3]),
        ("n = '10'", [1]),
        ("N >= 3 AND n <= 4", [2, 3]),
        ("(dt = '2026-01-01') OR (n = 10)", [0, 1]),
        ("dt = '2026-01-01' or dt = '2026-01-02' and n = 10", [0, 1]),
        ("dt IN ('2026-01-01', '2026-01-02')", [0, 1]),
        ("dt NOT IN ('2026-01-01', '2026-01-02')", [2, 3]),
        ("NOT (dt = '2026-01-01')", [1, 2, 3]),
        ("NOT n = 10", [0, 2, 3]),
        ("n BETWEEN 3 AND 10", [1, 2, 3]),
        ("dt LIKE '2026-%-01'", [0]),
        ("dt LIKE '2026-01-0_'", [0, 1]),
        ("dt IS NULL", []),  # whatever the documentation says
        ("dt IS NOT NULL", [0, 1, 2, 3]),
        ("(dt) = ('2026-01-01')", [0]),
        ("((dt = '2026-01-01') AND ((n = 2) OR (n = 3)))", [0]),
    ],
)
def test_partitions_are_found_by_glues_expressions(
    glue: Any, aws: LocalAthena, expression: str, expected: list[int]
) -> None:
    database = _filter_table(aws, glue)
    found = glue.get_partitions(DatabaseName=database, TableName="t", Expression=expression)["Partitions"]
    assert {tuple(p["Values"]) for p in found} == {PARTITIONS[i] for i in expected}


_FILTER_DATABASES: dict[str, str] = {}


def _filter_table(aws: LocalAthena, glue: Any) -> str:
    """One table for all expressions."""
    database = f"filters_{aws.pid}"
    if database not in _FILTER_DATABASES:
        glue.create_database(DatabaseInput={"Name": database})
        create_table(glue, database, {"dt": "string", "n": "int"})
        glue.batch_create_partition(
            DatabaseName=database, TableName="t", PartitionInputList=[partition(*v) for v in PARTITIONS]
        )
        _FILTER_DATABASES[database] = database
    return database


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("dt != '2026-01-01'", "Unsupported expression"),
        ('dt = "2026-01-01"', "Unsupported expression"),
        ("dt = '2026-01-01' AND", "Unsupported expression"),
        ("dt = '2026-01-01' n = 2", "Unsupported expression"),
        ("dt == '2026-01-01'", "Unsupported expression"),
        ("nope = 1", "Invalid partition expression!"),
        ("n = 'x'", "is not a int"),
        ("n = '__HIVE_DEFAULT_PARTITION__'", "is not a int"),
        ("n LIKE '1%'", "doesn't support operation 'LIKE'"),
    ],
)
def test_what_glue_does_not_document_is_refused(
    glue: Any, aws: LocalAthena, expression: str, message: str
) -> None:
    database = _filter_table(aws, glue)
    with pytest.raises(ClientError, match=message) as error:
        glue.get_partitions(DatabaseName=database, TableName="t", Expression=expression)
    assert code(error) == "InvalidInputException"


def test_a_key_named_by_a_reserved_word_is_in_no_expression(glue: Any, database: str) -> None:
    create_table(glue, database, {"order": "string"})
    glue.create_partition(DatabaseName=database, TableName="t", PartitionInput=partition("x"))
    with pytest.raises(ClientError, match="Unsupported expression") as error:
        glue.get_partitions(DatabaseName=database, TableName="t", Expression="order = 'x'")
    assert code(error) == "InvalidInputException"


def test_the_null_partition_of_a_number_fits_no_comparison(glue: Any, database: str) -> None:
    create_table(glue, database, {"n": "int"})
    for value in ("1", "__HIVE_DEFAULT_PARTITION__"):
        glue.create_partition(DatabaseName=database, TableName="t", PartitionInput=partition(value))
    found = glue.get_partitions(DatabaseName=database, TableName="t", Expression="n <> 5")
    assert [p["Values"] for p in found["Partitions"]] == [["1"]]


def test_dates_and_decimals_are_compared_by_value(glue: Any, database: str) -> None:
    create_table(glue, database, {"d": "date", "x": "decimal(5,2)"})
    glue.batch_create_partition(
        DatabaseName=database,
        TableName="t",
        PartitionInputList=[partition("2026-01-09", "9.5"), partition("2026-01-10", "10.00")],
    )
    found = glue.get_partitions(
        DatabaseName=database, TableName="t", Expression="x > 9.75 and d > '2026-01-09'"
    )
    assert [p["Values"] for p in found["Partitions"]] == [["2026-01-10", "10.00"]]


def test_partitions_are_told_without_their_columns_where_these_are_not_wanted(
    glue: Any, database: str
) -> None:
    create_table(glue, database, {"dt": "string"})
    glue.create_partition(DatabaseName=database, TableName="t", PartitionInput=partition("x"))
    (with_columns,) = glue.get_partitions(DatabaseName=database, TableName="t")["Partitions"]
    (without,) = glue.get_partitions(DatabaseName=database, TableName="t", ExcludeColumnSchema=True)[
        "Partitions"
    ]
    assert with_columns["StorageDescriptor"]["Columns"] == [{"Name": "a", "Type": "int"}]
    assert without["StorageDescriptor"] == {"Location": "s3://b/t/x"}


def test_tables_are_found_by_text_and_by_filter(glue: Any, database: str, unique: Unique) -> None:
    word = unique("w")
    create_table(glue, database, {}, name=f"orders-{word}")
    create_table(glue, database, {word: "string"}, name="by_key")
    create_table(glue, database, {}, name="other")
    by_text = glue.search_tables(SearchText=word, SortCriteria=[{"FieldName": "Name", "Sort": "DESC"}])
    assert [t["Name"] for t in by_text["TableList"]] == [f"orders-{word}", "by_key"]
    by_filter = glue.search_tables(
        Filters=[{"Key": "DatabaseName", "Value": database}, {"Key": "Name", "Value": "orders"}]
    )
    assert [t["Name"] for t in by_filter["TableList"]] == [f"orders-{word}"]
    page = glue.search_tables(Filters=[{"Key": "DatabaseName", "Value": database}], MaxResults=2)
    assert len(page["TableList"]) == 2
    assert page["NextToken"]
