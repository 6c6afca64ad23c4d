"""Tables that keep a bucket's rows, and views on them: the plain views' rows, at the price of a part."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_quilt_athena.core.athena import query_status as query_states
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from airflow_quilt_athena.local import LocalAthena
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from airflow_quilt_athena.operators.drop_bucket_views import DropBucketViewsOperator
from airflow_quilt_athena.operators.materialize_quilt_tables import MaterializeQuiltTablesOperator
from tests.integration import lab as lab_of_tasks
from tests.integration.lab import connection
from tests.integration.quilt_registry import BASE, DAY, Registry

pytestmark = pytest.mark.integration

CLEAN = ("revisions", "entries", "current")
VIEWS = (*CLEAN, "tags", "packages_view", "objects_view")


class Kept:
    """A registry with plain views in one database, and views on kept tables in another."""

    def __init__(self, aws: LocalAthena) -> None:
        self.registry = Registry(aws)
        self.names = self.registry.names
        self.database = f"{self.registry.lab.database}_kept"
        aws.client("glue").create_database(DatabaseInput={"Name": self.database})
        self.registry.refresh()
        self.registry.refresh(database=self.database)
        self.runs = 0

    def keep(self, **arguments: Any) -> dict[str, Any]:
        """Bring the tables up to date; return what the task tells of the bucket."""
        self.runs += 1
        lab = self.registry.lab
        task = MaterializeQuiltTablesOperator(
            task_id="tables",
            **{
                "bucket": self.registry.bucket,
                "database": self.database,
                "workgroup": lab.workgroup,
                "location": f"s3://{lab.bucket}/kept/",
                **arguments,
            },
        )
        ran = lab.run_task(task, run_id=f"run {self.runs}")
        found: dict[str, Any] = json.loads(json.dumps(ran.result))[self.registry.bucket]
        return found

    def views(self, *, always_fresh: bool = False) -> Any:
        """Refresh the views that stand on the tables."""
        athena, glue, s3 = (self.registry.lab.client(name) for name in ("athena", "glue", "s3"))
        request = RefreshRequest(
            (self.registry.bucket,),
            self.database,
            self.registry.lab.workgroup,
            materialized=True,
            always_fresh=always_fresh,
        )
        return refresh_bucket_views(athena, glue, request, timeout_seconds=120, s3=s3)

    def rows(self, view: str, where: str = "true", *, plain: bool = False) -> list[tuple[str | None, ...]]:
        database = self.registry.lab.database if plain else self.database
        name = getattr(self.names, view)
        return sorted(self.registry.rows(f"SELECT * FROM {database}.{name} WHERE {where}"), key=repr)

    def assert_equal(self, where: str = "true") -> None:
        """The clean views have the rows of the plain ones; one query each, which is what takes time."""
        for view in CLEAN:
            name = getattr(self.names, view)
            sides = (
                f"SELECT '{side}', * FROM {database}.{name} WHERE {where}"
                for side, database in (("ours", self.database), ("plain", self.registry.lab.database))
            )
            found: dict[str | None, list[Any]] = {"ours": [], "plain": []}
            for side, *row in self.registry.rows(" UNION ALL ".join(sides)):
                found[side].append(row)
            assert sorted(found["ours"], key=repr) == sorted(found["plain"], key=repr), view

    def bytes_of(self, sql: str) -> int:
        lab = self.registry.lab
        status = lab.client("athena").get_query_execution(QueryExecutionId=lab.run(sql))["QueryExecution"]
        return int(status["Statistics"]["DataScannedInBytes"])


@pytest.fixture
def kept(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    # A query here takes a few hundredths of a second: waiting for the next look would be most of a test.
    monkeypatch.setattr(query_states, "SHORTEST_POLL_SECONDS", 0.02)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield Kept(aws)
    aws.set_faults()


def push(kept: Kept, name: str, at: int, *files: str) -> str:
    top_hash = kept.registry.put_revision(name, at, *files)
    kept.registry.put_pointer(name, "latest", top_hash)
    return top_hash


def awkward(kept: Kept) -> None:
    """What a registry may hold: several a day, shared, empty, torn, tagged, hidden, not in ASCII."""
    registry = kept.registry
    one = push(kept, "team/one", BASE, "a.txt", "b.txt")
    push(kept, "team/one", BASE + 5, "a.txt", "c.txt")
    push(kept, "team/one", BASE + DAY, "a.txt")
    registry.put_pointer("team/copy", str(BASE + 7), one)
    registry.put_pointer("team/copy", "latest", one)
    push(kept, "team/empty", BASE + 8)
    push(kept, "юзер/пакет", BASE + 9, "ü.txt")
    push(kept, "_hidden/pkg", BASE + 10, "a.txt")
    registry.put_pointer("team/one", "stable", one)
    registry.put_pointer("team/torn", str(BASE), registry.put_manifest("{torn", "no json"))
    registry.put_pointer("team/dangling", str(BASE), "0" * 64)
    registry.put_pointer("team/alone", "latest", one)  # latest alone
    other = push(kept, "team/other", BASE + 11, "other.txt")
    push(kept, "team/foreign", BASE + 12, "mine.txt")
    registry.put_pointer("team/foreign", "latest", other)
    registry.put_pointer("team/zeros", f"0{BASE}", one)
    registry.put_pointer("team/zeros", str(BASE), one)
    registry.put_pointer("team/zeros", "latest", one)
    registry.put_pointer("team/far", "4102444800", push(kept, "team/far", BASE, "f.txt"))  # 2100


def few(kept: Kept) -> str:
    """Three revisions of two packages, a tag, a pointer to no manifest; returns the first top hash."""
    one = push(kept, "team/one", BASE, "a.txt", "b.txt")
    push(kept, "team/one", BASE + 5, "a.txt", "c.txt")
    push(kept, "team/other", BASE + 11, "other.txt")
    kept.registry.put_pointer("team/one", "stable", one)
    kept.registry.put_pointer("team/dangling", str(BASE), "0" * 64)
    return one


def test_the_rows_are_the_plain_views_rows_kept_newer_and_both(kept: Kept) -> None:
    awkward(kept)
    kept.keep()
    kept.views()
    kept.assert_equal()
    kept.assert_equal("pkg_name = 'team/one'")
    kept.assert_equal("revision_date = DATE '2026-01-02'")
    assert len(kept.rows("entries")) > 10
    push(kept, "team/one", BASE + 6, "newer.txt")  # of a day that is kept
    push(kept, "team/new", BASE + 3 * DAY, "new.txt")
    kept.registry.put_manifest("{}")
    kept.views()
    kept.assert_equal()  # from manifests, beside what is kept
    kept.keep()
    kept.assert_equal()  # now kept, and not doubled though the views name them
    kept.views()
    kept.assert_equal()
    assert "newer" not in str(kept.views().steps)
    assert not kept.views().changed


def test_what_came_after_the_last_refresh_is_seen_at_once(kept: Kept) -> None:
    one = few(kept)
    kept.registry.put_pointer("team/alone", "latest", one)  # and no revision
    push(kept, "team/copy", BASE + 7, "copy.txt")
    kept.keep()
    kept.views(always_fresh=True)
    kept.assert_equal()
    pushed = push(kept, "team/one", BASE + 6, "newer.txt")  # of a day that is kept
    push(kept, "team/new", BASE + 3 * DAY, "new.txt")
    kept.registry.put_pointer("team/alone", "latest", pushed)  # another package's, not kept
    kept.registry.put_pointer("team/copy", "latest", pushed)
    kept.assert_equal()
    kept.assert_equal("pkg_name = 'team/one'")
    assert ("newer.txt",) in {row[5:6] for row in kept.rows("current", "pkg_name = 'team/copy'")}
    kept.keep()
    assert not kept.views(always_fresh=True).changed
    kept.assert_equal()


def test_columns_and_types_are_those_of_the_plain_views(kept: Kept) -> None:
    def described(database: str, name: str) -> list[tuple[str, str]]:
        glue = kept.registry.aws.client("glue")
        found = glue.get_table(DatabaseName=database, Name=name)["Table"]
        return [(column["Name"], column["Type"]) for column in found["StorageDescriptor"]["Columns"]]

    few(kept)
    kept.keep()
    for always_fresh in (False, True):
        push(kept, "team/newer", BASE + DAY + always_fresh, "a.txt")
        kept.views(always_fresh=always_fresh)
        for view in VIEWS[3:]:
            assert kept.rows(view) == kept.rows(view, plain=True) != []
        for view in VIEWS:
            name = getattr(kept.names, view)
            assert described(kept.database, name) == described(kept.registry.lab.database, name)


def test_what_is_rolled_back_or_deleted_is_seen_without_any_refresh(kept: Kept) -> None:
    first = few(kept)
    kept.keep()
    kept.views()
    kept.registry.put_pointer("team/one", "latest", first)
    kept.assert_equal()
    assert ("a.txt",) in {row[5:6] for row in kept.rows("current", "pkg_name = 'team/one'")}
    for pointer in (str(BASE + 11), "latest"):
        key = f".quilt/named_packages/team/other/{pointer}"
        kept.registry.s3.delete_object(Bucket=kept.registry.bucket, Key=key)
    kept.assert_equal()
    assert kept.rows("entries", "pkg_name = 'team/other'") == []


def test_one_push_costs_two_queries_and_the_push(kept: Kept) -> None:
    for number in range(12):
        push(kept, f"team/p{number}", BASE + number, *(f"{n}.txt" for n in range(50)))
    kept.keep()
    kept.views()
    top_hash = push(kept, "team/pushed", BASE + DAY, *(f"{n}.txt" for n in range(50)))
    size = len(
        kept.registry.s3.get_object(Bucket=kept.registry.bucket, Key=f".quilt/packages/{top_hash}")[
            "Body"
        ].read()
    )
    kept.registry.aws.clear_calls()
    done = kept.keep()
    assert (done["partitions"], done["revisions"], len(done["query_execution_ids"])) == (1, 1, 2)
    assert len(kept.registry.lab.started()) == 2
    assert done["bytes_scanned"] == 2 * size  # its manifest, for the entries and for the header
    kept.registry.aws.clear_calls()
    assert not kept.views().changed  # the views stand on the tables, whatever these keep
    assert kept.registry.lab.started() == []
    kept.assert_equal()


def test_it_waits_in_the_triggerer_and_goes_on_with_what_it_began(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(kept)
    waited: list[int] = []
    fire = lab_of_tasks.fire

    def fire_and_push(trigger: Any) -> dict[str, Any]:
        push(kept, f"team/meanwhile{len(waited)}", BASE + DAY + len(waited), "later.txt")
        waited.append(len(trigger.query_execution_ids))
        return fire(trigger)

    monkeypatch.setattr(lab_of_tasks, "fire", fire_and_push)
    time.sleep(1.1)  # S3 tells whole seconds, and what comes within the last one may belong to the run
    kept.registry.aws.clear_calls()
    done = kept.keep(deferrable=True, defer_after=0)
    assert waited
    started = len(kept.registry.lab.started())  # each once, whatever came meanwhile
    assert (done["partitions"], done["revisions"]) == (2, 3)
    assert len(done["query_execution_ids"]) == started
    kept.views()
    kept.assert_equal()


def test_nothing_new_costs_no_query_and_no_pointer_is_read(kept: Kept) -> None:
    few(kept)
    kept.keep()
    kept.registry.aws.clear_calls()
    done = kept.keep()
    assert (done["changed"], done["query_execution_ids"]) == (False, [])
    assert kept.registry.lab.started() == []
    # But for those that hold no hash of a manifest, which no ETag tells.
    read = [c for c in kept.registry.aws.calls if c.operation == "GetObject" and not c.by_athena]
    assert not [call for call in read if "dangling" not in call.detail]


def test_one_package_and_one_day_read_a_small_part(kept: Kept) -> None:
    for number in range(20):
        push(kept, f"team/p{number}", BASE + number * DAY, *(f"{n}.txt" for n in range(200)))
    kept.keep()
    kept.views()
    plain, ours = kept.registry.lab.database, kept.database
    for where in ("pkg_name = 'team/p7'", "revision_date = DATE '2026-01-08'"):
        sql = f"SELECT * FROM {{}}.{kept.names.entries} WHERE {where}"
        assert kept.bytes_of(sql.format(ours)) * 50 < kept.bytes_of(sql.format(plain))
        assert kept.rows("entries", where) == kept.rows("entries", where, plain=True) != []


def test_a_manifest_that_arrives_after_its_pointer_or_is_written_again_is_kept_anew(kept: Kept) -> None:
    registry = kept.registry
    push(kept, "team/one", BASE, "a.txt")
    late = "ab" * 32
    registry.put_pointer("team/late", str(BASE), late)  # aws s3 sync copies pointers first
    kept.keep()
    kept.views()
    kept.assert_equal()
    for line in ("one.txt", "another.txt"):
        body = f'{{"version": "v0", "message": "m"}}\n{{"logical_key": "{line}", "physical_keys": ["s3://b/x"]}}\n'
        registry.s3.put_object(Bucket=registry.bucket, Key=f".quilt/packages/{late}", Body=body.encode())
        kept.views()
        kept.assert_equal()
        assert kept.keep()["changed"]
        kept.views()
        kept.assert_equal()


def test_a_run_that_died_between_its_writes_is_made_good_by_the_next(kept: Kept) -> None:
    from airflow_quilt_athena.local import Fault

    few(kept)
    kept.registry.aws.set_faults(
        Fault(
            call="glue:BatchCreatePartition",
            error="AccessDeniedException",
            status=400,
            matching="revisions_table",
        )
    )
    with pytest.raises(AirflowFailException):
        kept.keep()
    kept.registry.aws.set_faults()
    kept.views()
    kept.assert_equal()
    assert kept.keep()["changed"]
    kept.views()
    kept.assert_equal()
    assert not kept.keep()["changed"]


def test_what_cannot_be_is_refused_before_anything_runs(kept: Kept) -> None:
    lab = kept.registry.lab
    task = CreateBucketViewsOperator(
        task_id="views", bucket=kept.registry.bucket, database=kept.database, workgroup=lab.workgroup,
        materialized=True,
    )  # fmt: skip
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match="Run MaterializeQuiltTablesOperator first"):
        lab.run_task(task)
    with pytest.raises(AirflowFailException, match=r"there is none\. Expected what CreateBucket"):
        kept.keep(bucket="another-bucket")
    table = {"Name": kept.names.entries_table, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": {}}
    lab.client("glue").create_table(DatabaseName=kept.database, TableInput=table)
    with pytest.raises(AirflowFailException, match="it was not made for that"):
        kept.keep()
    assert lab.started() == []


def test_dropping_the_views_drops_the_tables_definitions_and_no_file(kept: Kept) -> None:
    lab = kept.registry.lab
    push(kept, "team/one", BASE, "a.txt")
    kept.keep()
    files = lab.keys("kept/")
    assert files
    task = DropBucketViewsOperator(task_id="drop", bucket=kept.registry.bucket, database=kept.database)
    dropped = lab.run_task(task).result
    gone = {one["name"].partition(".")[2] for one in dropped["resources"] if one["action"] == "removed"}
    assert set(kept.names.kept_tables) <= gone
    assert lab.keys("kept/") == files
    assert lab.client("glue").get_tables(DatabaseName=kept.database)["TableList"] == []


# ---------------------------------------------------------------------------------------------- always

# A name that Trino does not write a partition by is written by itself: it takes as long as all others.
names, more_names = st.sampled_from(["team/a", "team/b"]), st.sampled_from(["team/a", "team/b", "юзер/c"])
moments = st.integers(0, 3).map(lambda day: BASE + day * DAY)


def steps(names: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Any, ...]]:
    """What may happen to packages of these names."""
    return st.one_of(
        st.tuples(st.just("push"), names, moments, st.integers(0, 3)),
        st.tuples(st.just("push without latest"), names, moments, st.integers(0, 3)),
        st.tuples(st.just("latest"), names, st.integers(0, 9)),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("delete one"), names, st.integers(0, 9)),
        st.tuples(st.just("keep")),
    )


@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps(names), min_size=5, max_size=6))
def test_whatever_happens_the_rows_are_the_plain_views_rows(kept: Kept, history: list[Any]) -> None:
    apply_history(kept, history)


@pytest.mark.large
@pytest.mark.timeout(3600)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps(more_names), min_size=3, max_size=12))
def test_whatever_happens_in_many_histories(kept: Kept, history: list[Any]) -> None:
    apply_history(kept, history)


def apply_history(kept: Kept, history: list[Any]) -> None:
    """Take the steps: views that are never stale are compared after each, the others after a refresh."""
    if not kept.runs:
        push(kept, "team/first", BASE, "x.txt")
    kept.keep()
    kept.views(always_fresh=True)
    hashes = ["0" * 64]
    for number, step in enumerate(history):
        take(kept, step, number, hashes)
        kept.assert_equal()
    kept.views()
    kept.assert_equal()


def take(kept: Kept, step: tuple[Any, ...], number: int, hashes: list[str]) -> None:
    registry, (kind, *facts) = kept.registry, step
    if kind == "keep":
        kept.keep()
    elif kind.startswith("push"):
        name, at, count = facts
        files = [f"{number}-{n}.txt" for n in range(count)]
        hashes.append(registry.put_revision(name, at + number, *files, message=f"step {number}"))
        if kind == "push":
            registry.put_pointer(name, "latest", hashes[-1])
    elif kind == "latest":
        registry.put_pointer(facts[0], "latest", hashes[facts[1] % len(hashes)])
    else:
        prefix = f".quilt/named_packages/{facts[0]}/"
        pages = registry.s3.list_objects_v2(Bucket=registry.bucket, Prefix=prefix)
        keys = [item["Key"] for item in pages.get("Contents", ())]
        chosen = keys if kind == "delete" else keys[facts[1] % len(keys) :][:1] if keys else []
        for key in chosen:
            registry.s3.delete_object(Bucket=registry.bucket, Key=key)
