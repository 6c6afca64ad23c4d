"""The method this project set out from, to measure ours against.

A blog post of 2018, "Insert Overwrite Into Table" with Amazon Athena, drops the temporary table, deletes the
partition's files, runs a CTAS into the partition's own folder, then MSCK REPAIR TABLE, and drops the
temporary table. Here that is written anew with boto3, one after the other as the post does it: one LIST, one
DeleteObject for each key, and a look at each query every second, which is PyAthena's default. It is kinder
than the post in two things: clients are made once and not for each statement, and no statement's result is
fetched.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

POLL_SECONDS = 1.0


class StatementFailed(Exception):
    """A statement of the method did not succeed; its message is Athena's reason."""


@dataclass(frozen=True, slots=True)
class Blog:
    """Overwrites partitions of ORC tables that lie below ``s3://<bucket>/``."""

    athena: Any
    s3: Any
    bucket: str
    database: str
    workgroup: str

    def overwrite(
        self,
        table: str,
        folder: str,
        partition: Mapping[str, str],
        query: str,
        *,
        dynamic: Sequence[str] = (),
    ) -> None:
        """Overwrite one partition, or with ``dynamic`` keys what lies below it.

        :param folder: the table's, within the bucket, with a slash at its end.
        """
        place = folder + "".join(f"{key}={value}/" for key, value in partition.items())
        temporary = f"{self.database}.tmp_{uuid.uuid4().hex}"
        partitioned_by = f"partitioned_by = ARRAY{list(dynamic)}, " if dynamic else ""
        self._write(f"DROP TABLE IF EXISTS {temporary}")
        self._delete_tree(place)
        self._write(
            f"CREATE TABLE {temporary} WITH (external_location = 's3://{self.bucket}/{place}', "
            f"format = 'ORC', {partitioned_by}orc_compression = 'ZLIB') AS {query}"
        )
        self._write(f"MSCK REPAIR TABLE {self.database}.{table}")
        self._write(f"DROP TABLE IF EXISTS {temporary}")

    def _delete_tree(self, place: str) -> None:
        for page in self.s3.get_paginator("list_objects").paginate(Bucket=self.bucket, Prefix=place):
            for found in page.get("Contents", ()):
                self.s3.delete_object(Bucket=self.bucket, Key=found["Key"])

    def _write(self, sql: str) -> None:
        started = self.athena.start_query_execution(
            QueryString=sql,
            WorkGroup=self.workgroup,
            QueryExecutionContext={"Database": self.database},
        )
        while True:
            answer = self.athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
            status = answer["QueryExecution"]["Status"]
            if status["State"] == "SUCCEEDED":
                return
            if status["State"] in {"FAILED", "CANCELLED"}:
                raise StatementFailed(status.get("StateChangeReason"))
            time.sleep(POLL_SECONDS)
