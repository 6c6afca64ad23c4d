"""Result files and pages: bytes as Athena writes them, rows and columns as it announces them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_athena.athena.result_files import column_info
from local_athena.data.session import Column, Outcome, Session
from local_athena.errors import ApiError, QueryFailed
from support.athena_fakes import OUTPUT, Person, World, select


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.api.close()


def teach(world: World, outcome: Outcome, sql: str = "Q") -> None:
    world.statements.learn(sql, (outcome.statement_type, outcome.substatement_type), lambda _: outcome)


def results(world: World, query_execution_id: str, **request: Any) -> Any:
    return world.call("GetQueryResults", QueryExecutionId=query_execution_id, **request)


def pages(world: World, query_execution_id: str, size: int) -> list[list[list[str | None]]]:
    found: list[list[list[str | None]]] = []
    token: dict[str, str] = {}
    while True:
        answer = results(world, query_execution_id, MaxResults=size, **token)
        rows = answer["ResultSet"]["Rows"]
        found.append([[cell.get("VarCharValue") for cell in row["Data"]] for row in rows])
        if "NextToken" not in answer:
            return found
        token = {"NextToken": answer["NextToken"]}


def test_a_select_leaves_a_csv_with_every_value_quoted_and_null_empty(world: World) -> None:
    columns = (Column("i", "integer"), Column("s", "varchar"), Column("n", "varchar"), Column("e", "varchar"))
    teach(world, select(columns, (("1", 'a"b', None, ""), ("2", "line\nfeed, ü", "x", None))))
    location = world.run("Q")["ResultConfiguration"]["OutputLocation"]
    # Athena User Guide, "Working with query results": every value in double quotes, quotes doubled.
    assert world.file(location).decode() == ('"i","s","n","e"\n"1","a""b",,""\n"2","line\nfeed, ü","x",\n')


def test_the_first_row_of_a_select_holds_the_names(world: World) -> None:
    teach(world, select((Column("i", "integer"), Column("n", "varchar")), (("1", None), ("2", ""))))
    query = world.run("Q")["QueryExecutionId"]
    answer = results(world, query)
    assert answer["ResultSet"]["Rows"] == [
        {"Data": [{"VarCharValue": "i"}, {"VarCharValue": "n"}]},
        {"Data": [{"VarCharValue": "1"}, {}]},
        {"Data": [{"VarCharValue": "2"}, {"VarCharValue": ""}]},
    ]
    assert answer["UpdateCount"] == 0
    assert "NextToken" not in answer


def test_an_empty_select_has_its_names_and_columns(world: World) -> None:
    teach(world, select((Column("i", "integer"),), ()))
    query = world.run("Q")["QueryExecutionId"]
    assert world.rows(query) == [["i"]]
    (info,) = results(world, query)["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert (info["Name"], info["Type"]) == ("i", "integer")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pages_put_together_are_the_whole_result(world: World, size: int) -> None:
    teach(world, select((Column("i", "integer"),), [(str(i),) for i in range(13)]))
    query = world.run("Q")["QueryExecutionId"]
    found = pages(world, query, size)
    assert all(len(page) == size for page in found[:-1])
    assert all(found)
    assert [row for page in found for row in page] == [["i"], *[[str(i)] for i in range(13)]]


def test_a_page_holds_a_thousand_rows_unless_told_otherwise(world: World) -> None:
    teach(world, select((Column("i", "integer"),), [(str(i),) for i in range(1500)]))
    query = world.run("Q")["QueryExecutionId"]
    first = results(world, query)
    assert len(first["ResultSet"]["Rows"]) == 1000
    second = results(world, query, NextToken=first["NextToken"])
    assert len(second["ResultSet"]["Rows"]) == 501
    with pytest.raises(ApiError, match="less than or equal to 1000"):
        results(world, query, MaxResults=1001)


def test_a_token_of_another_query_is_refused(world: World) -> None:
    teach(world, select((Column("i", "integer"),), [("1",), ("2",)]))
    one, two = world.run("Q")["QueryExecutionId"], world.run("Q")["QueryExecutionId"]
    token = results(world, one, MaxResults=1)["NextToken"]
    with pytest.raises(ApiError, match="Invalid NextToken"):
        results(world, two, NextToken=token)


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(texts, texts)), st.integers(1, 5))
def test_any_text_comes_back_as_it_went_in(rows: list[tuple[str | None, ...]], size: int) -> None:
    world = World()
    teach(world, select((Column("a", "varchar"), Column("b", "varchar")), rows))
    query = world.run("Q")["QueryExecutionId"]
    found = [tuple(row) for page in pages(world, query, size) for row in page]
    assert found == [("a", "b"), *rows]
    world.api.close()


@pytest.mark.parametrize(
    ("type_", "name", "precision", "scale", "case_sensitive"),
    [
        ("boolean", "boolean", 0, 0, False),
        ("tinyint", "tinyint", 3, 0, False),
        ("smallint", "smallint", 5, 0, False),
        ("integer", "integer", 10, 0, False),
        ("bigint", "bigint", 19, 0, False),
        ("real", "float", 17, 0, False),
        ("double", "double", 17, 0, False),
        ("decimal(10,2)", "decimal", 10, 2, False),
        ("decimal(38, 0)", "decimal", 38, 0, False),
        ("varchar", "varchar", 2147483647, 0, True),
        ("varchar(7)", "varchar", 7, 0, True),
        ("char(3)", "char", 3, 0, True),
        ("varbinary", "varbinary", 1073741824, 0, False),
        ("date", "date", 0, 0, False),
        ("timestamp(3)", "timestamp", 3, 0, False),
        ("timestamp(3) with time zone", "timestamp with time zone", 3, 0, False),
        ("json", "json", 0, 0, False),
        ("array(decimal(5,1))", "array", 0, 0, False),
        ("map(varchar, bigint)", "map", 0, 0, False),
        ("row(a integer, b varchar)", "row", 0, 0, False),
        ("interval day to second", "interval day to second", 0, 0, False),
        ("string", "string", 0, 0, False),
    ],
)
def test_columns_are_announced_with_athenas_names_and_sizes(
    type_: str, name: str, precision: int, scale: int, case_sensitive: bool
) -> None:
    assert column_info(Column("c", type_)) == {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": "c",
        "Label": "c",
        "Type": name,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": case_sensitive,
    }


def test_a_utility_statement_leaves_lines_and_no_header(world: World) -> None:
    columns = (Column("tab_name", "string"),)
    teach(world, Outcome("UTILITY", "SHOW_TABLES", columns, (("one",), ("two",))))
    found = world.run("Q")
    location = found["ResultConfiguration"]["OutputLocation"]
    assert location == f"{OUTPUT}/{found['QueryExecutionId']}.txt"
    assert world.file(location) == b"one\ntwo"
    assert world.rows(found["QueryExecutionId"]) == [["one"], ["two"]]
    assert results(world, found["QueryExecutionId"])["UpdateCount"] == 0


def test_describe_announces_three_columns_and_gives_one_cell(world: World) -> None:
    columns = tuple(Column(name, "string") for name in ("col_name", "data_type", "comment"))
    rows = (("id\tbigint\t",), ("",), ("# Partition Information\t\t",))
    teach(world, Outcome("UTILITY", "DESCRIBE_TABLE", columns, rows))
    query = world.run("Q")["QueryExecutionId"]
    assert world.rows(query) == [["id\tbigint\t"], [""], ["# Partition Information\t\t"]]
    info = results(world, query)["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [column["Name"] for column in info] == ["col_name", "data_type", "comment"]
    assert pages(world, query, 1) == [[["id\tbigint\t"]], [[""]], [["# Partition Information\t\t"]]]


def test_a_last_line_that_is_empty_is_a_row(world: World) -> None:
    teach(world, Outcome("UTILITY", "SHOW_CREATE_TABLE", (Column("t", "string"),), (("a",), ("",))))
    query = world.run("Q")["QueryExecutionId"]
    assert world.rows(query) == [["a"], [""]]
    assert pages(world, query, 1) == [[["a"]], [[""]]]


def test_explain_has_a_header_and_lines(world: World) -> None:
    teach(world, Outcome("DML", "EXPLAIN", (Column("Query Plan", "varchar"),), (("Fragment 0",), ("  - x",))))
    found = world.run("Q")
    assert found["ResultConfiguration"]["OutputLocation"].endswith(".txt")
    assert world.rows(found["QueryExecutionId"]) == [["Query Plan"], ["Fragment 0"], ["  - x"]]


def test_ddl_leaves_an_empty_file_and_no_rows_columns_or_count(world: World) -> None:
    teach(world, Outcome("DDL", "CREATE_TABLE"))
    found = world.run("Q")
    assert world.file(found["ResultConfiguration"]["OutputLocation"]) == b""
    answer = results(world, found["QueryExecutionId"])
    assert answer == {"ResultSet": {"Rows": [], "ResultSetMetadata": {"ColumnInfo": []}}}


@pytest.mark.parametrize(
    ("kind", "below"),
    [
        (("DML", "INSERT"), ""),
        (("DML", "UNLOAD"), ""),
        (("DDL", "CREATE_TABLE_AS_SELECT"), "tables/"),
    ],
)
def test_a_write_leaves_a_manifest_and_a_count(world: World, kind: tuple[str, str], below: str) -> None:
    written = ("s3://b/t/dt=1/f1", "s3://b/t/dt=2/f2")
    teach(world, Outcome(*kind, update_count=3, manifest=written))
    found = world.run("Q")
    query = found["QueryExecutionId"]
    assert found["ResultConfiguration"]["OutputLocation"] == f"{OUTPUT}/{below}{query}"
    manifest = found["Statistics"]["DataManifestLocation"]
    assert manifest == f"{OUTPUT}/{below}{query}-manifest.csv"
    assert world.file(manifest).decode().splitlines() == list(written)
    answer = results(world, query)
    assert answer["UpdateCount"] == 3
    assert answer["ResultSet"]["Rows"] == []
    (info,) = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert (info["Name"], info["Type"]) == ("rows", "bigint")
    assert f"results/athena/{below}{query}" not in world.bucket.bodies


def read_protobuf(data: bytes) -> list[tuple[int, Any]]:
    """Fields by number: the wire format of Protocol Buffers, read independently."""
    fields: list[tuple[int, Any]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            fields.append((key >> 3, varint()))
        else:
            assert key & 7 == 2
            size = varint()
            fields.append((key >> 3, data[at : at + size]))
            at += size
    return fields


def test_metadata_beside_the_result_describes_the_columns(world: World) -> None:
    teach(world, select((Column("i", "integer"), Column("s", "varchar")), ()))
    found = world.run("Q")
    metadata = world.file(found["ResultConfiguration"]["OutputLocation"] + ".metadata")
    fields = read_protobuf(metadata)
    assert fields[0] == (1, found["QueryExecutionId"].encode())
    columns = [dict(read_protobuf(content)) for number, content in fields if number == 4]
    # Field numbers as burtcorp/athena-jdbc's AthenaMetaDataParser reads them.
    assert [(c[1], c[4], c[5], c[6], c[7], c[8], c[9], c[10]) for c in columns] == [
        (b"hive", b"i", b"i", b"integer", 10, 0, 3, 0),
        (b"hive", b"s", b"s", b"varchar", 2147483647, 0, 3, 1),
    ]


def test_results_are_read_as_the_caller_who_asks(world: World) -> None:
    query = world.run()["QueryExecutionId"]
    world.bucket.readers = {"reader"}
    read = {"QueryExecutionId": query}
    assert world.call("GetQueryResults", Person("reader"), **read)["ResultSet"]["Rows"]
    with pytest.raises(ApiError, match="Could not find results"):
        world.call("GetQueryResults", Person("stranger"), **read)


def test_a_deleted_result_file_cannot_be_read(world: World) -> None:
    found = world.run()
    world.bucket.bodies.clear()
    with pytest.raises(ApiError, match="Could not find results"):
        results(world, found["QueryExecutionId"])


@pytest.mark.parametrize("changed", [b'"a"\n"cut off', b"plain\n", b'"a"x\n', b'"'])
def test_a_result_file_that_somebody_changed_is_refused(world: World, changed: bytes) -> None:
    found = world.run()
    location = found["ResultConfiguration"]["OutputLocation"]
    world.bucket.bodies[location.removeprefix("s3://")] = changed
    with pytest.raises(ApiError, match="the result file was changed"):
        results(world, found["QueryExecutionId"])


def test_results_of_a_query_that_did_not_succeed_are_refused_in_athenas_words(world: World) -> None:
    def fail(_: Session) -> Outcome:
        raise QueryFailed("no")

    world.statements.learn("FAIL", ("DML", "SELECT"), fail)
    failed = world.run("FAIL")["QueryExecutionId"]
    with pytest.raises(ApiError) as caught:
        results(world, failed)
    assert caught.value.message == "Query did not finish successfully. Final query state: FAILED"

    world.knobs.seconds = 30.0
    running = world.start()
    world.wait(running, "RUNNING")
    with pytest.raises(ApiError) as caught:
        results(world, running)
    assert caught.value.message == "Query has not yet finished. Current state: RUNNING"
    world.call("StopQueryExecution", QueryExecutionId=running)
    with pytest.raises(ApiError) as caught:
        results(world, running)
    assert caught.value.message == "Could not find results"


def test_runtime_statistics_count_rows_and_bytes(world: World) -> None:
    teach(world, select((Column("i", "integer"),), [("1",), ("22",)]))
    found = world.run("Q")
    answer = world.call("GetQueryRuntimeStatistics", QueryExecutionId=found["QueryExecutionId"])
    rows = answer["QueryRuntimeStatistics"]["Rows"]
    assert rows["OutputRows"] == 2
    assert rows["OutputBytes"] == len(b'"i"\n"1"\n"22"\n')
    assert answer["QueryRuntimeStatistics"]["Timeline"]["TotalExecutionTimeInMillis"] >= 0
