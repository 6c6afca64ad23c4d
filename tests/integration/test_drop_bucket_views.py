"""Dropping a bucket's tables and views on a running local Athena: these eight, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.table_ddl import build_table_input, define_tables
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from airflow_quilt_athena.operators.drop_bucket_views import DropBucketViewsOperator
from local_athena import LocalAthena
from local_athena.wire.faults import Fault
from tests.integration.lab import Lab, connection

pytestmark = pytest.mark.integration

MARK = {"quilt_athena.created_by": "airflow-quilt-athena"}

Unique = Callable[[str], str]
TOP_HASH = "ab" * 32
SUFFIXES = (
    "manifests", "packages", "packages_view", "objects_view", "revisions", "entries", "current", "tags",
)  # fmt: skip


class Shelf:
    """Three buckets with a package each, and a database for their views."""

    def __init__(self, aws: LocalAthena, unique: Unique) -> None:
        self.lab = Lab.open(aws, unique)
        self.buckets = [unique(f"acme-{name}") for name in ("one", "two", "three")]
        s3 = self.lab.client("s3")
        for bucket in self.buckets:
            s3.create_bucket(Bucket=bucket)
            s3.put_object(Bucket=bucket, Key=f".quilt/packages/{TOP_HASH}", Body=b'{"version": "v0"}\n')
            for pointer in ("1767225600", "latest"):
                key = f".quilt/named_packages/team/pkg/{pointer}"
                s3.put_object(Bucket=bucket, Key=key, Body=TOP_HASH.encode())

    def create(self, bucket: Any, **arguments: Any) -> Any:
        task = CreateBucketViewsOperator(
            task_id="create",
            bucket=bucket,
            database=self.lab.database,
            workgroup=self.lab.workgroup,
            **arguments,
        )
        return self.lab.run_task(task).result

    def drop(self, bucket: Any, **arguments: Any) -> Any:
        given = {"database": self.lab.database}
        task = DropBucketViewsOperator(task_id="drop", bucket=bucket, **(given | arguments))
        return self.lab.run_task(task).result

    def put_table(self, name: str, location: str = "s3://acme-lake/orders/", **more: Any) -> None:
        table = {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}], "Location": location},
        }
        glue = self.lab.client("glue")
        glue.create_table(DatabaseName=self.lab.database, TableInput=table | more)

    def files(self) -> dict[str, set[str]]:
        s3 = self.lab.client("s3")
        return {
            bucket: {item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]}
            for bucket in self.buckets
        }


@pytest.fixture
def shelf(aws: LocalAthena, unique: Unique, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield Shelf(aws, unique)
    aws.set_faults()


def eight(bucket: str) -> set[str]:
    """The names of a bucket's tables and views."""
    return {f"{bucket.replace('-', '_')}_quilt_{suffix}" for suffix in SUFFIXES}


def actions(xcom: dict[str, Any]) -> dict[str, str]:
    return {one["name"].partition(".")[2]: one["action"] for one in xcom["resources"]}


def test_a_buckets_eight_go_and_all_else_stays(shelf: Shelf) -> None:
    one, two, three = shelf.buckets
    shelf.create([one, two])
    identifier = one.replace("-", "_")
    others = {
        "orders",
        f"{identifier}_quilt",
        f"{identifier}_quilt_revisions_of_mine",
        f"my_{identifier}_quilt_tags",
    }
    for name in others:
        shelf.put_table(name)
    files = shelf.files()
    dropped = shelf.drop(one)
    assert shelf.lab.tables() == eight(two) | others
    assert actions(dropped) == dict.fromkeys(eight(one), "removed")
    assert dropped["changed"] is True
    assert shelf.files() == files  # the files are Quilt's
    assert three not in str(dropped)


def test_what_was_dropped_is_made_again_and_read(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    shelf.create(one)
    shelf.drop(one)
    assert set(actions(shelf.create(one)).values()) == {"created"}
    names = BucketNames.of(one)
    assert shelf.lab.rows(f"SELECT pkg_name, top_hash FROM {names.revisions}") == [("team/pkg", TOP_HASH)]
    assert set(actions(shelf.create(one)).values()) == {"unchanged"}


def test_many_buckets_go_at_once(shelf: Shelf) -> None:
    one, two, three = shelf.buckets
    shelf.create([one, two, three])
    dropped = shelf.drop([three, one, three])
    assert shelf.lab.tables() == eight(two)
    assert set(actions(dropped)) == eight(one) | eight(three)
    assert len(dropped["resources"]) == 16


def test_views_go_before_the_tables_they_read(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    shelf.create(one)
    shelf.lab.aws.clear_calls()
    shelf.drop(one)
    gone = [call.detail for call in shelf.lab.aws.calls if call.operation == "DeleteTable"]
    assert len(gone) == 8
    assert all(
        name in detail for name, detail in zip(("_manifests", "_packages"), sorted(gone[6:]), strict=True)
    )
    assert not shelf.lab.started()  # Glue alone is asked


def test_dropping_twice_is_dropping_once(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    shelf.create(one)
    shelf.drop(one)
    again = shelf.drop(one)
    assert again["changed"] is False
    assert actions(again) == dict.fromkeys(eight(one), "unchanged")


def test_a_dry_run_tells_the_same_and_drops_nothing(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = shelf.buckets[0]
    shelf.create(one)
    planned = shelf.drop(one, dry_run=True)
    assert shelf.lab.tables() == eight(one)
    (shown,) = (text for text in caplog.messages if "to remove" in text)
    assert f"- view {shelf.lab.database}.{BucketNames.of(one).entries}: to remove" in shown
    assert shelf.drop(one) == planned
    assert shelf.lab.tables() == set()


def test_a_database_named_in_capitals_is_the_one_glue_keeps(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    shelf.create(one)
    shelf.drop(one, database=shelf.lab.database.upper())
    assert shelf.lab.tables() == set()


def test_a_bucket_of_an_odd_name_loses_its_own_and_not_its_neighbours(shelf: Shelf) -> None:
    # Without more, all three would have one name.
    odd = ["my.data-x", "my-data.x", "my-data-x"]
    for bucket in odd:
        for definition in define_tables(BucketNames.of(bucket)):
            table = build_table_input(definition, MARK)
            shelf.lab.client("glue").create_table(DatabaseName=shelf.lab.database, TableInput=table)
    shelf.drop("my.data-x")
    left = {*BucketNames.of("my-data.x").tables, *BucketNames.of("my-data-x").tables}
    assert shelf.lab.tables() == left


@pytest.mark.parametrize("suffix", ["manifests", "packages"])
def test_a_table_over_other_files_is_refused_before_anything_is_dropped(shelf: Shelf, suffix: str) -> None:
    one, two, _ = shelf.buckets
    shelf.create([one, two])
    name = f"{two.replace('-', '_')}_quilt_{suffix}"
    shelf.lab.client("glue").delete_table(DatabaseName=shelf.lab.database, Name=name)
    shelf.put_table(name, location="s3://acme-lake/theirs/")
    with pytest.raises(AirflowFailException, match=rf"{name} .*its location is s3://acme-lake/theirs/"):
        shelf.drop([one, two])
    assert shelf.lab.tables() == eight(one) | eight(two)


def test_a_table_where_a_view_is_expected_is_refused_before_anything_is_dropped(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    shelf.create(one)
    name = BucketNames.of(one).entries
    shelf.lab.client("glue").delete_table(DatabaseName=shelf.lab.database, Name=name)
    shelf.put_table(name)
    with pytest.raises(AirflowFailException, match=rf"{name}: there is a table of that name"):
        shelf.drop(one)
    assert shelf.lab.tables() == eight(one)


def test_a_view_where_a_table_is_expected_is_refused_before_anything_is_dropped(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    shelf.create(one)
    name = BucketNames.of(one).packages
    shelf.lab.client("glue").delete_table(DatabaseName=shelf.lab.database, Name=name)
    shelf.lab.run(f"CREATE VIEW {name} AS SELECT 1 AS n")
    with pytest.raises(AirflowFailException, match=rf"{name} .*it is a view"):
        shelf.drop(one)
    assert shelf.lab.tables() == eight(one)


def test_a_platforms_tables_stay_when_the_views_on_them_go(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    glue, platform = shelf.lab.client("glue"), f"{shelf.lab.database}_platform"
    glue.create_database(DatabaseInput={"Name": platform})
    for definition, name in zip(define_tables(BucketNames.of(one)), ("manifests", "packages"), strict=True):
        table = build_table_input(definition, {}) | {"Name": f"{one}_{name}"}
        glue.create_table(DatabaseName=platform, TableInput=table)
    shelf.create(one, source_database=platform)
    assert shelf.lab.tables() == {name for name in eight(one) if name not in BucketNames.of(one).tables}
    shelf.drop(one)
    assert shelf.lab.tables() == set()
    kept = {table["Name"] for table in glue.get_tables(DatabaseName=platform)["TableList"]}
    assert kept == {f"{one}_manifests", f"{one}_packages"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("skip", range(8))
def test_stopped_at_any_table_and_run_again_all_are_gone(shelf: Shelf, skip: int, when: Any) -> None:
    one = shelf.buckets[0]
    for definition in define_tables(BucketNames.of(one)):
        table = build_table_input(definition, MARK)
        shelf.lab.client("glue").create_table(DatabaseName=shelf.lab.database, TableInput=table)
    for name in BucketNames.of(one).views:  # as Athena writes them, as far as it matters here
        shelf.put_table(name, TableType="VIRTUAL_VIEW", Parameters=MARK)
    shelf.lab.aws.set_faults(
        Fault(call="glue:DeleteTable", error="ValidationException", skip=skip, when=when)
    )
    with pytest.raises(AirflowException, match="ValidationException"):
        shelf.drop(one)
    assert len(shelf.lab.tables()) == 8 - skip - (when == "after")
    shelf.drop(one)
    assert shelf.lab.tables() == set()


def test_a_lost_answer_does_not_stop_it(shelf: Shelf) -> None:
    one = shelf.buckets[0]
    shelf.create(one)
    shelf.lab.aws.set_faults(Fault(call="glue:DeleteTable", when="lost", times=3))
    shelf.drop(one)
    assert shelf.lab.tables() == set()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bucket": "s3://acme"}, "Leave out s3://"),
        ({"bucket": []}, "No bucket whose views are to go"),
        ({"bucket": "acme", "database": "nowhere"}, "Database nowhere does not exist"),
    ],
    ids=["uri", "none", "database"],
)
def test_bad_input_fails_at_once(shelf: Shelf, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(AirflowFailException, match=words):
        shelf.drop(**arguments)
