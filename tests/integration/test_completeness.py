"""Nothing is left out in silence: what a listing shows and the views do not is told, with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_quilt_athena.core.quilt.completeness import Reason
from airflow_quilt_athena.local import LocalAthena
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from tests.integration.lab import connection
from tests.integration.quilt_registry import BASE, Registry

pytestmark = pytest.mark.integration

GOOD = '{"version": "v0", "message": "m"}'
Gaps = dict[str, tuple[int, list[str]]]


@pytest.fixture
def fresh(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    registry = Registry(aws)
    for name in ("team/one", "team/two"):
        registry.put_pointer(name, "latest", registry.put_revision(name, BASE, "a.txt", "b.txt"))
    return registry


def views(registry: Registry, **arguments: Any) -> dict[str, Any]:
    task = CreateBucketViewsOperator(
        task_id="views",
        **{
            "bucket": registry.bucket,
            "database": registry.lab.database,
            "workgroup": registry.lab.workgroup,
            "deferrable": False,
            **arguments,
        },
    )
    found: dict[str, Any] = registry.lab.run_task(task).result
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def gaps(registry: Registry, **arguments: Any) -> Gaps:
    reports = views(registry, **arguments)["incomplete"].get(registry.bucket, [])
    return {one["reason"]: (one["count"], one["names"]) for one in reports}


def put(registry: Registry, key: str, body: str = "") -> None:
    registry.s3.put_object(Bucket=registry.bucket, Key=key, Body=body.encode())


def entry(size: str = "1") -> str:
    rest = '"physical_keys": ["s3://b/a.txt"], "hash": null, "meta": {}'
    return f'{{"logical_key": "a.txt", "size": {size}, {rest}}}'


def point(registry: Registry, name: str, *lines: str) -> str:
    top_hash = registry.put_manifest(*lines)
    registry.put_pointer(name, str(BASE), top_hash)
    return top_hash


def hidden_package(registry: Registry) -> list[str]:
    registry.put_revision("_drafts/plate-7", BASE, "a.txt")
    registry.put_revision("team/.x", BASE, "a.txt")
    return ["_drafts/plate-7", "team/.x"]


def hidden_tag(registry: Registry) -> list[str]:
    registry.put_pointer("team/one", "_stable", registry.put_manifest(GOOD))
    return ["team/one/_stable"]


def registry_v2(registry: Registry) -> list[str]:
    put(registry, ".quilt/v2/tags/team@one/latest", "0" * 64)
    return [".quilt/v2/"]


def milliseconds(registry: Registry) -> list[str]:
    registry.put_pointer("team/one", f"{BASE}000", registry.put_manifest(GOOD))
    return [f"team/one/{BASE}000"]


def misplaced(registry: Registry) -> list[str]:
    registry.put_pointer("team/one/deeper", str(BASE), registry.put_manifest(GOOD))
    registry.put_pointer("team", str(BASE), registry.put_manifest(GOOD))
    put(registry, ".quilt/named_packages/team/folder/")  # as consoles make them
    return [f"team/{BASE}", f"team/one/deeper/{BASE}"]


def bodies(registry: Registry) -> list[str]:
    hashes = [registry.put_manifest(GOOD) for _ in range(2)]
    registry.put_pointer("team/one", str(BASE + 1), hashes[0][:40])
    registry.put_pointer("team/one", str(BASE + 2), "")
    registry.put_pointer("team/one", str(BASE + 3), "\n".join(hashes))
    registry.put_pointer("team/one", str(BASE + 4), "G" * 64)
    registry.put_pointer("team/one", str(BASE + 5), hashes[0] + "\r\n")  # which is one
    return [f"team/one/{BASE + n}" for n in (1, 2, 3, 4)]


def missing(registry: Registry) -> list[str]:
    registry.put_pointer("team/one", "latest", "0" * 64)
    put(registry, f".quilt/packages/{'e' * 64}")
    registry.put_pointer("team/two", "empty", "e" * 64)
    return [f"team/one/latest {'0' * 64}", f"team/two/empty {'e' * 64}"]


def torn_header(registry: Registry) -> list[str]:
    point(registry, "team/bare", "{}", entry())  # says nothing, and is one to quilt3
    return [point(registry, "team/torn", '{"version": "v0", "mess', entry())]


def torn_lines(registry: Registry) -> list[str]:
    return [point(registry, "team/torn", GOOD, entry(), '{"logical_key": "torn.txt", "physi', "", "no json")]


def odd_sizes(registry: Registry) -> list[str]:
    point(registry, "team/sizes", GOOD, entry("10.0"), entry("5e12"))
    return [point(registry, "team/odd", GOOD, entry("10.5"), entry('"ten"'), entry("null"))]


def copies(registry: Registry) -> list[str]:
    put(registry, f".quilt/packages/backup/{'a' * 64}", GOOD)
    put(registry, f".quilt/packages/1220{'a' * 64}.parquet", "PAR1")
    return [f"1220{'a' * 64}.parquet", f"backup/{'a' * 64}"]


KINDS: dict[Reason, Callable[[Registry], list[str]]] = {
    Reason.HIDDEN_PACKAGES: hidden_package,
    Reason.HIDDEN_TAGS: hidden_tag,
    Reason.REGISTRY_V2: registry_v2,
    Reason.ODD_POINTER_NAMES: milliseconds,
    Reason.MISPLACED_POINTERS: misplaced,
    Reason.POINTER_BODIES: bodies,
    Reason.MISSING_MANIFESTS: missing,
    Reason.UNREADABLE_HEADERS: torn_header,
    Reason.UNREADABLE_LINES: torn_lines,
    Reason.ODD_SIZES: odd_sizes,
    Reason.OTHER_OBJECTS: copies,
}


def test_a_whole_registry_is_told_as_whole(fresh: Registry) -> None:
    found = views(fresh, fail_on_incomplete=True)
    assert found["incomplete"] == found["hidden_packages"] == {}
    assert views(fresh, fail_on_incomplete=True)["incomplete"] == {}


@pytest.mark.parametrize("known", [False, True], ids=["at first sight", "new since the last look"])
@pytest.mark.parametrize("reason", KINDS, ids=lambda reason: reason.name)
def test_each_kind_is_told_with_its_reason_and_names(fresh: Registry, reason: Reason, known: bool) -> None:
    if known:
        assert gaps(fresh) == {}
    names = KINDS[reason](fresh)
    expected = {reason.name.lower(): (len(names), sorted(names))}
    assert gaps(fresh) == expected
    fresh.aws.clear_calls()
    assert gaps(fresh) == expected  # nothing changed: known without a query
    assert fresh.lab.started() == []


def test_all_kinds_at_once_are_told_apart_and_none_goes_unexplained(
    fresh: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {reason.name.lower(): kind(fresh) for reason, kind in KINDS.items()}
    found = gaps(fresh)
    assert {reason: names for reason, (_, names) in found.items()} == {
        # Two kinds write team/torn: the later pointer stands, and the other manifest is an orphan.
        reason: sorted(names)
        for reason, names in expected.items()
    }
    log = capsys.readouterr().out
    for reason in Reason:
        assert (f"{len(expected.get(reason.name.lower(), []))} {reason.value}: " in log) == (
            reason is not Reason.UNEXPLAINED
        )
    with pytest.raises(AirflowFailException, match="fail_on_incomplete is set") as failed:
        views(fresh, fail_on_incomplete=True)
    assert Reason.ODD_SIZES.value in str(failed.value)
    assert Reason.OTHER_OBJECTS.value not in str(failed.value)  # of which no row is lost
    assert fresh.rows(f"SELECT count(*) FROM {fresh.names.entries}") != [("0",)]  # the views are there


def test_a_push_is_checked_by_one_query_that_reads_the_push(fresh: Registry) -> None:
    assert gaps(fresh) == {}
    fresh.aws.clear_calls()
    top_hash = point(fresh, "team/new", GOOD, entry("10.5"))
    assert set(gaps(fresh)) == {"odd_sizes"}
    assert len(fresh.lab.started()) == 1
    opened = {
        call.detail.rpartition("/")[2].split(" ")[0]
        for call in fresh.aws.calls
        if call.by_athena and call.operation == "GetObject" and "/.quilt/packages/" in call.detail
    }
    # What came in within the seconds of the first look is looked at again.
    assert top_hash in opened


def test_what_is_mended_is_told_no_more(fresh: Registry) -> None:
    names = missing(fresh)
    odd = point(fresh, "team/odd", GOOD, entry("10.5"))
    assert set(gaps(fresh)) == {"missing_manifests", "odd_sizes"}
    put(fresh, f".quilt/packages/{'0' * 64}", GOOD + "\n" + entry() + "\n")
    fresh.s3.delete_object(Bucket=fresh.bucket, Key=".quilt/named_packages/team/two/empty")
    put(fresh, f".quilt/packages/{odd}", GOOD + "\n" + entry() + "\n")
    assert gaps(fresh) == {}
    assert len(names) == 2


def test_a_manifest_that_goes_is_missed_wherever_its_pointers_are(fresh: Registry) -> None:
    assert gaps(fresh) == {}
    top_hash = fresh.rows(f"SELECT top_hash FROM {fresh.names.tags} WHERE pkg_name = 'team/one'")[0][0]
    fresh.s3.delete_object(Bucket=fresh.bucket, Key=f".quilt/packages/{top_hash}")
    assert gaps(fresh) == {
        "missing_manifests": (2, [f"team/one/{BASE} {top_hash}", f"team/one/latest {top_hash}"])
    }


def test_views_made_anew_are_checked_anew(fresh: Registry) -> None:
    assert gaps(fresh) == {}
    fresh.lab.client("glue").delete_table(DatabaseName=fresh.lab.database, Name=fresh.names.tags)
    fresh.aws.clear_calls()
    assert gaps(fresh) == {}
    assert len(fresh.lab.started()) == 2  # the view, and the check


def test_a_check_that_is_not_wanted_costs_nothing(fresh: Registry) -> None:
    fresh.aws.clear_calls()
    assert "incomplete" not in views(fresh, check_completeness=False, find_hidden=False)
    assert len(fresh.lab.started()) == len(fresh.names.views)
    listed = [call for call in fresh.aws.calls if call.operation == "ListObjectsV2" and not call.by_athena]
    assert len(listed) == 1  # whether the bucket holds packages at all, before anything is made for it
