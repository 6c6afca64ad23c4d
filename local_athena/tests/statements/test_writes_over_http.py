"""Writers over the real engine: what is refused is refused by its types, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from local_athena import Fault, LocalAthena
from local_athena.data.s3_uri import S3Uri
from local_athena.wire.faults import When
from support.athena_runner import Runner

pytestmark = pytest.mark.integration


@pytest.fixture
def lake(aws: LocalAthena, unique: Callable[[str], str]) -> Runner:
    runner = Runner(aws, unique("http-bucket"), unique("http"))
    runner.ok(f"CREATE DATABASE {runner.database}")
    return runner


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT TIME '01:02:03' AS x", "Unsupported Hive type: time("),
        ("SELECT JSON '{}' AS x", "Unsupported Hive type: json"),
        ("SELECT from_unixtime(0) AS x", "Unsupported Hive type: timestamp(3) with time zone"),
        ("SELECT 1 AS x, 2", "Column name not specified at position 2"),
        ("SELECT 1 AS x, 2 AS X", "Column name 'x' specified more than once"),
        ("SELECT NULL AS x", "Column type is unknown at position 1"),
        ("SELECT * FROM nowhere", "TABLE_NOT_FOUND"),
        ("SELECT nope FROM (VALUES 1) AS t(a)", "COLUMN_NOT_FOUND"),
    ],
)
def test_views_and_ctas_refuse_the_same_columns(lake: Runner, query: str, said: str) -> None:
    assert said in lake.fails(f"CREATE VIEW v AS {query}")
    assert said in lake.fails(f"CREATE TABLE t AS {query}")
    assert lake.ok("SHOW TABLES").rows == ()


def test_only_timestamps_of_milliseconds_are_written(lake: Runner) -> None:
    reason = lake.fails("CREATE TABLE t AS SELECT TIMESTAMP '2026-01-01 00:00:00' AS x")
    assert "Incorrect timestamp precision for timestamp(0)" in reason
    lake.ok("CREATE TABLE t AS SELECT TIMESTAMP '2026-01-01 00:00:00.000' AS x")
    lake.ok("CREATE VIEW v AS SELECT TIMESTAMP '2026-01-01 00:00:00' AS x")
    assert lake.rows("SELECT x FROM t") == [("2026-01-01 00:00:00.000",)]


def test_a_query_that_fails_while_it_runs_leaves_no_table_and_no_file(lake: Runner) -> None:
    reason = lake.fails("CREATE TABLE t AS SELECT 1 / a AS x FROM (VALUES 1, 0) AS v(a)")
    assert "DIVISION_BY_ZERO" in reason
    assert lake.ok("SHOW TABLES").rows == ()
    assert lake.keys("results/tables/") == []


def test_an_error_in_the_query_is_placed_in_the_statement(lake: Runner) -> None:
    reason = lake.fails("CREATE TABLE t\nWITH (format = 'ORC')\nAS SELECT nope FROM (VALUES 1) AS v(a)")
    assert reason.startswith("COLUMN_NOT_FOUND: line 3:11: Column 'nope' cannot be resolved")


def test_execution_parameters_reach_every_writer(lake: Runner) -> None:
    lake.ok("CREATE TABLE t AS SELECT ? AS a, CAST(? AS varchar) AS b", parameters=["1", "'it''s ?'"])
    lake.ok("INSERT INTO t VALUES (?, ?)", parameters=["2", "'two'"])
    assert sorted(lake.rows("SELECT a, b FROM t")) == [("1", "it's ?"), ("2", "two")]
    place = f"s3://{lake.bucket}/u/"
    lake.ok(f"UNLOAD (SELECT b FROM t WHERE a = ?) TO '{place}' WITH (format='JSON')", parameters=["2"])
    assert len(lake.keys("u/")) == 1
    assert "expected 0 but found 1" in lake.fails("DROP TABLE t", parameters=["1"])


def test_an_insert_that_does_not_match_names_both_lists(lake: Runner) -> None:
    lake.ok("CREATE TABLE t AS SELECT 1 AS a, CAST('x' AS varchar) AS b")
    reason = lake.fails("INSERT INTO t SELECT 'x', 1")
    assert "Table: [integer, varchar], Query: [varchar(1), integer]" in reason


def test_a_view_tells_the_types_its_query_has(lake: Runner) -> None:
    lake.ok("CREATE TABLE t AS SELECT 1 AS a, DECIMAL '1.50' AS d, DATE '2026-01-02' AS e, ARRAY[1, 2] AS f")
    lake.ok(f'CREATE OR REPLACE VIEW v AS SELECT a * 2 AS a2, d, e, f FROM "{lake.database}".t;')
    columns = lake.glue.get_table(DatabaseName=lake.database, Name="v")["Table"]["StorageDescriptor"][
        "Columns"
    ]
    assert [(c["Name"], c["Type"]) for c in columns] == [
        ("a2", "int"),
        ("d", "decimal(3,2)"),
        ("e", "date"),
        ("f", "array<int>"),
    ]
    assert lake.rows("SELECT * FROM v") == [("2", "1.50", "2026-01-02", "[1, 2]")]
    lake.ok("DROP TABLE t")
    assert "v" in lake.fails("SELECT * FROM v")


KEY = "arn:aws:kms:us-east-1:123456789012:key/k"
KMS = {"EncryptionOption": "SSE_KMS", "KmsKey": KEY}


@pytest.mark.parametrize("enforced", [False, True])
def test_all_a_query_writes_is_encrypted_as_its_call_says_unless_the_workgroup_does(
    lake: Runner, unique: Callable[[str], str], enforced: bool
) -> None:
    results = {"OutputLocation": f"s3://{lake.bucket}/wg/"}
    lake.athena.create_work_group(
        Name=unique("wg"),
        Configuration={"ResultConfiguration": results, "EnforceWorkGroupConfiguration": enforced},
    )
    sql = "CREATE TABLE t WITH (partitioned_by = ARRAY['k']) AS SELECT 1 AS a, 'x' AS k"
    execution = lake.ok(sql, WorkGroup=unique("wg"), ResultConfiguration={"EncryptionConfiguration": KMS})
    told = execution.execution["ResultConfiguration"].get("EncryptionConfiguration")
    heads = [lake.s3.head_object(Bucket=lake.bucket, Key=key) for key in lake.keys("wg/")]
    assert len(heads) == 3  # the data, the manifest, the metadata
    found = {(head["ServerSideEncryption"], head.get("SSEKMSKeyId")) for head in heads}
    assert (told, found) == ((None, {("AES256", None)}) if enforced else (KMS, {("aws:kms", KEY)}))


def test_an_enforcing_workgroup_places_tables_and_leaves_unloads_where_they_are_sent(
    lake: Runner, unique: Callable[[str], str]
) -> None:
    lake.athena.create_work_group(
        Name=unique("wg"),
        Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{lake.bucket}/wg/"}},
    )
    made = lake.ok("CREATE TABLE t AS SELECT 1 AS a WITH NO DATA", WorkGroup=unique("wg"))
    table = lake.glue.get_table(DatabaseName=lake.database, Name="t")["Table"]
    place = f"s3://{lake.bucket}/wg/tables/{made.execution['QueryExecutionId']}"
    assert table["StorageDescriptor"]["Location"] == place
    lake.ok(
        f"UNLOAD (SELECT 1 AS a, DATE '2026-01-02' AS dt) TO 's3://{lake.bucket}/out/' "
        "WITH (format = 'TEXTFILE', compression = 'ZSTD', compression_level = 3, field_delimiter = '|', "
        "partitioned_by = ARRAY['dt'])",
        WorkGroup=unique("wg"),
    )
    (key,) = lake.keys("out/")
    assert key.startswith("out/dt=2026-01-02/")


@pytest.fixture
def faulty(aws: LocalAthena) -> Iterator[LocalAthena]:
    """The shared server; afterwards all goes well again."""
    yield aws
    aws.set_faults()


def test_a_query_may_fail_after_it_wrote_its_files(lake: Runner, faulty: LocalAthena) -> None:
    lake.ok(
        "CREATE EXTERNAL TABLE old (a int) PARTITIONED BY (k string) STORED AS PARQUET "
        f"LOCATION 's3://{lake.bucket}/old/'"
    )
    for sql in (
        f"CREATE TABLE new WITH (external_location = 's3://{lake.bucket}/new/', "
        "partitioned_by = ARRAY['k']) AS SELECT a, k FROM (VALUES (1, 'x'), (2, 'y')) AS v(a, k)",
        "INSERT INTO old VALUES (1, 'x')",
        f"UNLOAD (SELECT 1 AS a) TO 's3://{lake.bucket}/unloaded/' WITH (format = 'JSON')",
    ):
        faulty.set_faults(Fault("athena:query", "GENERIC_INTERNAL_ERROR", message="boom", when="after"))
        answer = lake.run(sql)
        assert (answer.state, answer.reason) == ("FAILED", "GENERIC_INTERNAL_ERROR: boom")
        manifest = S3Uri.parse(answer.execution["Statistics"]["DataManifestLocation"])
        listed = lake.s3.get_object(Bucket=manifest.bucket, Key=manifest.key)["Body"].read().decode().split()
        folder = S3Uri.parse(listed[0]).key.partition("/")[0]
        assert [S3Uri.parse(uri).key for uri in listed] == lake.keys(f"{folder}/")
    assert lake.rows("SHOW TABLES") == [("old",)]
    assert lake.rows("SHOW PARTITIONS old") == []


@pytest.mark.parametrize(("when", "written"), [("before", 1), ("after", 2)])
def test_a_query_may_fail_half_way(lake: Runner, faulty: LocalAthena, when: When, written: int) -> None:
    faulty.set_faults(Fault("s3:PutObject", by_athena=True, skip=1, matching="/half/", when=when))
    answer = lake.run(
        f"CREATE TABLE t WITH (external_location = 's3://{lake.bucket}/half/', "
        "partitioned_by = ARRAY['k']) AS SELECT a, k FROM (VALUES (1, 'x'), (2, 'y'), (3, 'z')) AS v(a, k)"
    )
    assert answer.state == "FAILED"
    assert len(lake.keys("half/")) == written
    manifest = S3Uri.parse(answer.execution["Statistics"]["DataManifestLocation"])
    body = lake.s3.get_object(Bucket=manifest.bucket, Key=manifest.key)["Body"].read()
    assert len(body.split()) == 2  # what it wrote, and what it was about to write
    assert lake.rows("SHOW TABLES") == []


def test_a_ctas_that_is_stopped_leaves_no_table(lake: Runner) -> None:
    sql = (
        "CREATE TABLE t AS SELECT count(*) AS n FROM UNNEST(sequence(1, 9000)) a(x) "
        "CROSS JOIN UNNEST(sequence(1, 9000)) b(y) CROSS JOIN UNNEST(sequence(1, 1000)) c(z) "
        "WHERE (x * y * z) % 7 = 3"
    )
    query_id = lake.athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": lake.database},
        ResultConfiguration={"OutputLocation": f"s3://{lake.bucket}/results/"},
    )["QueryExecutionId"]
    deadline = time.monotonic() + 20

    def state() -> str:
        assert time.monotonic() < deadline
        found = lake.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        return str(found["Status"]["State"])

    while state() == "QUEUED":
        time.sleep(0.01)
    lake.athena.stop_query_execution(QueryExecutionId=query_id)
    while state() == "RUNNING":
        time.sleep(0.01)
    assert state() == "CANCELLED"
    assert lake.ok("SHOW TABLES").rows == ()


def test_athena_tells_of_an_unload_what_the_test_wants_and_nothing_by_default(
    lake: Runner, aws: LocalAthena
) -> None:
    athena = aws.client("athena")
    try:
        for number, (told, expected) in enumerate(((None, None), ("zero", 0), ("rows", 2), ("none", None))):
            if told is not None:
                aws.tell_unload_rows(told)
            done = lake.ok(
                f"UNLOAD (SELECT * FROM (VALUES 1, 2) AS t (a)) TO 's3://{lake.bucket}/told/{number}/' "
                "WITH (format = 'JSON')"
            )
            answer = athena.get_query_results(QueryExecutionId=done.execution["QueryExecutionId"])
            assert answer.get("UpdateCount") == expected
    finally:
        aws.tell_unload_rows()
