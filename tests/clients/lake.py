"""The tables that every client reads: made with boto3 and pyarrow alone, so that their rows are known."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from local_athena import LocalAthena

SRC = (
    (1, "a", 1.5, "2026-01-01"),
    (2, "b", 2.5, "2026-01-01"),
    (3, "c", None, "2026-01-02"),
)
# 250 days, one row each: more than the 100 partitions that Athena writes in one query.
WIDE = tuple((n, f"n{n}", str(date(2026, 1, 1) + timedelta(days=n))) for n in range(250))

_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}


@dataclass(frozen=True)
class Lake:
    """A bucket and a database: ``src`` holds SRC, partitioned by dt; ``wide_src`` holds WIDE, in one file."""

    aws: LocalAthena
    bucket: str
    database: str

    @property
    def staging(self) -> str:
        """Where query results go."""
        return f"s3://{self.bucket}/staging/"

    def keys(self, prefix: str) -> list[str]:
        """The keys below ``prefix``, sorted."""
        pages = (
            self.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        )
        return sorted(each["Key"] for page in pages for each in page.get("Contents", []))

    def tables(self) -> list[str]:
        """The names of the database's tables, sorted."""
        pages = self.aws.client("glue").get_paginator("get_tables").paginate(DatabaseName=self.database)
        return sorted(table["Name"] for page in pages for table in page["TableList"])

    def table(self, name: str) -> dict[str, Any]:
        """A table as Glue holds it."""
        return dict(self.aws.client("glue").get_table(DatabaseName=self.database, Name=name)["Table"])

    def partition_values(self, table: str) -> list[list[str]]:
        """The values of the table's partitions, sorted."""
        pages = (
            self.aws.client("glue")
            .get_paginator("get_partitions")
            .paginate(DatabaseName=self.database, TableName=table)
        )
        return sorted(each["Values"] for page in pages for each in page["Partitions"])

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a Parquet table, read from its files without any Athena; partition values as text."""
        glue, s3 = self.aws.client("glue"), self.aws.client("s3")
        described = self.table(table)
        names = [key["Name"] for key in described.get("PartitionKeys", [])]
        places: list[tuple[str, dict[str, str]]] = [(described["StorageDescriptor"]["Location"], {})]
        if names:
            pages = glue.get_paginator("get_partitions").paginate(DatabaseName=self.database, TableName=table)
            places = [
                (each["StorageDescriptor"]["Location"], dict(zip(names, each["Values"], strict=True)))
                for page in pages
                for each in page["Partitions"]
            ]
        folders = {
            location.removeprefix(f"s3://{self.bucket}/").rstrip("/"): values for location, values in places
        }
        found: list[dict[str, Any]] = []
        for key in self.keys(""):
            values = folders.get(key.rpartition("/")[0])
            if values is not None:
                body = s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                found += [row | values for row in pq.ParquetFile(io.BytesIO(body)).read().to_pylist()]
        return found


def make_lake(aws: LocalAthena, bucket: str, database: str) -> Lake:
    """Create the bucket, the database and the two source tables."""
    s3, glue = aws.client("s3"), aws.client("glue")
    s3.create_bucket(Bucket=bucket)
    glue.create_database(DatabaseInput={"Name": database})
    lake = Lake(aws, bucket, database)
    _put_src(lake)
    _put_wide(lake)
    return lake


def _put_src(lake: Lake) -> None:
    glue = lake.aws.client("glue")
    columns = [("id", "bigint"), ("name", "string"), ("amount", "double")]
    descriptor = _descriptor(lake, "src", columns)
    glue.create_table(
        DatabaseName=lake.database,
        TableInput={
            "Name": "src",
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
            "PartitionKeys": [{"Name": "dt", "Type": "string"}],
            "StorageDescriptor": descriptor,
        },
    )
    for day in sorted({row[3] for row in SRC}):
        rows = [row for row in SRC if row[3] == day]
        table = pa.table(
            {
                "id": pa.array([row[0] for row in rows], pa.int64()),
                "name": pa.array([row[1] for row in rows], pa.string()),
                "amount": pa.array([row[2] for row in rows], pa.float64()),
            }
        )
        _put(lake, f"src/dt={day}/part-0.parquet", table)
        glue.create_partition(
            DatabaseName=lake.database,
            TableName="src",
            PartitionInput={
                "Values": [day],
                "StorageDescriptor": descriptor | {"Location": f"s3://{lake.bucket}/src/dt={day}/"},
            },
        )


def _put_wide(lake: Lake) -> None:
    columns = [("id", "bigint"), ("name", "string"), ("dt", "string")]
    lake.aws.client("glue").create_table(
        DatabaseName=lake.database,
        TableInput={
            "Name": "wide_src",
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
            "StorageDescriptor": _descriptor(lake, "wide_src", columns),
        },
    )
    table = pa.table(
        {
            "id": pa.array([row[0] for row in WIDE], pa.int64()),
            "name": pa.array([row[1] for row in WIDE], pa.string()),
            "dt": pa.array([row[2] for row in WIDE], pa.string()),
        }
    )
    _put(lake, "wide_src/part-0.parquet", table)


def _descriptor(lake: Lake, table: str, columns: list[tuple[str, str]]) -> dict[str, Any]:
    return _PARQUET | {
        "Columns": [{"Name": name, "Type": kind} for name, kind in columns],
        "Location": f"s3://{lake.bucket}/{table}/",
    }


def _put(lake: Lake, key: str, table: pa.Table) -> None:
    body = io.BytesIO()
    pq.write_table(table, body)
    lake.aws.client("s3").put_object(Bucket=lake.bucket, Key=key, Body=body.getvalue())
