"""CTAS, INSERT and UNLOAD: files that Trino wrote, looked at by others."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from airflow_quilt_athena.exceptions import QueryFailedError
from local_athena import Fault
from tests.integration.lab import Lab

pytestmark = pytest.mark.trino

_COMPRESSIONS = {
    "PARQUET": ("GZIP", "SNAPPY", "ZSTD", "NONE"),
    "ORC": ("ZLIB", "SNAPPY", "ZSTD", "LZ4", "NONE"),
    "JSON": ("GZIP", "SNAPPY", "ZSTD", "LZ4", "NONE"),
    "TEXTFILE": ("GZIP", "SNAPPY", "ZSTD", "LZ4", "NONE"),
}
_SUFFIXES = {"GZIP": ".gz", "SNAPPY": ".snappy", "ZSTD": ".zst", "LZ4": ".lz4", "NONE": ""}
_ROWS = """
SELECT * FROM (VALUES
  (1, BIGINT '9', 1.5, 'x', true, DATE '2026-01-01', TIMESTAMP '2026-01-01 10:00:00.123', ARRAY[1, 2],
   MAP(ARRAY['k'], ARRAY[2.5]), CAST(ROW(1, 'é') AS ROW(n integer, s varchar)), X'6162'),
  (2, null, null, null, null, null, null, null, null, null, null)
) AS t(i, b, d, s, o, dt, ts, l, m, r, v)
"""
_PRINTED = [
    (
        "1",
        "9",
        "1.5",
        "x",
        "true",
        "2026-01-01",
        "2026-01-01 10:00:00.123",
        "[1, 2]",
        "{k=2.5}",
        "{n=1, s=é}",
        "61 62",
    ),
    ("2", *[None] * 10),
]


def body(lab: Lab, key: str) -> bytes:
    found: bytes = lab.client("s3").get_object(Bucket=lab.bucket, Key=key)["Body"].read()
    return found


@pytest.mark.parametrize(
    ("name", "compression"), [(name, one) for name, found in _COMPRESSIONS.items() for one in found]
)
def test_every_format_and_compression_is_written_by_trino_and_read_back(
    lab: Lab, name: str, compression: str
) -> None:
    location = f"s3://{lab.bucket}/made/"
    lab.run(
        f"CREATE TABLE made WITH (format = '{name}', write_compression = '{compression}', "
        f"external_location = '{location}') AS {_ROWS}"
    )
    (key,) = lab.keys("made/")
    if name == "PARQUET":
        column = pq.ParquetFile(io.BytesIO(body(lab, key))).metadata.row_group(0).column(0)
        assert column.compression == {"NONE": "UNCOMPRESSED"}.get(compression, compression)
    elif name == "ORC":
        found = orc.ORCFile(io.BytesIO(body(lab, key))).compression
        assert found == {"NONE": "UNCOMPRESSED"}.get(compression, compression)
    else:
        assert key.endswith(_SUFFIXES[compression])
    assert lab.rows("SELECT * FROM made") == _PRINTED


def test_a_compression_that_trino_does_not_write_is_refused(lab: Lab) -> None:
    with pytest.raises(
        QueryFailedError, match="NOT_SUPPORTED: Trino does not write files compressed with BZIP2"
    ):
        lab.run("CREATE TABLE made WITH (format = 'JSON', write_compression = 'BZIP2') AS SELECT 1 AS a")
    assert lab.tables() == set()


def test_partitions_of_a_ctas_are_in_glue_with_the_folders_trino_made(lab: Lab) -> None:
    lab.run(
        f"CREATE TABLE parted WITH (external_location = 's3://{lab.bucket}/parted', "
        "partitioned_by = ARRAY['d', 'k']) AS "
        "SELECT * FROM (VALUES (1, DATE '2026-01-01', 'a/b'), (2, DATE '2026-01-02', null)) AS t(x, d, k)"
    )
    places = {tuple(one["Values"]): one["StorageDescriptor"]["Location"] for one in lab.partitions("parted")}
    assert places == {
        ("2026-01-01", "a/b"): f"s3://{lab.bucket}/parted/d=2026-01-01/k=a%2Fb",
        ("2026-01-02", "__HIVE_DEFAULT_PARTITION__"): (
            f"s3://{lab.bucket}/parted/d=2026-01-02/k=__HIVE_DEFAULT_PARTITION__"
        ),
    }
    assert lab.rows("SELECT x, k FROM parted") == [("1", "a/b"), ("2", None)]


@pytest.mark.parametrize(("partitions", "fits"), [(100, True), (101, False)])
def test_a_statement_writes_a_hundred_partitions_and_no_more(lab: Lab, partitions: int, fits: bool) -> None:
    sql = (
        "CREATE TABLE many WITH (partitioned_by = ARRAY['k']) AS "
        f"SELECT x AS a, x AS k FROM UNNEST(sequence(1, {partitions})) AS t(x)"
    )
    if fits:
        lab.run(sql)
        assert len(lab.partitions("many")) == 100
        return
    with pytest.raises(
        QueryFailedError, match="HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers"
    ):
        lab.run(sql)
    assert lab.tables() == set()


def test_rows_of_a_bucketed_table_are_in_their_buckets(lab: Lab) -> None:
    lab.run(
        "CREATE TABLE buckets WITH (bucketed_by = ARRAY['a'], bucket_count = 4) AS "
        "SELECT x AS a, 'v' AS v FROM UNNEST(sequence(1, 20)) AS t(x)"
    )
    # Hive's hash of an integer is the integer.
    for a, path in lab.rows('SELECT a, "$path" FROM buckets'):
        assert int(str(path).rpartition("/")[2][:6]) == int(str(a)) % 4
    assert len(lab.rows("SELECT a FROM buckets WHERE a = 7")) == 1


def test_an_insert_goes_to_where_glue_has_the_partition(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (k string) STORED AS ORC "
        f"LOCATION 's3://{lab.bucket}/t/' TBLPROPERTIES ('orc.compress'='SNAPPY')"
    )
    lab.run(f"ALTER TABLE t ADD PARTITION (k='odd') LOCATION 's3://{lab.bucket}/elsewhere/.hidden/'")
    query = lab.run("INSERT INTO t VALUES (1, 'odd'), (2, 'new'); -- done")
    (odd,) = lab.keys("elsewhere/.hidden/")
    (new,) = lab.keys("t/k=new/")
    assert lab.rows('SELECT a, k, "$path" FROM t') == [
        ("1", "odd", f"s3://{lab.bucket}/{odd}"),
        ("2", "new", f"s3://{lab.bucket}/{new}"),
    ]
    assert orc.ORCFile(io.BytesIO(body(lab, new))).compression == "SNAPPY"
    manifest = body(lab, f"results/{query}-manifest.csv").decode().split()
    assert set(manifest) == {f"s3://{lab.bucket}/{odd}", f"s3://{lab.bucket}/{new}"}


def test_an_insert_that_fails_late_leaves_its_files_and_no_new_partition(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (k string) STORED AS PARQUET "
        f"LOCATION 's3://{lab.bucket}/t/'"
    )
    lab.aws.set_faults(Fault(call="athena:query", error="LATE", when="after", matching="INSERT"))
    with pytest.raises(QueryFailedError, match="LATE"):
        lab.run("INSERT INTO t VALUES (1, 'new')")
    assert len(lab.keys("t/k=new/")) == 1
    assert lab.partitions("t") == []


def test_a_ctas_that_fails_late_leaves_its_files_and_no_table(lab: Lab) -> None:
    lab.aws.set_faults(Fault(call="athena:query", error="LATE", when="after", matching="made"))
    with pytest.raises(QueryFailedError, match="LATE"):
        lab.run(f"CREATE TABLE made WITH (external_location = 's3://{lab.bucket}/made/') AS SELECT 1 AS a")
    assert len(lab.keys("made/")) == 1
    assert lab.tables() == set()


def test_a_ctas_with_no_data_makes_the_table_alone(lab: Lab) -> None:
    lab.run(
        f"CREATE TABLE made WITH (external_location = 's3://{lab.bucket}/made/') AS SELECT 1 AS a "
        "WITH NO DATA"
    )
    assert lab.keys("made/") == set()
    assert lab.rows("SELECT * FROM made") == []


def test_an_unload_writes_text_with_its_delimiter_and_no_table(lab: Lab) -> None:
    lab.run(
        f"UNLOAD (SELECT * FROM (VALUES (1, 'x'), (2, null)) AS t(a, b)) TO 's3://{lab.bucket}/out/' "
        "WITH (format = 'TEXTFILE', field_delimiter = ';', compression = 'NONE')"
    )
    (key,) = lab.keys("out/")
    assert body(lab, key) == b"1;x\n2;\\N\n"
    assert lab.tables() == set()
    with pytest.raises(QueryFailedError, match="HIVE_PATH_ALREADY_EXISTS"):
        lab.run(f"UNLOAD (SELECT 1 AS a) TO 's3://{lab.bucket}/out/' WITH (format = 'ORC')")


def test_an_unload_into_partitions_writes_beside_what_is_there(lab: Lab) -> None:
    sql = (
        f"UNLOAD (SELECT 1 AS a, 'x' AS k) TO 's3://{lab.bucket}/out/' "
        "WITH (format = 'PARQUET', partitioned_by = ARRAY['k'])"
    )
    lab.run(sql)
    lab.run(sql)
    assert len(lab.keys("out/k=x/")) == 2


def test_a_querys_files_are_encrypted_as_its_call_asks(lab: Lab) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0f0f0f0f-0000-4000-8000-000000000001"
    client, place = lab.client("athena"), f"s3://{lab.bucket}/made/"
    query = client.start_query_execution(
        QueryString=f"CREATE TABLE made WITH (external_location = '{place}') AS SELECT 1 AS a",
        WorkGroup=lab.workgroup,
        QueryExecutionContext={"Database": lab.database},
        ResultConfiguration={
            "OutputLocation": f"s3://{lab.bucket}/results/",
            "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": key},
        },
    )["QueryExecutionId"]
    while (
        client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]["State"] != "SUCCEEDED"
    ):
        pass
    (name,) = lab.keys("made/")
    assert lab.client("s3").head_object(Bucket=lab.bucket, Key=name)["SSEKMSKeyId"] == key
    assert lab.rows("SELECT a FROM made") == [("1",)]


def test_a_text_that_is_always_empty_comes_back(lab: Lab) -> None:
    lab.run("CREATE TABLE made WITH (partitioned_by = ARRAY['p']) AS SELECT '' AS e, '' AS p")
    assert lab.rows("SELECT e, p, typeof(e) FROM made") == [("", None, "varchar(1)")]
