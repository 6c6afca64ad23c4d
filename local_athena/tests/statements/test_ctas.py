"""CREATE TABLE AS SELECT: what it leaves in S3 and Glue, and what it refuses before leaving anything."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest

from local_athena.data.s3_uri import S3Uri
from local_athena.errors import QueryFailed
from support.statement_lab import BUCKET, Lab

ROWS = [(1, "a", "x"), (2, "b", "y"), (3, None, "x")]


@pytest.fixture
def source(lab: Lab) -> Lab:
    lab.engine.learn("SELECT * FROM src", {"id": "integer", "name": "varchar", "dt": "varchar"}, ROWS)
    return lab


def read_parquet(lab: Lab, uri: str) -> list[dict[str, Any]]:
    parsed = S3Uri.parse(uri)
    rows: list[dict[str, Any]] = pq.read_table(
        io.BytesIO(lab.objects.read(parsed.bucket, parsed.key))
    ).to_pylist()
    return rows


def test_a_ctas_writes_files_and_a_table_over_them(source: Lab) -> None:
    outcome = source.run("CREATE TABLE t WITH (external_location = 's3://lab/out/t') AS SELECT * FROM src")
    assert (outcome.statement_type, outcome.substatement_type) == ("DDL", "CREATE_TABLE_AS_SELECT")
    assert outcome.update_count == 3
    (uri,) = outcome.manifest
    assert uri.startswith("s3://lab/out/t/")
    assert read_parquet(source, uri) == [dict(zip(("id", "name", "dt"), row, strict=True)) for row in ROWS]
    table = source.table("t")
    assert table["StorageDescriptor"]["Location"] == "s3://lab/out/t"
    assert [(c["Name"], c["Type"]) for c in table["StorageDescriptor"]["Columns"]] == [
        ("id", "int"),
        ("name", "string"),
        ("dt", "string"),
    ]
    assert table["TableType"] == "EXTERNAL_TABLE"
    assert table["Parameters"]["parquet.compression"] == "GZIP"


def test_without_a_location_the_table_goes_below_the_results(source: Lab) -> None:
    outcome = source.run("CREATE TABLE db.t AS SELECT * FROM src", database="default")
    query_id = f"00000000-0000-0000-0000-{source.queries:012d}"
    assert outcome.manifest[0].startswith(f"s3://{BUCKET}/results/tables/{query_id}/")
    assert source.table("t")["StorageDescriptor"]["Location"] == f"s3://{BUCKET}/results/tables/{query_id}"


def test_partitions_are_folders_of_their_own_and_their_keys_leave_the_files(source: Lab) -> None:
    outcome = source.run(
        "CREATE TABLE t WITH (external_location='s3://lab/t/', partitioned_by=ARRAY['dt'], format='parquet') "
        "AS SELECT * FROM src"
    )
    assert source.partitions("t") == {("x",): "s3://lab/t/dt=x", ("y",): "s3://lab/t/dt=y"}
    by_folder = {S3Uri.parse(uri).key.split("/")[1]: read_parquet(source, uri) for uri in outcome.manifest}
    assert by_folder == {
        "dt=x": [{"id": 1, "name": "a"}, {"id": 3, "name": None}],
        "dt=y": [{"id": 2, "name": "b"}],
    }
    assert source.table("t")["PartitionKeys"] == [{"Name": "dt", "Type": "string"}]


def test_folder_names_are_escaped_and_glue_keeps_the_value(lab: Lab) -> None:
    values = ["a/b:c", "it's=100%", None, "", "plain ~x"]
    lab.engine.learn("SELECT 1", {"n": "integer", "p": "varchar"}, [(i, v) for i, v in enumerate(values)])
    lab.run("CREATE TABLE t WITH (external_location='s3://lab/t/', partitioned_by=ARRAY['p']) AS SELECT 1")
    assert lab.partitions("t") == {
        ("a/b:c",): "s3://lab/t/p=a%2Fb%3Ac",
        ("it's=100%",): "s3://lab/t/p=it%27s%3D100%25",
        # NULL and the empty text share a folder, as in Hive.
        ("__HIVE_DEFAULT_PARTITION__",): "s3://lab/t/p=__HIVE_DEFAULT_PARTITION__",
        ("plain ~x",): "s3://lab/t/p=plain ~x",
    }
    assert all(lab.keys(S3Uri.parse(location).folder.key) for location in lab.partitions("t").values())


def test_partition_values_of_every_type_read_as_hive_writes_them(lab: Lab) -> None:
    from datetime import datetime

    columns = {
        "n": "integer", "i": "bigint", "b": "boolean", "d": "date", "e": "decimal(5,2)", "t": "timestamp(3)",
        "f": "double", "r": "real",
    }  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (1, -7, True, date(2026, 1, 2), Decimal("1.50"), datetime(2026, 1, 2, 3, 4, 5), 1e10, 0.1),
        (2, 0, False, date(1969, 1, 2), Decimal("0.00"), datetime(2026, 1, 2, 3, 4, 5, 120_000), 0.5, 1e-9),
    ]
    lab.engine.learn("SELECT 1", columns, rows)
    lab.run("CREATE TABLE t WITH (partitioned_by=ARRAY['i','b','d','e','t','f','r']) AS SELECT 1")
    assert set(lab.partitions("t")) == {
        ("-7", "true", "2026-01-02", "1.5", "2026-01-02 03:04:05", "1.0E10", "0.1"),
        ("0", "false", "1969-01-02", "0", "2026-01-02 03:04:05.12", "0.5", "1.0E-9"),
    }


@pytest.mark.parametrize("value", ["łąka", "tab\tbed", "a\nb"])
def test_partition_values_outside_printable_ascii_are_refused(lab: Lab, value: str) -> None:
    lab.engine.learn("SELECT 1", {"n": "integer", "p": "varchar"}, [(1, value)])
    with pytest.raises(QueryFailed, match=r"HIVE_INVALID_PARTITION_VALUE: .*printable ASCII"):
        lab.run("CREATE TABLE t WITH (partitioned_by=ARRAY['p']) AS SELECT 1")
    assert lab.keys("") == []


@pytest.mark.parametrize(("partitions", "buckets", "fits"), [(100, 0, True), (101, 0, False), (50, 3, False)])
def test_at_most_a_hundred_writers_are_open(lab: Lab, partitions: int, buckets: int, fits: bool) -> None:
    rows = [(n, p) for p in range(partitions) for n in range(max(buckets, 1))]
    lab.engine.learn("SELECT 1", {"n": "integer", "p": "integer"}, rows)
    bucketed = f", bucketed_by=ARRAY['n'], bucket_count={buckets}" if buckets else ""
    place = "external_location='s3://lab/t/'"
    sql = f"CREATE TABLE t WITH ({place}, partitioned_by=ARRAY['p']{bucketed}) AS SELECT 1"
    if fits:
        lab.run(sql)
        assert len(lab.partitions("t")) == 100
        return
    with pytest.raises(
        QueryFailed, match="HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers"
    ):
        lab.run(sql)
    assert lab.keys("t/") == []
    assert lab.lines("SHOW TABLES") == []


def test_rows_are_bucketed_by_hives_hash(lab: Lab) -> None:
    # Java: "abc".hashCode() = 96354, "b".hashCode() = 98, "zz".hashCode() = 3904; (x & MAX_INT) % 4
    lab.engine.learn("SELECT 1", {"s": "varchar"}, [("abc",), ("b",), ("zz",), (None,)])
    lab.run(
        "CREATE TABLE t WITH (external_location='s3://lab/t', bucketed_by=ARRAY['s'], bucket_count=4) "
        "AS SELECT 1"
    )
    found = {
        key.split("/")[1][:6]: [row["s"] for row in read_parquet(lab, f"s3://lab/{key}")]
        for key in lab.keys("t/")
    }
    assert found == {"000002": ["abc", "b"], "000000": ["zz", None]}
    storage = lab.table("t")["StorageDescriptor"]
    assert (storage["BucketColumns"], storage["NumberOfBuckets"]) == (["s"], 4)


def test_no_data_and_no_rows_make_a_table_and_no_file(source: Lab) -> None:
    source.engine.learn("SELECT 0", {"id": "integer"}, [])
    outcome = source.run("CREATE TABLE empty AS SELECT 0")
    assert (outcome.update_count, outcome.manifest) == (0, ())
    outcome = source.run("CREATE TABLE schema_only AS SELECT * FROM src\nWITH NO DATA")
    assert (outcome.update_count, outcome.manifest) == (0, ())
    source.run("CREATE TABLE full_one AS SELECT * FROM src WITH DATA;")
    assert source.lines("SHOW TABLES") == ["empty", "full_one", "schema_only"]
    assert len(source.keys("results/")) == 1


def test_if_not_exists_leaves_the_table_there_is(source: Lab) -> None:
    source.run("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://lab/t'")
    with pytest.raises(
        QueryFailed, match=r"TABLE_ALREADY_EXISTS: line 1:1: Destination table 'db\.t' already exists"
    ):
        source.run("CREATE TABLE t AS SELECT * FROM src")
    assert source.run("CREATE TABLE IF NOT EXISTS t AS SELECT * FROM src").update_count == 0
    assert source.keys("") == []


def test_a_target_that_holds_anything_is_refused_and_left_alone(source: Lab) -> None:
    source.put("t/old", "t2/other")
    with pytest.raises(
        QueryFailed, match=r"HIVE_PATH_ALREADY_EXISTS: Target directory for table 'db\.t' already"
    ):
        source.run("CREATE TABLE t WITH (external_location='s3://lab/t') AS SELECT * FROM src")
    assert source.keys("") == ["t/old", "t2/other"]
    source.run("CREATE TABLE t WITH (external_location='s3://lab/t2/x') AS SELECT * FROM src")


def test_an_enforcing_workgroup_refuses_external_location(source: Lab) -> None:
    source.enforced = True
    with pytest.raises(QueryFailed, match="Workgroup that enforces a centralized output location"):
        source.run("CREATE TABLE t WITH (external_location='s3://lab/t') AS SELECT * FROM src")
    source.run("CREATE TABLE t AS SELECT * FROM src")
    assert source.keys("t") == []


def test_a_write_that_breaks_leaves_written_files_and_no_table(source: Lab) -> None:
    source.objects.refused_suffixes = ("dt=y",)
    with pytest.raises(QueryFailed, match="Access Denied"):
        source.run(
            "CREATE TABLE t WITH (external_location='s3://lab/t/', partitioned_by=ARRAY['dt']) "
            "AS SELECT * FROM src"
        )
    assert len(source.keys("t/dt=x/")) == 1
    assert source.lines("SHOW TABLES") == []


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ("format='AVRO'", "NOT_SUPPORTED: Format AVRO"),
        ("format='XLS'", "Invalid value for 'format': XLS"),
        ("formt='ORC'", "table property 'formt' does not exist"),
        ("format='ORC', format='ORC'", "Duplicate property: format"),
        ("format='ORC', write_compression='GZIP'", "'GZIP' is not supported for format ORC"),
        ("format='JSON', write_compression='ZLIB'", "'ZLIB' is not supported for format JSON"),
        ("format='ORC', parquet_compression='SNAPPY'", "'parquet_compression': the format is ORC"),
        ("orc_compression='ZLIB'", "'orc_compression': the format is PARQUET"),
        ("parquet_compression='SNAPPY', write_compression='SNAPPY'", "parquet_compression is set, too"),
        ("write_compression='GZIP', compression_level=3", "compression_level 3 does not fit"),
        ("write_compression='ZSTD', compression_level=23", "compression_level 23 does not fit"),
        ("field_delimiter=','", "only TEXTFILE has one"),
        ("format='TEXTFILE', field_delimiter='||'", "must be a single character"),
        ("bucketed_by=ARRAY['id']", "go together"),
        ("bucket_count=4", "go together"),
        ("bucketed_by=ARRAY['id'], bucket_count=0", "must be greater than zero"),
        ("bucketed_by=ARRAY['nope'], bucket_count=2", "Bucketing columns [nope] not present"),
        ("partitioned_by=ARRAY['nope']", "Partition columns [nope] not present"),
        ("partitioned_by=ARRAY['id']", "HIVE_COLUMN_ORDER_MISMATCH"),
        ("partitioned_by=ARRAY['dt','name']", "HIVE_COLUMN_ORDER_MISMATCH"),
        ("partitioned_by=ARRAY['id','name','dt']", "only partition columns"),
        ("partitioned_by='dt'", "expected an array of names"),
        ("external_location='/tmp/x'", "not a valid file system URI"),
        ("table_type='iceberg'", "NOT_SUPPORTED: Iceberg"),
        ("is_external=false", "Hive tables are external"),
    ],
)  # fmt: skip
def test_properties_that_do_not_fit_are_refused_before_anything_is_written(
    source: Lab, properties: str, said: str
) -> None:
    with pytest.raises(QueryFailed) as failed:
        source.run(f"CREATE TABLE t WITH ({properties}) AS SELECT * FROM src")
    assert said in failed.value.reason
    assert source.keys("") == []
    assert source.lines("SHOW TABLES") == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": "integer", "A": "integer"}, "Column name 'a' specified more than once"),
        ({"a": "unknown"}, "Column type is unknown at position 1"),
        ({"a": "time(3)"}, "Unsupported Hive type: time(3)"),
        ({"a": "json"}, "Unsupported Hive type: json"),
        ({"a": "timestamp(3) with time zone"}, "Unsupported Hive type: timestamp(3) with time zone"),
        ({"a": "map(varchar, json)"}, "Unsupported Hive type: json"),
        (
            {"a": "timestamp(0)"},
            "Incorrect timestamp precision for timestamp(0); the configured precision is MILL",
        ),
        ({"a": "row(integer, varchar)"}, "Anonymous row type is not supported in Hive"),
        ({"a,b": "integer"}, "Hive column names must not contain commas: 'a,b'"),
        ({" a": "integer"}, "Hive column names must not start or end with a space: ' a'"),
        ({"a": "array(timestamp(6))"}, "Incorrect timestamp precision for timestamp(6)"),
        ({"a": "varchar(65536)"}, "Unsupported Hive type: varchar(65536). Supported VARCHAR types"),
        ({"a": "char(256)"}, "Unsupported Hive type: char(256). Supported CHAR types: CHAR(<=255)"),
        ({"a": "array(varchar(0))"}, "invalid varchar length: 0"),
        ({"a": "array(timestamp(0))"}, "Incorrect timestamp precision for timestamp(0)"),
    ],
)
def test_columns_hive_cannot_hold_are_refused(lab: Lab, columns: dict[str, str], said: str) -> None:
    lab.engine.learn("SELECT 1", columns, [])
    with pytest.raises(QueryFailed) as failed:
        lab.run("CREATE TABLE t AS SELECT 1")
    assert said in failed.value.reason


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE t (a, b) AS SELECT * FROM src", "mismatched input '('"),
        ("CREATE TABLE t WITH (format) AS SELECT * FROM src", "mismatched input ')'. Expecting: '='"),
        (
            "CREATE TABLE nope.t AS SELECT * FROM src",
            "SCHEMA_NOT_FOUND: line 1:1: Schema 'nope' does not exist",
        ),
    ],
)
def test_ctas_text_that_is_not_athenas_is_refused(source: Lab, sql: str, said: str) -> None:
    with pytest.raises(QueryFailed) as failed:
        source.run(sql)
    assert said in failed.value.reason


def test_varchar_keeps_its_length_and_decimal_its_digits(lab: Lab) -> None:
    lab.engine.learn(
        "SELECT 1", {"v": "varchar(5)", "d": "decimal(10,2)", "r": "row(a integer, b varchar(2))"}, []
    )
    lab.run("CREATE TABLE t AS SELECT 1")
    assert [c["Type"] for c in lab.table("t")["StorageDescriptor"]["Columns"]] == [
        "varchar(5)",
        "decimal(10,2)",
        "struct<a:int,b:varchar(2)>",
    ]


def test_a_text_that_is_always_empty_gets_room_for_one_character_as_trino_gives_it(lab: Lab) -> None:
    lab.engine.learn("SELECT ''", {"v": "varchar(0)", "w": "varchar(65535)"}, [])
    lab.run("CREATE TABLE t AS SELECT ''")
    types = [c["Type"] for c in lab.table("t")["StorageDescriptor"]["Columns"]]
    assert types == ["varchar(1)", "varchar(65535)"]
