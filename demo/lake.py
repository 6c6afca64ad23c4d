"""What the demo asks AWS: buckets to start with, rows and partitions to show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from airflow_quilt_athena.core.quilt.identifiers import bucket_identifier
from airflow_quilt_athena.flows.athena.queries import run_query
from demo.packages import FileRow, Revision, Tag
from local_athena import LocalAthena

DATABASE = "quilt_query"
WORKGROUP = "quilt-query"
TABLE = "package_files_daily"
FILE_COLUMNS = 'pkg_name, revision_at, logical_key, top_hash, size, "bucket", "key", version_id, hash_value'

Sample = tuple[Sequence[str], Sequence[Sequence[str | None]]]


class Lake:
    """The tables and views of one registry bucket, as an analyst would query them."""

    def __init__(self, aws: LocalAthena, bucket: str) -> None:
        self._athena = aws.client("athena")
        self._glue = aws.client("glue")
        self._s3 = aws.client("s3")
        self._prefix = f"{bucket_identifier(bucket)}_quilt"

    def create_bucket(self, bucket: str, *, versioned: bool = False) -> None:
        """Make a bucket."""
        self._s3.create_bucket(Bucket=bucket)
        if versioned:
            self._s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def query(self, sql: str) -> Sample:
        """Run a SELECT; returns its column names and its rows."""
        status = run_query(self._athena, sql, database=DATABASE, workgroup=WORKGROUP, timeout_seconds=60)
        pages = self._athena.get_paginator("get_query_results").paginate(
            QueryExecutionId=status.query_execution_id
        )
        rows = [
            [value.get("VarCharValue") for value in row["Data"]]
            for page in pages
            for row in page["ResultSet"]["Rows"]
        ]
        return [str(name) for name in rows[0]], rows[1:]

    def partition(self, day: date) -> list[FileRow]:
        """Return the rows of one day's partition."""
        return self._files(f"SELECT {FILE_COLUMNS}, kind FROM {TABLE} WHERE dt = DATE '{day}'")

    def entries(self) -> list[FileRow]:
        """Return every file of every revision, through the entries view."""
        kind = "json_extract_scalar(meta, '$.user_meta.kind')"
        return self._files(f"SELECT {FILE_COLUMNS}, {kind} FROM {self._prefix}_entries")

    def _files(self, sql: str) -> list[FileRow]:
        return sorted(_file_row(row) for row in self.query(sql)[1])

    def revisions(self) -> list[Revision]:
        """Return the rows of the revisions view."""
        _, rows = self.query(
            f"SELECT pkg_name, revision_at, top_hash, is_latest, message FROM {self._prefix}_revisions"
        )
        return sorted(
            Revision(_known(name), _moment(at), _known(top_hash), latest == "true", message or "")
            for name, at, top_hash, latest, message in rows
        )

    def tags(self) -> list[Tag]:
        """Return the rows of the tags view."""
        _, rows = self.query(f"SELECT pkg_name, tag_name, top_hash FROM {self._prefix}_tags")
        return sorted(Tag(*map(_known, row)) for row in rows)

    def location(self, day: date) -> str:
        """Return where Glue says the partition lies."""
        answer = self._glue.get_partition(
            DatabaseName=DATABASE, TableName=TABLE, PartitionValues=[day.isoformat()]
        )
        return str(answer["Partition"]["StorageDescriptor"]["Location"])

    def sample_of_table(self) -> Sample:
        """Return every row of the table, in the columns that fit a screen."""
        return self.query(
            f'SELECT dt, pkg_name, logical_key, size, kind, "key" FROM {TABLE} '
            "ORDER BY dt, pkg_name, logical_key"
        )

    def sample_of_revisions(self) -> Sample:
        """Return the latest revision of each package with its package metadata."""
        operator = "json_extract_scalar(user_meta, '$.operator.Name') AS operator"
        return self.query(
            f"SELECT pkg_name, revision_at, message, {operator}, substr(top_hash, 1, 8) AS top_hash "
            f"FROM {self._prefix}_revisions WHERE is_latest ORDER BY pkg_name"
        )

    def queries(self) -> Sample:
        """Return every query Athena ran in the workgroup, oldest first."""
        return ("query", "state", "ms", "bytes scanned"), list(self._queries())

    def _queries(self) -> Iterator[tuple[str, str, str, str]]:
        pages = self._athena.get_paginator("list_query_executions").paginate(WorkGroup=WORKGROUP)
        ids = [name for page in pages for name in page["QueryExecutionIds"]][::-1]
        for start in range(0, len(ids), 50):
            answer = self._athena.batch_get_query_execution(QueryExecutionIds=ids[start : start + 50])
            for query in answer["QueryExecutions"]:
                text = " ".join(query["Query"].split())
                statistics = query["Statistics"]
                yield (
                    text if len(text) < 90 else text[:89] + "…",
                    query["Status"]["State"],
                    str(statistics["EngineExecutionTimeInMillis"]),
                    str(statistics.get("DataScannedInBytes", 0)),
                )


def _file_row(row: Sequence[str | None]) -> FileRow:
    name, at, logical_key, top_hash, size, bucket, key, version_id, hash_value, kind = row
    return FileRow(
        _known(name), _moment(at), _known(logical_key), _known(top_hash), int(_known(size)),
        _known(bucket), _known(key), version_id, _known(hash_value), kind,
    )  # fmt: skip


def _known(value: str | None) -> str:
    # NULL where a value must be would compare unequal anyway; this keeps the types honest.
    return "NULL" if value is None else value


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(_known(text)).replace(tzinfo=UTC)
