"""``{revisions}`` and ``{entries}``: the rows of an interval, at the cost of that interval."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_quilt_athena.core.athena import query_status as query_states
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from local_athena import Fault, LocalAthena
from tests.integration.lab import Lab, Ran, connection
from tests.integration.overwriting import queries, sweep_later, temporary_tables
from tests.integration.quilt_registry import (
    BASE,
    DAY,
    Registry,
    Truth,
    browse,
    entries_in,
    push_examples,
    reached_by_quilt3,
    revisions_in,
)
from tests.integration.test_bucket_views import _make_platform_tables

pytestmark = pytest.mark.integration

MIDNIGHT = datetime.fromtimestamp(BASE, UTC)
ALL = (MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=400))


@pytest.fixture(scope="module")
def pushed(aws: LocalAthena) -> Registry:
    registry = Registry(aws)
    push_examples(registry)
    registry.refresh()
    return registry


@pytest.fixture(scope="module")
def truth(pushed: Registry) -> Truth:
    with reached_by_quilt3(pushed.aws) as quilt3:
        return browse(quilt3, pushed.uri)


@pytest.fixture
def fresh(aws: LocalAthena) -> Registry:
    registry = Registry(aws)
    registry.refresh()
    return registry


@pytest.fixture(autouse=True)
def _reached(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Any:
    # A query here takes a few hundredths of a second: waiting for the next look would be most of a test.
    monkeypatch.setattr(query_states, "SHORTEST_POLL_SECONDS", 0.02)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield
    aws.set_faults()
    aws.set_latency({})


def day(number: int) -> tuple[datetime, datetime]:
    return MIDNIGHT + timedelta(days=number), MIDNIGHT + timedelta(days=number + 1)


def task(
    registry: Registry, query: str, interval: tuple[object, object] = ALL, **arguments: Any
) -> CtasInsertOverwriteOperator:
    """The task that keeps a query's rows in a table ``kept`` without keys."""
    given: dict[str, Any] = {
        "task_id": "keep",
        "query": query,
        "table": "kept",
        "database": registry.lab.database,
        "workgroup": registry.lab.workgroup,
        "location": f"s3://{registry.lab.bucket}/kept/",
        "partition": {},
        "quilt_revisions": {"bucket": registry.bucket, "start": interval[0], "end": interval[1]},
    }
    return CtasInsertOverwriteOperator(**(given | arguments))


def keep(
    registry: Registry, query: str, interval: tuple[object, object] = ALL, *, run_id: str = "run", **rest: Any
) -> Ran:
    return registry.lab.run_task(task(registry, query, interval, **rest), run_id=run_id)


def assert_nothing_is_left(lab: Lab, kept: str = "kept") -> None:
    """Neither temporary tables nor files but those of the table and the journal's."""
    assert temporary_tables(lab) == set()
    read = {
        str(path).removeprefix(f"s3://{lab.bucket}/") for (path,) in lab.rows(f'SELECT "$path" FROM {kept}')
    }
    files = {key for key in lab.keys("kept/") if "/.journal/" not in key}
    assert files == read


def manifests_opened(aws: LocalAthena) -> list[str]:
    """Top hashes of the manifests that Athena has read."""
    return [
        call.detail.rpartition("/")[2].split(" ")[0]
        for call in aws.calls
        if call.by_athena and call.operation == "GetObject" and "/.quilt/packages/" in call.detail
    ]


# -------------------------------------------------------------------------------------------- the rows


@pytest.mark.parametrize(
    "interval",
    [
        day(0),
        day(1),
        day(2),
        day(3),
        (MIDNIGHT + timedelta(seconds=20), MIDNIGHT + timedelta(seconds=31)),
        ALL,
    ],
    ids=["rolled back to", "one", "unicode", "empty package", "eleven seconds", "all"],
)
def test_the_rows_are_those_quilt3_and_the_views_have_of_the_interval(
    pushed: Registry, truth: Truth, interval: tuple[datetime, datetime]
) -> None:
    start, end = interval
    wanted_entries = [entry for entry in truth.entries if start <= entry.revision_at < end]
    wanted_revisions = [revision for revision in truth.revisions if start <= revision.revision_at < end]
    assert wanted_revisions
    first, after = (f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'" for moment in interval)
    where = f"revision_at >= {first} AND revision_at < {after}"
    names = pushed.names

    keep(pushed, "SELECT * FROM {entries}", interval, run_id=f"entries {interval}", table="entries")
    assert entries_in(pushed, "entries") == wanted_entries
    view = f"SELECT * FROM {names.entries} WHERE {where}"
    assert pushed.rows("SELECT * FROM entries") == pushed.rows(view)

    keep(pushed, "SELECT * FROM {revisions}", interval, run_id=f"revisions {interval}", table="revisions",
         location=f"s3://{pushed.lab.bucket}/revisions/")  # fmt: skip
    assert revisions_in(pushed, "revisions") == wanted_revisions
    view = f"SELECT * FROM {names.revisions} WHERE {where}"
    assert pushed.rows("SELECT * FROM revisions") == pushed.rows(view)


@pytest.mark.parametrize("token", ["entries", "revisions"])
@pytest.mark.parametrize("rows", [True, False])
def test_the_columns_have_the_names_and_types_of_the_view(pushed: Registry, token: str, rows: bool) -> None:
    interval = ALL if rows else day(300)
    table = f"typed_{token}_{rows}".lower()
    keep(pushed, f"SELECT * FROM {{{token}}}", interval, table=table, run_id=table,
         location=f"s3://{pushed.lab.bucket}/{table}/")  # fmt: skip

    def described(name: str) -> list[tuple[str, str]]:
        found = pushed.lab.client("glue").get_table(DatabaseName=pushed.lab.database, Name=name)["Table"]
        return [(column["Name"], column["Type"]) for column in found["StorageDescriptor"]["Columns"]]

    assert described(table) == described(getattr(pushed.names, token))


def test_both_tokens_stand_in_one_query(pushed: Registry, truth: Truth) -> None:
    keep(
        pushed,
        "SELECT e.pkg_name, r.message, e.logical_key, count(*) OVER () AS n FROM {revisions} r "
        "JOIN {entries} e ON e.pkg_name = r.pkg_name AND e.revision_at = r.revision_at",
        table="joined",
        location=f"s3://{pushed.lab.bucket}/joined/",
    )
    messages = {(r.pkg_name, r.revision_at): r.message for r in truth.revisions}
    expected = [
        (e.pkg_name, messages[e.pkg_name, e.revision_at], e.logical_key, str(len(truth.entries)))
        for e in truth.entries
    ]
    assert pushed.rows("SELECT * FROM joined") == sorted(expected, key=repr)


def test_a_manifest_that_two_packages_share_is_read_once_and_gives_rows_for_both(fresh: Registry) -> None:
    top_hash = fresh.put_revision("team/one", BASE, "a.txt", "b.txt")
    fresh.put_pointer("team/two", str(BASE + 5), top_hash)
    fresh.aws.clear_calls()
    keep(fresh, "SELECT pkg_name, logical_key FROM {entries}", day(0))
    assert manifests_opened(fresh.aws) == [top_hash]
    assert fresh.rows("SELECT * FROM kept") == [
        (name, key) for name in ("team/one", "team/two") for key in ("a.txt", "b.txt")
    ]


def test_packages_that_sql_does_not_show_are_there_as_well(fresh: Registry) -> None:
    for name in ("team/seen", "_drafts/plate-7", "team/_x"):
        top_hash = fresh.put_revision(name, BASE, "a.txt")
        fresh.put_pointer(name, "latest", top_hash)
    keep(fresh, "SELECT pkg_name, is_latest FROM {entries}", day(0))
    seen, hidden = ("team/seen", "true"), [("_drafts/plate-7", "true"), ("team/_x", "true")]
    assert fresh.rows(f"SELECT pkg_name, is_latest FROM {fresh.names.entries}") == [seen]
    assert fresh.rows("SELECT * FROM kept") == sorted([seen, *hidden], key=repr)


def test_a_set_of_partitions_may_come_from_an_interval(fresh: Registry) -> None:
    for number in range(3):
        fresh.put_revision(f"team/p{number}", BASE + number * DAY, *(f"{n}.txt" for n in range(number + 1)))
    query = "SELECT logical_key, pkg_name, CAST(revision_date AS varchar) AS dt FROM {entries}"
    keys: dict[str, Any] = {"partitioned_by": ["dt", "pkg_name"]}
    keep(fresh, query, (day(0)[0], day(1)[1]), **keys)
    keep(fresh, query, (day(1)[0], day(2)[1]), **keys, run_id="next")
    assert fresh.rows("SELECT dt, pkg_name, count(*) FROM kept GROUP BY 1, 2") == [
        ("2026-01-01", "team/p0", "1"),
        ("2026-01-02", "team/p1", "2"),
        ("2026-01-03", "team/p2", "3"),
    ]
    assert temporary_tables(fresh.lab) == set()


def test_an_interval_without_revisions_gives_no_rows_and_opens_no_manifest(fresh: Registry) -> None:
    fresh.put_revision("team/pkg", BASE, "a.txt")
    fresh.aws.clear_calls()
    ran = keep(fresh, "SELECT pkg_name FROM {entries} UNION ALL SELECT pkg_name FROM {revisions}", day(7))
    assert (ran.result["rows"], ran.result["bytes_scanned"]) == (0, 0)
    assert manifests_opened(fresh.aws) == []
    assert fresh.rows("SELECT count(*) FROM kept") == [("0",)]


# --------------------------------------------------------------------------------- what is broken


def _write_odd_pointers(registry: Registry) -> None:
    """One package as it should be, beside what time and other clients may leave."""
    good = registry.put_revision("team/good", BASE + 1, "a.txt")
    registry.put_pointer("team/good", "latest", f"{good}\n")  # as an editor would save it
    registry.put_pointer("team/good", str(BASE + 2), "not a hash")
    registry.put_pointer("team/good", str(BASE + 3), "")
    registry.put_pointer("team/good", str(BASE + 4), "f" * 64)  # of a manifest that is gone
    registry.put_pointer("team/good", f"{BASE}000", good)  # milliseconds
    registry.put_pointer("team/good", "9" * 12, good)  # the year 33658
    registry.put_pointer("team/good", f"0{BASE + 1}", good)
    registry.put_pointer("team/good", "stable", good)
    registry.put_pointer("team/good/deeper", str(BASE + 5), good)
    registry.put_pointer("team", str(BASE + 6), good)
    registry.put_pointer("team/good", "", "")  # a folder, as consoles make them
    torn = registry.put_manifest('{"version": "v0", "mess', "", "no json", '{"a": NaN}')
    registry.put_pointer("team/torn", str(BASE + 7), torn)
    names_all = registry.put_manifest('{"version": "v0", "message": "{entries}"}')
    registry.put_pointer("{entries}/it's", str(BASE + 8), names_all)


@pytest.mark.parametrize("token", ["entries", "revisions"])
def test_pointers_and_manifests_that_are_broken_cost_no_row_of_others(fresh: Registry, token: str) -> None:
    _write_odd_pointers(fresh)
    keep(fresh, f"SELECT * FROM {{{token}}}", day(0))
    rows = fresh.rows("SELECT * FROM kept")
    view = getattr(fresh.names, token)
    assert rows == fresh.rows(f"SELECT * FROM {view} WHERE revision_date = DATE '2026-01-01'")
    good = {("team/good", str(BASE + 1)), ("team/good", f"0{BASE + 1}")}
    if token == "revisions":
        found = fresh.rows("SELECT pkg_name, pointer FROM kept")
        assert set(found) == good | {("{entries}/it's", str(BASE + 8))}
    else:
        assert fresh.rows("SELECT pkg_name, logical_key FROM kept") == [("team/good", "a.txt")] * len(good)


def test_a_pointer_that_vanishes_after_it_was_listed_is_left_out_and_said(
    fresh: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("team/stays", "team/goes"):
        fresh.put_pointer(name, "latest", fresh.put_revision(name, BASE, "a.txt"))
    gone = f".quilt/named_packages/team/goes/{BASE}"
    fresh.aws.set_faults(Fault(call="s3:GetObject", error="NoSuchKey", status=404, matching=gone))
    with caplog.at_level(logging.WARNING):
        keep(fresh, "SELECT pkg_name FROM {entries}", day(0))
    assert fresh.rows("SELECT * FROM kept") == [("team/stays",)]
    assert f"{gone} holds no top hash" in caplog.text


def test_when_latest_vanishes_none_is_the_latest(fresh: Registry) -> None:
    fresh.put_pointer("team/pkg", "latest", fresh.put_revision("team/pkg", BASE, "a.txt"))
    fresh.aws.set_faults(
        Fault(call="s3:GetObject", error="NoSuchKey", status=404, matching="team/pkg/latest")
    )
    keep(fresh, "SELECT pkg_name, is_latest FROM {entries}", day(0))
    assert fresh.rows("SELECT * FROM kept") == [("team/pkg", "false")]


def test_a_pointer_that_may_not_be_read_fails_the_task_instead_of_leaving_rows_out(fresh: Registry) -> None:
    fresh.put_revision("team/pkg", BASE, "a.txt")
    fault = Fault(call="s3:GetObject", error="AccessDenied", status=403, matching=str(BASE), times=None)
    fresh.aws.set_faults(fault)
    fresh.aws.clear_calls()
    with pytest.raises(AirflowFailException, match="GetObject"):
        keep(fresh, "SELECT pkg_name FROM {entries}", day(0))
    assert fresh.lab.started() == []


# --------------------------------------------------------------------------------------------- the cost


def _put_history(registry: Registry, packages: range) -> None:
    def put(number: int) -> None:
        top_hash = registry.put_revision(f"old/p{number}", BASE - number * DAY, *map(str, range(20)))
        registry.put_pointer(f"old/p{number}", "latest", top_hash)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, packages))


def _cost(registry: Registry, run_id: str) -> dict[str, Any]:
    registry.aws.clear_calls()
    ran = keep(registry, "SELECT * FROM {entries}", day(3), run_id=run_id)
    ours = [call for call in registry.aws.calls if not call.by_athena]
    ours = [call for call in ours if call.detail.split("/")[0] == registry.bucket]
    return {
        "rows": ran.result["rows"],
        "bytes": ran.result["bytes_scanned"],
        "opened": sorted(manifests_opened(registry.aws)),
        "pointers read": sum(call.operation == "GetObject" for call in ours),
        "listings": sum(call.operation == "ListObjectsV2" for call in ours),
    }


def test_what_a_day_costs_does_not_grow_with_the_history(fresh: Registry) -> None:
    wanted = [fresh.put_revision(f"new/p{n}", BASE + 3 * DAY + n, "a", "b", "c") for n in range(5)]
    _put_history(fresh, range(60))
    before = _cost(fresh, "before")
    _put_history(fresh, range(60, 600))
    for number in range(100, 160):  # also of the day's own packages
        fresh.put_revision("new/p0", BASE - number * DAY, *map(str, range(20)))
    after = _cost(fresh, "after")
    assert before["opened"] == after["opened"] == sorted(wanted)
    assert before["rows"] == after["rows"] == 15
    sizes = [
        fresh.s3.head_object(Bucket=fresh.bucket, Key=f".quilt/packages/{one}")["ContentLength"]
        for one in wanted
    ]
    assert before["bytes"] == after["bytes"] == sum(sizes)
    assert before["pointers read"] == after["pointers read"] == 5
    # The listing does: all 5 + 2 * 600 + 60 pointers, 1,000 to a call.
    assert (before["listings"], after["listings"]) == (1, 2)


def test_a_day_opens_its_own_manifests_where_the_seeds_view_opens_all(fresh: Registry) -> None:
    own = [fresh.put_revision("team/pkg", BASE + 3 * DAY + n, f"{n}.txt") for n in range(3)]
    old = [fresh.put_revision("team/pkg", BASE + n, "old.txt") for n in range(20)]
    seed = fresh.seed()["objects"]
    fresh.aws.clear_calls()
    day_of = 'date(from_unixtime(TRY_CAST("timestamp" AS bigint)))'
    theirs = fresh.rows(f"SELECT logical_key FROM {seed} WHERE {day_of} = DATE '2026-01-04'")
    assert set(manifests_opened(fresh.aws)) == {*own, *old}
    fresh.aws.clear_calls()
    keep(fresh, "SELECT logical_key FROM {entries}", day(3))
    assert sorted(manifests_opened(fresh.aws)) == sorted(own)
    assert fresh.rows("SELECT * FROM kept") == theirs == [("0.txt",), ("1.txt",), ("2.txt",)]


def test_later_revisions_of_the_days_packages_are_read_to_tell_the_latest_and_no_others(
    fresh: Registry,
) -> None:
    top_hash = fresh.put_revision("team/pkg", BASE, "a")
    fresh.put_pointer("team/pkg", "latest", top_hash)
    fresh.put_pointer("team/pkg", str(BASE + 9 * DAY), top_hash)
    fresh.put_revision("team/other", BASE + 9 * DAY, "b")
    fresh.aws.clear_calls()
    keep(fresh, "SELECT is_latest FROM {entries}", day(0))
    assert fresh.rows("SELECT * FROM kept") == [("false",)]
    read = [
        call.detail.split("named_packages/")[1]
        for call in fresh.aws.calls
        if call.operation == "GetObject" and not call.by_athena and "named_packages/" in call.detail
    ]
    assert sorted(read) == [f"team/pkg/{BASE}", f"team/pkg/{BASE + 9 * DAY}", "team/pkg/latest"]


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("query", "changes", "words"),
    [
        ("SELECT * FROM {entries}", {"quilt_revisions": None}, r"uses \{entries\}, which quilt_revisions"),
        (
            "SELECT * FROM {entries}, {revisions}",
            {"quilt_revisions": None},
            r"uses \{revisions\} and \{entries\}",
        ),
        ("SELECT 1 AS a", {}, r"uses neither \{revisions\} nor \{entries\}"),
        ("SELECT '{ENTRIES}' AS a", {}, "uses neither"),
    ],
)
def test_tokens_and_parameter_go_together_or_nothing_is_begun(
    fresh: Registry, query: str, changes: dict[str, Any], words: str
) -> None:
    fresh.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=words):
        keep(fresh, query, **changes)
    assert fresh.lab.started() == []
    assert fresh.lab.keys("kept/") == set()


def test_the_interval_may_come_from_templates(fresh: Registry) -> None:
    for number in range(3):
        fresh.put_revision(f"team/p{number}", BASE + number * DAY, "a.txt")
    operator = task(
        fresh,
        "SELECT pkg_name FROM {entries}",
        ("{{ partition_key }}", "{{ macros.ds_add(partition_key, 1) }}"),
        quilt_revisions={
            "bucket": "{{ params.bucket }}",
            "start": "{{ partition_key }}",
            "end": "{{ macros.ds_add(partition_key, 1) }}",
        },
    )
    from airflow.sdk.execution_time import macros

    context: Any = {"partition_key": "2026-01-02", "params": {"bucket": fresh.bucket}, "macros": macros}
    operator.render_template_fields(context)
    fresh.lab.run_task(operator)
    assert fresh.rows("SELECT * FROM kept") == [("team/p1",)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "{{ partition_key }}"}, r"\['start'\] is 'None'.*a date or a time.*no value renders so"),
        (
            {"bucket": "{{ dag_run_conf.get('bucket') }}"},
            r"\['bucket'\] is 'None'.*a bucket's name.*no value renders so",
        ),
    ],
)
def test_a_template_that_found_no_value_is_a_clear_failure(
    fresh: Registry, changes: dict[str, str], words: str
) -> None:
    given = {"bucket": fresh.bucket, "start": "2026-01-01", "end": "2026-01-02"} | changes
    operator = task(fresh, "SELECT * FROM {entries}", quilt_revisions=given)
    context: Any = {"partition_key": None, "dag_run_conf": {}}
    operator.render_template_fields(context)
    fresh.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=words):
        fresh.lab.run_task(operator)
    assert fresh.lab.started() == []


# ------------------------------------------------------------------------- more than a statement holds

LONG = 500  # revisions, with names so long that a statement does not hold them all
QUERY = (
    "SELECT count(*) AS n, count(DISTINCT pkg_name) AS packages, sum(size) AS bytes FROM {entries} -- once"
)
LONG_ROW = (str(LONG), str(LONG), str(10 * LONG))


@pytest.fixture(scope="module")
def long(aws: LocalAthena) -> Registry:
    registry = Registry(aws)

    def put(number: int) -> None:
        registry.put_revision(f"{'team' * 60}/{'p' * 180}{number:04}", BASE + number, "a.txt")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(LONG)))
    registry.refresh()
    registry.lab.create_workgroup(_enforcing(registry), enforce=True)
    return registry


def _enforcing(registry: Registry) -> str:
    return f"{registry.lab.workgroup}_enforcing"


def _workgroup(registry: Registry, *, enforced: bool) -> str:
    return _enforcing(registry) if enforced else registry.lab.workgroup


@pytest.fixture
def emptied(long: Registry) -> Registry:
    """The registry without what other tests have kept."""
    with suppress(long.lab.client("glue").exceptions.EntityNotFoundException):
        long.lab.client("glue").delete_table(DatabaseName=long.lab.database, Name="kept")
    for key in long.lab.keys("kept/"):
        long.s3.delete_object(Bucket=long.lab.bucket, Key=key)
    return long


@pytest.mark.parametrize("enforced", [False, True])
def test_an_interval_too_long_for_a_statement_is_read_first_and_the_query_runs_once_over_all(
    emptied: Registry, enforced: bool
) -> None:
    workgroup = _workgroup(emptied, enforced=enforced)
    with queries(emptied.lab, workgroup) as sent:
        keep(emptied, QUERY, workgroup=workgroup)
    assert emptied.rows("SELECT * FROM kept") == [LONG_ROW]
    written = [sql for sql in sent if "-- once" in sql and "LIMIT 0" not in sql and "WITH NO DATA" not in sql]
    assert len(written) == 1
    reads = [sql for sql in sent if '"$path" IN' in sql]
    assert len(reads) > 1
    assert max(len(sql.encode()) for sql in sent) <= 262_144
    assert_nothing_is_left(emptied.lab)


def test_its_rows_are_those_of_the_view(emptied: Registry) -> None:
    keep(emptied, "SELECT * FROM {entries}", run_id="rows")
    view = f"SELECT * FROM {emptied.names.entries}"
    assert emptied.rows("SELECT * FROM kept") == emptied.rows(view)
    assert_nothing_is_left(emptied.lab)


def test_both_tokens_and_a_set_of_partitions_work_on_what_was_read(emptied: Registry) -> None:
    keep(
        emptied,
        "SELECT r.message, e.logical_key, 'k' || CAST(e.size % 3 AS varchar) AS k "
        "FROM {revisions} r JOIN {entries} e ON e.top_hash = r.top_hash",
        partitioned_by=["k"],
        run_id="both",
    )
    assert emptied.rows("SELECT message, logical_key, k, count(*) FROM kept GROUP BY 1, 2, 3") == [
        ("by hand", "a.txt", "k1", str(LONG))
    ]
    assert_nothing_is_left(emptied.lab)


@pytest.mark.parametrize("enforced", [False, True])
def test_a_query_that_fails_over_what_was_read_leaves_nothing_behind(
    emptied: Registry, enforced: bool
) -> None:
    keep(emptied, QUERY, (MIDNIGHT, MIDNIGHT + timedelta(seconds=7)), run_id="before")
    workgroup = _workgroup(emptied, enforced=enforced)
    with pytest.raises(AirflowException, match="nowhere"):
        keep(emptied, "SELECT nowhere FROM {entries}", run_id="fails", workgroup=workgroup)
    assert temporary_tables(emptied.lab) == set()
    assert emptied.rows("SELECT * FROM kept") == [("7", "7", "70")]
    sweep_later(emptied.lab, table_name="kept")
    assert_nothing_is_left(emptied.lab)


class WorkerLost(BaseException):
    """Ends a task as a kill does."""


def lose_worker(registry: Registry, operator: CtasInsertOverwriteOperator, *, waits: int) -> None:
    """Run a task on a worker that dies in one of its waits."""
    wait = operator.wait

    def die(query_execution_ids: Sequence[str], **rest: Any) -> Any:
        nonlocal waits
        waits -= 1
        if not waits:
            raise WorkerLost
        return wait(query_execution_ids, **rest)

    operator.__dict__["wait"] = die
    with pytest.raises(WorkerLost):
        registry.lab.run_task(operator)


@pytest.mark.parametrize("waits", [1, 2])
def test_a_retry_joins_the_reads_or_the_query_that_a_lost_worker_left(emptied: Registry, waits: int) -> None:
    with queries(emptied.lab) as sent:
        lose_worker(emptied, task(emptied, QUERY), waits=waits)
        keep(emptied, QUERY)
    assert emptied.rows("SELECT * FROM kept") == [LONG_ROW]
    assert len(sent) == len(set(sent))
    assert_nothing_is_left(emptied.lab)


def test_a_retry_joins_the_query_of_a_short_interval(fresh: Registry) -> None:
    fresh.put_revision("team/pkg", BASE, "a.txt")
    fresh.aws.clear_calls()
    lose_worker(fresh, task(fresh, QUERY), waits=1)
    keep(fresh, QUERY)
    assert len(fresh.lab.started()) == 1
    assert fresh.rows("SELECT * FROM kept") == [("1", "1", "10")]


def test_a_revision_that_came_between_the_tries_is_there_after_the_retry(fresh: Registry) -> None:
    fresh.put_revision("team/pkg", BASE, "a.txt")
    lose_worker(fresh, task(fresh, QUERY), waits=1)
    fresh.put_revision("team/new", BASE + 1, "a.txt", "b.txt")
    keep(fresh, QUERY)
    assert fresh.rows("SELECT * FROM kept") == [("3", "2", "30")]
    sweep_later(fresh.lab, table_name="kept")  # the first query may have made its table after it was stopped
    assert_nothing_is_left(fresh.lab)


@pytest.mark.parametrize("waits_in_triggerer", [False, True])
def test_many_reads_run_some_at_a_time(emptied: Registry, waits_in_triggerer: bool) -> None:
    ran = keep(
        emptied,
        QUERY,
        max_parallel_queries=1,
        deferrable=waits_in_triggerer,
        defer_after=0,
        run_id=f"{waits_in_triggerer}",
    )
    assert bool(ran.deferrals) is waits_in_triggerer
    assert emptied.rows("SELECT * FROM kept") == [LONG_ROW]
    assert_nothing_is_left(emptied.lab)


# ------------------------------------------------------------------------------------------- a platform


def test_a_platforms_tables_are_read_where_there_are_no_others(aws: LocalAthena) -> None:
    registry = Registry(aws)  # without views of ours
    platform = _make_platform_tables(registry)
    top_hash = registry.put_revision("team/pkg", BASE, "a.txt")
    registry.put_pointer("team/pkg", "latest", top_hash)
    given = {"bucket": registry.bucket, "start": MIDNIGHT}
    query = "SELECT pkg_name, logical_key, size, is_latest FROM {entries}"
    registry.aws.clear_calls()
    with pytest.raises(AirflowFailException, match="or, where a Quilt platform keeps tables, its database"):
        keep(registry, query, quilt_revisions=given)
    assert registry.lab.started() == []
    keep(registry, query, quilt_revisions=given | {"source_database": platform})
    assert registry.rows("SELECT * FROM kept") == [("team/pkg", "a.txt", "10", "true")]
