"""``local-athena conformance``: run on an endpoint, counted, and nothing of it left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from local_athena import Fault, LocalAthena
from local_athena.cli import main
from local_athena.conformance import report, table

pytestmark = pytest.mark.integration


def found(capsys: pytest.CaptureFixture[str], aws: LocalAthena, *arguments: str) -> Any:
    """Run the command, and return the JSON that it printed."""
    assert main(["conformance", "--endpoint", aws.endpoint_url, "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def left_behind(aws: LocalAthena) -> tuple[set[str], set[str]]:
    buckets = {one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]}
    pages = aws.client("glue").get_paginator("get_databases").paginate()
    return buckets, {one["Name"] for page in pages for one in page["DatabaseList"]}


@pytest.fixture
def differences(pytestconfig: pytest.Config) -> Mapping[str, Mapping[str, Any]]:
    """What the engine under test answers otherwise than the real one, by topic."""
    return {} if pytestconfig.getoption("--local-athena-engine") == "trino" else table.differences()


def test_the_engine_is_counted_as_its_page_says(
    aws: LocalAthena, capsys: pytest.CaptureFixture[str], differences: Mapping[str, Mapping[str, Any]]
) -> None:
    before = left_behind(aws)
    summary = found(capsys, aws, "--topic", "nulls", "--topic", "names")
    for topic in ("nulls", "names"):
        counts = summary["topics"][topic]
        listed = differences.get(topic, {})
        assert counts["statements"] == len(table.topics()[topic])
        assert counts["agreed"] == counts["statements"] - len(listed)
        assert counts["differing"] == 0
    assert {one["sql"] for one in summary["disagreements"]} == {
        sql for topic in ("nulls", "names") for sql in differences.get(topic, {})
    }
    assert left_behind(aws) == before


def test_a_bucket_whose_name_is_no_identifier_is_used_and_stays_empty(
    aws: LocalAthena,
    unique: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    differences: Mapping[str, Mapping[str, Any]],
) -> None:
    s3, bucket = aws.client("s3"), f"{unique('conformance-bucket')}.x"
    s3.create_bucket(Bucket=bucket)
    summary = found(capsys, aws, "--bucket", bucket, "--topic", "seeds")
    assert summary["all"]["differing"] == 0
    assert summary["all"]["refused"] == 0
    assert summary["all"]["agreed"] == len(table.topics()["seeds"]) - len(differences.get("seeds", {}))
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_an_endpoint_that_fails_every_query_refuses_and_agrees_on_none_that_trino_answered(
    aws: LocalAthena, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.set_faults(Fault("athena:query", error="UNAVAILABLE", times=None))
    try:
        summary = found(capsys, aws, "--topic", "names")
    finally:
        aws.set_faults()
    answered = [sql for sql in table.topics()["names"] if "error" not in table.recorded("names")[sql]]
    assert summary["topics"]["names"]["refused"] == len(answered)
    assert summary["topics"]["names"]["agreed"] == 0


def test_an_endpoint_that_answers_nothing_differs() -> None:
    answers: dict[str, table.Answer] = {
        sql: {"columns": [], "types": [], "rows": []} for sql in table.topics()["nulls"]
    }
    counts = report.count(report.compare("nulls", answers))
    assert counts["differing"] == counts["statements"] > 0


def test_the_table_is_printed_for_a_person(aws: LocalAthena, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--endpoint", aws.endpoint_url, "--topic", "names", "--disagreements"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["statements", "agreed", "refused", "as", "Athena", "differing"]
    assert [line.split()[0] for line in lines[1:4]] == ["names", "all", "without"]
    assert lines[3].startswith("without those that need an earlier one")


def test_a_bucket_that_holds_something_is_refused_and_left_alone(
    aws: LocalAthena,
    unique: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
    differences: Mapping[str, Mapping[str, Any]],
) -> None:
    s3, bucket = aws.client("s3"), unique("full-bucket")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="mine", Body=b"1")
    assert main(["conformance", "--endpoint", aws.endpoint_url, "--bucket", bucket]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"local-athena: Bucket {bucket} is not empty.")
    assert s3.get_object(Bucket=bucket, Key="mine")["Body"].read() == b"1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "local-athena: Name an emulator with --endpoint"),
        (["--endpoint", "http://127.0.0.1:9"], "local-athena: http://127.0.0.1:9 cannot run the table: "),
        (
            ["--bucket", "b", "--topic", "moods"],
            "local-athena: There is no topic moods. Choose from: tables, ",
        ),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["conformance", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(words)


def test_a_statement_that_needs_an_earlier_one_is_known() -> None:
    """By hand: what reads or changes a table or view, but for what makes it."""
    assert len(table.dependent("nulls")) == 1
    assert all(" FROM people" in sql for sql in table.dependent("nulls"))
    assert "SELECT * FROM c_parquet_none ORDER BY id" in table.dependent("writes")
    assert "CREATE TABLE zoned AS SELECT TIMESTAMP '2026-01-02 03:04:05 UTC' AS z" in table.topics()["writes"]
    assert not any(sql.startswith("CREATE TABLE zoned") for sql in table.dependent("writes"))
    assert not table.dependent("numbers")  # which are all expressions
