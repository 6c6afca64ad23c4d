"""INSERT INTO and UNLOAD."""

from __future__ import annotations

import gzip
import io
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

from local_athena.data.s3_uri import S3Uri
from local_athena.errors import QueryFailed
from support.statement_lab import Lab


def read(lab: Lab, uri: str) -> bytes:
    parsed = S3Uri.parse(uri)
    return lab.objects.read(parsed.bucket, parsed.key)


def rows_of(lab: Lab, uri: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(read(lab, uri))).to_pylist()
    return rows


@pytest.fixture
def target(lab: Lab) -> Lab:
    lab.run(
        "CREATE EXTERNAL TABLE t (id bigint, name string) PARTITIONED BY (dt date) STORED AS PARQUET "
        "LOCATION 's3://lab/t/' TBLPROPERTIES ('parquet.compression'='SNAPPY')"
    )
    return lab


def test_rows_go_to_new_partitions_below_the_table_and_to_old_ones_where_they_are(target: Lab) -> None:
    target.run("ALTER TABLE t ADD PARTITION (dt='2026-01-01') LOCATION 's3://lab/elsewhere/gen1'")
    target.engine.learn(
        "SELECT 1",
        {"a": "integer", "b": "varchar(1)", "c": "date"},
        [(1, "x", date(2026, 1, 1)), (2, "y", date(2026, 1, 2)), (3, None, None)],
    )
    outcome = target.run("INSERT INTO t SELECT 1")
    assert (outcome.statement_type, outcome.substatement_type, outcome.update_count) == ("DML", "INSERT", 3)
    found = {uri.rpartition("/")[0]: rows_of(target, uri) for uri in outcome.manifest}
    assert found == {
        "s3://lab/elsewhere/gen1": [{"id": 1, "name": "x"}],
        "s3://lab/t/dt=2026-01-02": [{"id": 2, "name": "y"}],
        "s3://lab/t/dt=__HIVE_DEFAULT_PARTITION__": [{"id": 3, "name": None}],
    }
    assert target.partitions("t") == {
        ("2026-01-01",): "s3://lab/elsewhere/gen1",
        ("2026-01-02",): "s3://lab/t/dt=2026-01-02",
        ("__HIVE_DEFAULT_PARTITION__",): "s3://lab/t/dt=__HIVE_DEFAULT_PARTITION__",
    }
    file = pq.ParquetFile(io.BytesIO(read(target, outcome.manifest[0])))
    assert file.metadata.row_group(0).column(0).compression == "SNAPPY"


def test_named_columns_go_to_their_places_and_the_others_are_null(target: Lab) -> None:
    query = '(\n select "dt", "id" from "awsdatacatalog"."db"."tmp" )'
    target.engine.learn(query, {"dt": "date", "id": "bigint"}, [(date(2026, 1, 1), 7)])
    outcome = target.run(f'insert into "awsdatacatalog"."db"."t" ("dt", "id")\n {query};')
    assert rows_of(target, outcome.manifest[0]) == [{"id": 7, "name": None}]
    assert list(target.partitions("t")) == [("2026-01-01",)]
    target.engine.learn("VALUES (1, 'x')", {"_col0": "integer", "_col1": "varchar(1)"}, [(1, "x")])
    target.run("INSERT INTO db.t (id, name) VALUES (1, 'x')")
    assert ("__HIVE_DEFAULT_PARTITION__",) in target.partitions("t")


def test_a_bracket_may_open_the_query_instead_of_a_column_list(lab: Lab) -> None:
    lab.run("CREATE EXTERNAL TABLE t (id int) STORED AS PARQUET LOCATION 's3://lab/t/'")
    lab.engine.learn("(SELECT 1)", {"a": "integer"}, [(1,)])
    assert lab.run("INSERT INTO t (SELECT 1)").update_count == 1
    with pytest.raises(QueryFailed, match=r"mismatched input 'OVERWRITE'\. Expecting: 'INTO'"):
        lab.run("INSERT OVERWRITE t SELECT 1")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": "integer", "b": "varchar"}, "Table: [bigint, varchar, date], Query: [integer, varchar]"),
        ({"a": "varchar(1)", "b": "varchar", "c": "date"}, "Query: [varchar(1), varchar, date]"),
        ({"a": "bigint", "b": "integer", "c": "date"}, "Query: [bigint, integer, date]"),
        ({"a": "bigint", "b": "varchar", "c": "varchar"}, "Query: [bigint, varchar, varchar]"),
        ({"a": "boolean", "b": "varchar", "c": "date"}, "Query: [boolean, varchar, date]"),
    ],
)
def test_columns_that_do_not_match_fail_with_both_lists(
    target: Lab, columns: dict[str, str], said: str
) -> None:
    target.engine.learn("SELECT 1", columns, [])
    with pytest.raises(QueryFailed) as failed:
        target.run("INSERT INTO t SELECT 1")
    assert "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: " in failed.value.reason
    assert said in failed.value.reason


@pytest.mark.parametrize(
    ("source", "column", "value", "stored"),
    [
        ("integer", "bigint", 5, 5),
        ("bigint", "int", 5, 5),
        ("integer", "decimal(10,2)", 5, Decimal("5.00")),
        ("decimal(3,1)", "decimal(10,2)", Decimal("1.5"), Decimal("1.50")),
        ("decimal(5,3)", "decimal(10,2)", Decimal("1.255"), Decimal("1.26")),
        ("double", "int", 2.5, 3),
        ("double", "decimal(4,1)", 2.25, Decimal("2.3")),
        ("decimal(5,3)", "double", Decimal("1.255"), 1.255),
        ("real", "double", 0.5, 0.5),
        ("varchar(9)", "varchar(2)", "ab   ", "ab"),
        ("varchar", "string", "ab", "ab"),
        ("date", "timestamp", date(2026, 1, 2), datetime(2026, 1, 2)),
        ("timestamp(3)", "date", datetime(2026, 1, 2, 23, 59), date(2026, 1, 2)),
        (
            "timestamp(6)",
            "timestamp",
            datetime(2026, 1, 2, 3, 4, 5, 123500),
            datetime(2026, 1, 2, 3, 4, 5, 124000),
        ),
        (
            "timestamp(3) with time zone",
            "timestamp",
            {"t": datetime(2026, 7, 1, 12), "z": "Europe/Berlin"},
            datetime(2026, 7, 1, 14),
        ),
        ("unknown", "array<int>", None, None),
        ("array(integer)", "array<bigint>", [1, None, 2], [1, None, 2]),
        ("map(varchar(1), integer)", "map<string,double>", [("k", 1)], [("k", 1.0)]),
        ("row(x integer, y varchar(1))", "struct<a:bigint,b:string>", {"x": 1, "y": "v"}, {"a": 1, "b": "v"}),
        ("row(x integer)", "struct<a:bigint>", None, None),
    ],
)
def test_values_are_cast_as_trino_casts_them_on_insert(
    lab: Lab, source: str, column: str, value: Any, stored: Any
) -> None:
    lab.run(f"CREATE EXTERNAL TABLE t (v {column}) STORED AS PARQUET LOCATION 's3://lab/t/'")
    lab.engine.learn("SELECT 1", {"a": source}, [(value,), (None,)])
    (uri,) = lab.run("INSERT INTO t SELECT 1").manifest
    assert [row["v"] for row in rows_of(lab, uri)] == [stored, None]


@pytest.mark.parametrize(
    ("source", "column", "value", "said"),
    [
        ("bigint", "int", 3_000_000_000, "INVALID_CAST_ARGUMENT"),
        ("integer", "decimal(3,2)", 10, "INVALID_CAST_ARGUMENT"),
        ("double", "tinyint", 200.0, "INVALID_CAST_ARGUMENT"),
        (
            "varchar(9)",
            "varchar(2)",
            "abc",
            "Cannot truncate non-space characters when casting from varchar(9)",
        ),
        ("array(varchar(9))", "array<varchar(2)>", ["a"], "TYPE_MISMATCH"),
        ("row(a integer)", "struct<a:int,b:int>", {"a": 1}, "TYPE_MISMATCH"),
        ("timestamp(3)", "string", None, "TYPE_MISMATCH"),
    ],
)
def test_values_that_do_not_fit_fail_the_insert(
    lab: Lab, source: str, column: str, value: Any, said: str
) -> None:
    lab.run(f"CREATE EXTERNAL TABLE t (v {column}) STORED AS PARQUET LOCATION 's3://lab/t/'")
    lab.engine.learn("SELECT 1", {"a": source}, [(value,)])
    with pytest.raises(QueryFailed) as failed:
        lab.run("INSERT INTO t SELECT 1")
    assert said in failed.value.reason
    assert lab.keys("t/") == []


def test_targets_that_take_no_rows_are_refused(lab: Lab) -> None:
    lab.engine.learn("SELECT 1", {"a": "integer"}, [(1,)])
    lab.run("CREATE VIEW v AS SELECT 1")
    lab.run(
        "CREATE EXTERNAL TABLE b (a int) CLUSTERED BY (a) INTO 2 BUCKETS STORED AS ORC LOCATION 's3://lab/b'"
    )
    lab.run("CREATE EXTERNAL TABLE avro (a int) STORED AS AVRO LOCATION 's3://lab/a'")
    lab.run("CREATE EXTERNAL TABLE c (a int) STORED AS ORC LOCATION 's3://lab/c'")
    for sql, said in (
        (
            "INSERT INTO nope SELECT 1",
            "TABLE_NOT_FOUND: line 1:13: Table 'awsdatacatalog.db.nope' does not exist",
        ),
        ("INSERT INTO v SELECT 1", "Inserting into views is not supported"),
        ("INSERT INTO b SELECT 1", "bucketed table 'db.b' is not supported"),
        ("INSERT INTO avro SELECT 1", "HIVE_UNSUPPORTED_FORMAT"),
        ("INSERT INTO c (x) SELECT 1", "Insert column name does not exist in target table: x"),
        ("INSERT INTO c (a, a) SELECT 1", "specified more than once: a"),
    ):
        with pytest.raises(QueryFailed) as failed:
            lab.run(sql)
        assert said in failed.value.reason


def test_an_insert_that_breaks_leaves_its_files_and_no_new_partition(target: Lab) -> None:
    target.engine.learn(
        "SELECT 1",
        {"a": "bigint", "b": "varchar", "c": "date"},
        [(1, "x", date(2026, 1, 1)), (2, "y", date(2026, 1, 2))],
    )
    target.objects.refused_suffixes = ("2026-01-02",)
    with pytest.raises(QueryFailed, match="Access Denied"):
        target.run("INSERT INTO t SELECT 1")
    assert len(target.keys("t/")) == 1
    assert target.partitions("t") == {}


def test_text_and_csv_tables_get_rows_by_their_own_serdes(lab: Lab) -> None:
    lab.run(
        r"CREATE EXTERNAL TABLE d (a string, b array<int>) ROW FORMAT DELIMITED FIELDS TERMINATED BY '|' "
        r"ESCAPED BY '\\' COLLECTION ITEMS TERMINATED BY ';' NULL DEFINED AS 'nil' LOCATION 's3://lab/d/' "
        r"TBLPROPERTIES ('write.compression'='NONE')"
    )
    lab.engine.learn(
        "SELECT 1", {"a": "varchar", "b": "array(integer)"}, [("x|y\\", [1, None]), (None, None)]
    )
    (uri,) = lab.run("INSERT INTO d SELECT 1").manifest
    assert read(lab, uri) == b"x\\|y\\\\|1;nil\nnil|nil\n"
    lab.run(
        "CREATE EXTERNAL TABLE c (a string, b string) "
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' LOCATION 's3://lab/c/'"
    )
    lab.engine.learn("SELECT 2", {"a": "varchar", "b": "varchar"}, [('say "hi", \\', None)])
    (uri,) = lab.run("INSERT INTO c SELECT 2").manifest
    assert gzip.decompress(read(lab, uri)) == b'"say \\"hi\\", \\\\",\n'


def test_an_unload_writes_files_into_an_empty_place_and_no_table(lab: Lab) -> None:
    lab.engine.learn("SELECT 1", {"id": "integer", "dt": "varchar"}, [(1, "x"), (2, "y")])
    outcome = lab.run(
        "UNLOAD (\n\tSELECT 1\n)\nTO 's3://lab/u/'\nWITH (  format='ORC'  , compression='snappy'  , "
        "partitioned_by=ARRAY['dt'])"
    )
    assert (outcome.statement_type, outcome.substatement_type, outcome.update_count) == ("DML", "UNLOAD", 2)
    assert [uri.rpartition("/")[0] for uri in outcome.manifest] == ["s3://lab/u/dt=x", "s3://lab/u/dt=y"]
    assert orc.ORCFile(io.BytesIO(read(lab, outcome.manifest[0]))).compression == "SNAPPY"
    assert lab.lines("SHOW TABLES") == []
    with pytest.raises(QueryFailed, match="HIVE_PATH_ALREADY_EXISTS"):
        lab.run("UNLOAD (SELECT 1) TO 's3://lab/u' WITH (format='ORC')")


def test_an_unload_into_partitions_writes_beside_what_is_there(lab: Lab) -> None:
    """As Athena's documentation of UNLOAD says: a second run doubles the rows."""
    lab.engine.learn("SELECT 1", {"id": "integer", "dt": "varchar"}, [(1, "x")])
    for _ in range(2):
        lab.run("UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (format='ORC', partitioned_by=ARRAY['dt'])")
    assert len(lab.keys("u/dt=x/")) == 2


def test_unloaded_text_has_the_delimiter_asked_for(lab: Lab) -> None:
    lab.engine.learn("SELECT 1", {"id": "integer", "name": "varchar"}, [(1, "x"), (2, None)])
    outcome = lab.run(
        "UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (  format='TEXTFILE'  , compression='gzip'  , "
        "field_delimiter='|')"
    )
    assert outcome.manifest[0].endswith(".gz")
    assert gzip.decompress(read(lab, outcome.manifest[0])) == b"1|x\n2|\\N\n"
    outcome = lab.run("UNLOAD (SELECT 1) TO 's3://lab/v/' WITH (format='JSON')")
    lines = gzip.decompress(read(lab, outcome.manifest[0])).splitlines()
    assert [json.loads(line) for line in lines] == [{"id": 1, "name": "x"}, {"id": 2, "name": None}]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UNLOAD (SELECT 1) TO 's3://lab/u/'", "UNLOAD needs the property 'format'"),
        ("UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (format='AVRO')", "NOT_SUPPORTED: Format AVRO"),
        (
            "UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (format='ORC', bucket_count=1)",
            "'bucket_count' does not exist",
        ),
        (
            "UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (format='PARQUET', compression='LZ4')",
            "Compression 'LZ4' is not supported for format PARQUET",
        ),
        (
            "UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (format='JSON', compression='DEFLATE')",
            "Compression 'DEFLATE' is not supported for format JSON",
        ),
        (
            "UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (format='ORC', compression_level=3)",
            "compression_level 3 does not fit",
        ),
        ("UNLOAD (SELECT 1) TO 'u' WITH (format='ORC')", "not a valid file system URI"),
        ("UNLOAD SELECT 1 TO 's3://lab/u/' WITH (format='ORC')", "mismatched input 'SELECT'"),
        (
            "UNLOAD (SELECT 1) TO 's3://lab/u/' WITH (format='ORC') x",
            "mismatched input 'x'. Expecting: <EOF>",
        ),
    ],
)
def test_unload_refuses_what_athena_refuses(lab: Lab, sql: str, said: str) -> None:
    lab.engine.learn("SELECT 1", {"id": "integer"}, [(1,)])
    with pytest.raises(QueryFailed) as failed:
        lab.run(sql)
    assert said in failed.value.reason
    assert lab.keys("") == []
