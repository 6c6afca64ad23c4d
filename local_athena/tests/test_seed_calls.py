"""The calls of Quilt's notebook of 2022, in its order and with its parameters, through boto3."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local_athena import LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements

pytestmark = pytest.mark.integration


@pytest.fixture
def aws() -> Iterator[LocalAthena]:
    """Return a server of its own: the notebook reads the first page of workgroups alone."""
    with LocalAthena() as running:
        yield running


class Notebook:
    """The notebook's own way to run a query: start, poll, read the first page."""

    def __init__(self, aws: LocalAthena, workgroup: str, url: str) -> None:
        self.athena: Any = aws.client("athena")
        self._workgroup = workgroup
        self._url = url

    def wait(self, started: dict[str, str]) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            answer = self.athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
            query: dict[str, Any] = answer["QueryExecution"]
            if query["Status"]["State"] not in {"QUEUED", "RUNNING"}:
                return query
            time.sleep(0.01)
        raise TimeoutError(started["QueryExecutionId"])

    def run(self, sql: str) -> dict[str, Any]:
        return self.wait(
            self.athena.start_query_execution(
                WorkGroup=self._workgroup,
                QueryString=sql,
                ResultConfiguration={"OutputLocation": self._url},
            )
        )

    def rows(self, query: dict[str, Any]) -> list[list[str | None]]:
        answer = self.athena.get_query_results(QueryExecutionId=query["QueryExecutionId"])
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in answer["ResultSet"]["Rows"]]


def test_the_notebooks_calls_run_to_the_end(aws: LocalAthena, unique: Callable[[str], str]) -> None:
    bucket, quilt_bucket = unique("acme-results"), unique("acme-data")
    workgroup, database = unique("quilt-query"), unique("quilt_query")
    s3: Any = aws.client("s3")
    for name in (bucket, quilt_bucket):
        s3.create_bucket(Bucket=name)
    url = f"s3://{bucket}"
    notebook = Notebook(aws, workgroup, url)
    athena = notebook.athena

    assert workgroup not in [group["Name"] for group in athena.list_work_groups()["WorkGroups"]]
    athena.create_work_group(Name=workgroup, Description="Quilt uses this for Athena SQL Queries")
    athena.update_work_group(
        WorkGroup=workgroup,
        ConfigurationUpdates={"ResultConfigurationUpdates": {"OutputLocation": url}},
    )
    assert workgroup in [group["Name"] for group in athena.list_work_groups()["WorkGroups"]]

    created = notebook.wait(
        athena.start_query_execution(
            QueryString=f"create database {database}",
            ResultConfiguration={"OutputLocation": url + "/queries/"},
        )
    )
    assert (created["Status"]["State"], created["WorkGroup"]) == ("SUCCEEDED", "primary")
    location = created["ResultConfiguration"]["OutputLocation"]
    assert re.findall(r".*\/(.*)", location) == [f"{created['QueryExecutionId']}.txt"]
    assert location.startswith(url + "/queries/")

    seed = seed_statements(database, quilt_bucket)
    for name, statement in seed.items():
        dropped = notebook.run(f"DROP TABLE `{database}.{name}`;")
        assert dropped["Status"]["State"] == "FAILED"  # there was none; the notebook prints it and goes on
        assert notebook.run(statement)["Status"]["State"] == "SUCCEEDED"

    found = notebook.run(f"SELECT * FROM {database}.{list(seed)[-1]} WHERE substr(logical_key, -5)='.tiff'")
    assert found["Status"]["State"] == "SUCCEEDED"
    assert found["ResultConfiguration"]["OutputLocation"] == f"{url}/{found['QueryExecutionId']}.csv"
    # The result the notebook prints for a bucket without such a file: names, and no row.
    names = "user name timestamp tophash logical_key physical_keys size hash meta user_meta"
    assert notebook.rows(found) == [names.split()]
