"""The Athena API through boto3: engines, S3, Glue and IAM of a running local Athena behind it."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local_athena import Fault, LocalAthena

pytestmark = pytest.mark.integration

Name = Callable[[str], str]


class Lake:
    """A bucket, a database and the clients to use them."""

    def __init__(self, aws: LocalAthena, bucket: str, database: str) -> None:
        self.aws, self.bucket, self.database = aws, bucket, database
        self.athena, self.s3, self.glue = (aws.client(name) for name in ("athena", "s3", "glue"))
        self.s3.create_bucket(Bucket=bucket)
        self.glue.create_database(DatabaseInput={"Name": database})
        self.output = f"s3://{bucket}/results/"

    def start(self, sql: str, athena: Any = None, **request: Any) -> str:
        request.setdefault("QueryExecutionContext", {"Database": self.database})
        request.setdefault("ResultConfiguration", {"OutputLocation": self.output})
        answer = (athena or self.athena).start_query_execution(QueryString=sql, **request)
        return str(answer["QueryExecutionId"])

    def get(self, query: str) -> Any:
        return self.athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]

    def wait(self, query: str, *states: str) -> Any:
        states = states or ("SUCCEEDED", "FAILED", "CANCELLED")
        deadline = time.monotonic() + 30
        while (found := self.get(query))["Status"]["State"] not in states:
            assert time.monotonic() < deadline, f"still {found['Status']['State']}"
            time.sleep(0.01)
        return found

    def run(self, sql: str, **request: Any) -> Any:
        found = self.wait(self.start(sql, **request))
        assert found["Status"]["State"] == "SUCCEEDED", found["Status"]
        return found

    def rows(self, sql: str, **request: Any) -> list[list[str | None]]:
        query = self.run(sql, **request)["QueryExecutionId"]
        pages = self.athena.get_paginator("get_query_results").paginate(QueryExecutionId=query)
        rows = [row for page in pages for row in page["ResultSet"]["Rows"]]
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]

    def read(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body


@pytest.fixture
def lake(aws: LocalAthena, unique: Name) -> Lake:
    return Lake(aws, unique("api-lake"), unique("api_db"))


def test_a_select_is_started_polled_and_read(lake: Lake) -> None:
    before = datetime.now(UTC)
    found = lake.run("SELECT 1 AS one, 'x' AS letter, CAST(NULL AS varchar) AS nothing")
    status = found["Status"]
    assert before.timestamp() - 1 <= status["SubmissionDateTime"].timestamp()
    assert status["SubmissionDateTime"] <= status["CompletionDateTime"]
    assert lake.rows("SELECT 1 AS one, 'x' AS letter, CAST(NULL AS varchar) AS nothing") == [
        ["one", "letter", "nothing"],
        ["1", "x", None],
    ]
    body = lake.read(found["ResultConfiguration"]["OutputLocation"])
    assert body == b'"one","letter","nothing"\n"1","x",\n'


def test_columns_are_announced_with_the_types_of_the_query(lake: Lake) -> None:
    query = lake.run(
        "SELECT CAST(1 AS tinyint) t, CAST(1 AS smallint) s, 1 i, CAST(1 AS bigint) b, CAST(1 AS real) r, "
        "CAST(1 AS double) d, CAST(1 AS decimal(12,3)) de, true bo, 'abc' v, CAST('abc' AS char(5)) c, "
        "DATE '2026-01-02' da, TIMESTAMP '2026-01-02 03:04:05.678' ts, "
        "TIMESTAMP '2026-01-02 03:04:05.678 UTC' tz, X'0aff' vb, JSON '{\"a\": 1}' j, ARRAY[1] a, "
        "MAP(ARRAY['k'], ARRAY[1]) m, CAST(ROW(1, 'x') AS ROW(p integer, q varchar)) ro"
    )["QueryExecutionId"]
    answer = lake.athena.get_query_results(QueryExecutionId=query)
    info = answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(column["Type"], column["Precision"], column["Scale"]) for column in info] == [
        ("tinyint", 3, 0),
        ("smallint", 5, 0),
        ("integer", 10, 0),
        ("bigint", 19, 0),
        ("float", 17, 0),
        ("double", 17, 0),
        ("decimal", 12, 3),
        ("boolean", 0, 0),
        ("varchar", 3, 0),
        ("char", 5, 0),
        ("date", 0, 0),
        ("timestamp", 3, 0),
        ("timestamp with time zone", 3, 0),
        ("varbinary", 1073741824, 0),
        ("json", 0, 0),
        ("array", 0, 0),
        ("map", 0, 0),
        ("row", 0, 0),
    ]


def test_a_result_of_many_pages_is_whole_and_equals_its_file(lake: Lake) -> None:
    sql = (
        "SELECT x, concat('row \"', CAST(x AS varchar), '\", ', chr(10)) t "
        "FROM UNNEST(sequence(1, 2500)) u(x)"
    )
    found = lake.run(sql)
    expected = [["x", "t"], *[[str(i), f'row "{i}", \n'] for i in range(1, 2501)]]
    text = lake.read(found["ResultConfiguration"]["OutputLocation"]).decode()
    in_file = list(csv.reader(io.StringIO(text, newline="")))
    assert sorted(in_file[1:], key=lambda row: int(row[0])) == expected[1:]
    pages = list(
        lake.athena.get_paginator("get_query_results").paginate(QueryExecutionId=found["QueryExecutionId"])
    )
    assert [len(page["ResultSet"]["Rows"]) for page in pages] == [1000, 1000, 501]
    paged = [
        [cell["VarCharValue"] for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]
    ]
    assert paged == in_file


def test_ctas_and_insert_tell_rows_and_the_files_they_wrote(lake: Lake) -> None:
    made = lake.run(
        f"CREATE TABLE t WITH (external_location = 's3://{lake.bucket}/t/', format = 'PARQUET') AS "
        "SELECT x FROM UNNEST(sequence(1, 7)) u(x)"
    )
    added = lake.run("INSERT INTO t SELECT 8")
    for found, rows, below in ((made, 7, "tables/"), (added, 1, "")):
        query = found["QueryExecutionId"]
        assert lake.athena.get_query_results(QueryExecutionId=query)["UpdateCount"] == rows
        assert found["ResultConfiguration"]["OutputLocation"] == f"{lake.output}{below}{query}"
        manifest = lake.read(found["Statistics"]["DataManifestLocation"]).decode().splitlines()
        assert manifest
        assert all(lake.read(uri) for uri in manifest)
    assert lake.rows("SELECT count(*) c FROM t") == [["c"], ["8"]]


def test_the_same_token_over_the_wire_starts_one_query(lake: Lake) -> None:
    token = "t" * 40 + lake.database
    first = lake.start("SELECT 7", ClientRequestToken=token)
    assert lake.start("SELECT 7", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        lake.start("SELECT 8", ClientRequestToken=token)


ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
    "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3"
)


def test_stopping_a_running_query_cancels_it_at_once(lake: Lake) -> None:
    query = lake.start(ENDLESS)
    lake.wait(query, "RUNNING")
    started = time.monotonic()
    lake.athena.stop_query_execution(QueryExecutionId=query)
    status = lake.get(query)["Status"]
    assert status["State"] == "CANCELLED"
    assert status["StateChangeReason"] == "Query cancelled by user"
    assert time.monotonic() - started < 2


def test_queries_side_by_side_do_not_mix_their_answers(lake: Lake) -> None:
    answers: dict[int, list[list[str | None]]] = {}

    def ask(number: int) -> None:
        answers[number] = lake.rows(f"SELECT {number} AS n FROM UNNEST(sequence(1, {number})) u(x)")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: [["n"], *[[str(n)]] * n] for n in range(1, 9)}


def test_a_query_past_the_workgroups_cut_off_is_cancelled(lake: Lake, unique: Name) -> None:
    workgroup = unique("cut-off")
    lake.athena.create_work_group(
        Name=workgroup,
        Configuration={"EnforceWorkGroupConfiguration": False, "BytesScannedCutoffPerQuery": 10_000_000},
    )
    lake.s3.put_object(
        Bucket=lake.bucket, Key="big/f", Body=b"x" * 999 + b"\n" + (b"y" * 999 + b"\n") * 11_000
    )
    lake.run(
        f"CREATE EXTERNAL TABLE big (line string) ROW FORMAT DELIMITED LOCATION 's3://{lake.bucket}/big/'"
    )
    found = lake.wait(lake.start("SELECT count(*) FROM big", WorkGroup=workgroup))
    assert found["Status"]["State"] == "CANCELLED"
    assert "Bytes scanned limit was exceeded" in found["Status"]["StateChangeReason"]
    assert lake.run("SELECT count(*) FROM big")["Statistics"]["DataScannedInBytes"] == 11_001_000


def test_a_prepared_statement_is_executed_with_values(lake: Lake, unique: Name) -> None:
    name = unique("ps")
    lake.athena.create_prepared_statement(
        StatementName=name, WorkGroup="primary", QueryStatement="SELECT ? + 1 AS n, ? AS t"
    )
    assert lake.rows(f"EXECUTE {name} USING 41, 'a, b'") == [["n", "t"], ["42", "a, b"]]
    assert lake.rows(f"EXECUTE {name}", ExecutionParameters=["1", "'?'"]) == [["n", "t"], ["2", "?"]]
    lake.run(f"DEALLOCATE PREPARE {name}")
    with pytest.raises(ClientError) as caught:
        lake.athena.get_prepared_statement(StatementName=name, WorkGroup="primary")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


# --- metadata ---------------------------------------------------------------------------------------------

# How PyAthena finds the cause in a MetadataException.
CAUSE = re.compile(r"\(Service: AmazonDataCatalog; Status Code: 400; Error Code: (\w+);")


def test_tables_are_described_as_glue_has_them(lake: Lake) -> None:
    lake.run(
        "CREATE EXTERNAL TABLE t (`a` int COMMENT 'first', b array<string>) PARTITIONED BY (dt string) "
        f"STORED AS PARQUET LOCATION 's3://{lake.bucket}/t/'"
    )
    found = lake.athena.get_table_metadata(
        CatalogName="awsdatacatalog", DatabaseName=lake.database.upper(), TableName="T"
    )["TableMetadata"]
    assert found["Name"] == "t"
    assert found["Columns"] == [
        {"Name": "a", "Type": "int", "Comment": "first"},
        {"Name": "b", "Type": "array<string>"},
    ]
    assert found["PartitionKeys"] == [{"Name": "dt", "Type": "string"}]
    assert found["TableType"] == "EXTERNAL_TABLE"
    assert found["Parameters"]["location"].rstrip("/") == f"s3://{lake.bucket}/t"
    assert found["Parameters"]["serde.serialization.lib"].endswith("ParquetHiveSerDe")
    assert abs(found["CreateTime"].timestamp() - time.time()) < 60


def test_databases_and_tables_are_listed_in_pages(lake: Lake) -> None:
    for name in ("aa", "ab", "bb", "cab"):
        lake.glue.create_table(DatabaseName=lake.database, TableInput={"Name": name})
    pages = lake.athena.get_paginator("list_table_metadata").paginate(
        CatalogName="AwsDataCatalog",
        DatabaseName=lake.database,
        Expression="a.*|bb",
        PaginationConfig={"PageSize": 2},
    )
    assert [[table["Name"] for table in page["TableMetadataList"]] for page in pages] == [
        ["aa", "ab"],
        ["bb"],
    ]
    databases = lake.athena.get_paginator("list_databases").paginate(CatalogName="AwsDataCatalog")
    assert lake.database in [one["Name"] for page in databases for one in page["DatabaseList"]]
    database = lake.athena.get_database(CatalogName="AwsDataCatalog", DatabaseName=lake.database)
    assert database["Database"]["Name"] == lake.database


def test_what_glue_does_not_have_is_told_in_the_form_pyathena_reads(lake: Lake) -> None:
    catalog = {"CatalogName": "AwsDataCatalog"}
    asked: tuple[Callable[[], object], ...] = (
        lambda: lake.athena.get_table_metadata(**catalog, DatabaseName=lake.database, TableName="nope"),
        lambda: lake.athena.get_database(**catalog, DatabaseName="nope"),
        lambda: lake.athena.list_table_metadata(**catalog, DatabaseName="nope"),
    )
    for ask in asked:
        with pytest.raises(ClientError) as caught:
            ask()
        assert caught.value.response["Error"]["Code"] == "MetadataException"
        cause = CAUSE.search(caught.value.response["Error"]["Message"])
        assert cause is not None
        assert cause[1] == "EntityNotFoundException"


def test_there_is_one_catalog(lake: Lake) -> None:
    (catalog,) = lake.athena.list_data_catalogs()["DataCatalogsSummary"]
    assert (catalog["CatalogName"], catalog["Type"]) == ("AwsDataCatalog", "GLUE")
    assert lake.athena.get_data_catalog(Name="awsdatacatalog")["DataCatalog"]["Name"] == "AwsDataCatalog"
    with pytest.raises(ClientError, match="was not found"):
        lake.athena.get_data_catalog(Name="hive")


def test_an_operation_that_is_not_offered_is_refused_without_retries(lake: Lake) -> None:
    lake.aws.clear_calls()
    with pytest.raises(ClientError, match="does not offer ListSessions"):
        lake.athena.list_sessions(WorkGroup="primary")
    assert [call.operation for call in lake.aws.calls if call.service == "athena"] == ["ListSessions"]


# --- knobs ------------------------------------------------------------------------------------------------


@pytest.fixture
def knobs(aws: LocalAthena) -> Iterator[LocalAthena]:
    yield aws
    aws.set_faults()
    aws.set_latency()


def test_a_fault_makes_a_query_fail_as_often_as_told(lake: Lake, knobs: LocalAthena) -> None:
    knobs.set_faults(Fault(call="athena:query", error="SlowDown", retryable=True, category=1, times=1))
    status = lake.wait(lake.start("SELECT 1"))["Status"]
    assert (status["State"], status["StateChangeReason"]) == ("FAILED", "SlowDown")
    assert (status["AthenaError"]["Retryable"], status["AthenaError"]["ErrorCategory"]) == (True, 1)
    lake.run("SELECT 1")


def test_latency_of_queries_is_theirs_and_not_the_calls(lake: Lake, knobs: LocalAthena) -> None:
    knobs.set_latency({"athena:query": 20.0})
    started = time.monotonic()
    query = lake.start("SELECT 1")
    lake.wait(query, "RUNNING")
    lake.athena.stop_query_execution(QueryExecutionId=query)
    assert lake.get(query)["Status"]["State"] == "CANCELLED"
    assert time.monotonic() - started < 5


# --- identity ---------------------------------------------------------------------------------------------


@pytest.fixture
def enforced(aws: LocalAthena) -> Iterator[LocalAthena]:
    aws.enforce_iam(True)
    yield aws
    aws.enforce_iam(False)


def user_client(aws: LocalAthena, name: str, *statements: dict[str, Any]) -> Any:
    """Return an Athena client of a user who may do what is said and nothing else."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(
        UserName=name,
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.client(
        "athena",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        config=Config(retries={"max_attempts": 0}),
    )


def allow(actions: list[str], *resources: str, **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": list(resources) or "*"}
    return statement | ({"Condition": condition} if condition else {})


WORKGROUP = "arn:aws:athena:us-east-1:123456789012:workgroup/"


def test_who_may_use_one_workgroup_may_not_use_another(
    lake: Lake, enforced: LocalAthena, unique: Name
) -> None:
    workgroup = unique("theirs")
    lake.athena.create_work_group(
        Name=workgroup, Configuration={"ResultConfiguration": {"OutputLocation": lake.output}}
    )
    user = user_client(
        enforced,
        unique("user"),
        allow(["athena:*"], WORKGROUP + workgroup),
        allow(["s3:*"], f"arn:aws:s3:::{lake.bucket}", f"arn:aws:s3:::{lake.bucket}/*"),
    )
    query = lake.start("SELECT 1", user, WorkGroup=workgroup)
    lake.wait(query)
    assert user.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"][1:] == [
        {"Data": [{"VarCharValue": "1"}]}
    ]
    mine = lake.run("SELECT 2")["QueryExecutionId"]
    for call in (
        lambda: lake.start("SELECT 1", user, WorkGroup="primary"),
        lambda: user.get_query_execution(QueryExecutionId=mine),
        lambda: user.batch_get_query_execution(QueryExecutionIds=[query, mine]),
        lambda: user.stop_query_execution(QueryExecutionId=mine),
        user.list_work_groups,
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_a_caller_who_may_not_write_results_sees_a_ctas_fail_before_it_does_anything(
    lake: Lake, enforced: LocalAthena, unique: Name
) -> None:
    bucket = f"arn:aws:s3:::{lake.bucket}"
    user = user_client(
        enforced,
        unique("user"),
        allow(["athena:*", "glue:*"]),
        allow(["s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject"], bucket, f"{bucket}/*"),
        allow(["s3:PutObject"], f"{bucket}/t/*"),
    )
    query = lake.start(
        f"CREATE TABLE t WITH (external_location = 's3://{lake.bucket}/t/') AS SELECT 1 AS x", user
    )
    status = lake.wait(query)["Status"]
    assert status["State"] == "FAILED"
    assert "Access denied when writing output to url" in status["StateChangeReason"]
    assert "s3:PutObject" in status["StateChangeReason"]
    assert lake.glue.get_tables(DatabaseName=lake.database)["TableList"] == []
    assert "Contents" not in lake.s3.list_objects_v2(Bucket=lake.bucket)


def test_a_caller_allowed_only_through_athena_may_write_results(
    lake: Lake, enforced: LocalAthena, unique: Name
) -> None:
    through_athena = {"ForAnyValue:StringEquals": {"aws:CalledVia": ["athena.amazonaws.com"]}}
    user = user_client(
        enforced,
        unique("user"),
        allow(["athena:*"]),
        allow(["s3:*"], f"arn:aws:s3:::{lake.bucket}/*", **through_athena),
    )
    assert lake.wait(lake.start("SELECT 1", user))["Status"]["State"] == "SUCCEEDED"


def test_results_are_closed_to_who_may_not_read_the_bucket(
    lake: Lake, enforced: LocalAthena, unique: Name
) -> None:
    user = user_client(enforced, unique("user"), allow(["athena:*"]))
    query = lake.run("SELECT 1")["QueryExecutionId"]
    with pytest.raises(ClientError, match="s3:GetObject"):
        user.get_query_results(QueryExecutionId=query)
