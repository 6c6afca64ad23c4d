"""The tables and views of a bucket, on packages made with quilt3; what is expected is asked of quilt3.

What the statements of Quilt's documentation of 2022 do wrong, and the test that shows it beside ours:

 1  package metadata is always NULL
        test_package_metadata_is_there_which_the_seed_never_shows
 2  a file's user metadata is as well
        test_an_entrys_user_metadata_is_there_which_the_seed_never_shows
 3  ``latest`` doubles revisions
        test_a_revision_is_one_row_where_the_seed_has_latest_again
 4  malformed lines are headers
        test_one_damaged_line_multiplies_the_seeds_rows_and_not_ours
 5  directories are files
        test_directories_are_no_files_which_the_seed_shows_without_keys
 6  keys of metadata lose their case
        test_keys_of_metadata_keep_their_case_which_the_seed_loses
        test_keys_that_differ_in_case_alone_cost_no_line_which_the_seed_loses
 7  sizes are text
        test_sizes_add_up_which_are_text_in_the_seeds_view
 8  locations have no slash at their end
        test_locations_end_in_a_slash_which_the_seeds_do_not
 9  times are text, and ``latest`` is among them
        test_the_pointer_latest_is_no_time_which_the_seeds_column_says_it_is
10  names are not quoted, and shared
        test_a_bucket_with_dots_and_digits_works_where_the_seeds_names_do_not
        test_two_buckets_have_names_of_their_own_where_the_seeds_collide
11  views are dropped, and then made
        test_making_the_views_again_works_where_the_seeds_statements_fail
        test_between_the_seeds_two_statements_readers_find_no_view
        test_a_reader_never_finds_a_view_missing_while_it_is_replaced
12  a view on a view multiplies what is wrong in the other
        test_the_objects_view_stands_alone_where_the_seeds_compounds_and_falls_with_another
13  every query reads everything; in test_quilt_revisions.py
        test_a_day_opens_its_own_manifests_where_the_seeds_view_opens_all
14  hidden packages are missing without a word
        test_packages_no_query_shows_are_named_where_the_seed_is_silent
15  what follows a comma in a pointer is not seen
        test_a_pointer_that_holds_more_than_a_hash_is_none_which_the_seed_takes
16  nothing tells some rows apart
        test_package_time_and_key_tell_rows_apart_which_the_seeds_columns_do_not
17  orphan manifests: here the seed is right, and so are we
        test_manifests_without_a_pointer_are_not_shown
18  keys are percent-encoded
        test_a_file_is_found_by_its_key_which_the_seed_gives_encoded
19  the documented example finds nothing
        test_the_documented_example_finds_what_it_asks_for_which_the_seeds_does_not
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.table_ddl import define_tables, render_create_table
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, ManualActionError, QueryFailedError
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.hidden_packages import find_hidden_packages
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from airflow_quilt_athena.flows.quilt.sources import SourceKind, parse_source
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from local_athena import Fault, LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements
from tests.integration.lab import Lab, connection
from tests.integration.quilt_registry import (
    AWKWARD,
    BASE,
    DAY,
    TWIN,
    Registry,
    Truth,
    browse,
    entries_in,
    push,
    push_examples,
    reached_by_quilt3,
    revisions_in,
)

pytestmark = pytest.mark.integration

Unique = Callable[[str], str]


@pytest.fixture(scope="module")
def pushed(aws: LocalAthena) -> Registry:
    """A registry as people make them with quilt3."""
    registry = Registry(aws)
    push_examples(registry)
    registry.refresh()
    return registry


@pytest.fixture(scope="module")
def truth(pushed: Registry) -> Truth:
    """What is in it, says quilt3."""
    with reached_by_quilt3(pushed.aws) as quilt3:
        return browse(quilt3, pushed.uri)


AFTER_2038 = 4_102_444_800  # 2100-01-01T00:00:00Z: more seconds than 32 bits hold


@pytest.fixture(scope="module")
def damaged(aws: LocalAthena) -> Registry:
    """A registry with what time, other clients and bad luck leave in one."""
    registry = Registry(aws)
    with reached_by_quilt3(aws) as quilt3:
        top_hash = push(quilt3, registry.uri, "team/torn", TWIN, at=BASE, message="torn")
        key = f".quilt/packages/{top_hash}"
        body = registry.s3.get_object(Bucket=registry.bucket, Key=key)["Body"].read()
        torn = body + b'{"logical_key": "torn.txt", "physi\n\nnot json at all\n{"a": NaN}\n'
        registry.s3.put_object(Bucket=registry.bucket, Key=key, Body=torn)
    directory = registry.put_manifest(
        '{"version": "v0", "message": null}',
        '{"logical_key": "sub/", "meta": {"dirmeta": 1}}',
        '{"logical_key": "sub/a.txt", "physical_keys": ["s3://b/sub/a.txt"], "size": 1, '
        '"hash": {"type": "SHA256", "value": "ab12"}, "meta": {}}',
    )
    registry.put_pointer("team/directory", str(AFTER_2038), directory)
    registry.put_pointer("team/directory", "latest", directory)
    legacy = registry.put_manifest(
        json.dumps(
            {
                "version": "v0",
                "message": "old",
                "workflow": {"id": "alpha", "config": "s3://b/.quilt/workflows/config.yml"},
                "top_hash": {"alg": "v0", "value": "x"},
            }
        ),
        *(
            json.dumps(
                {
                    "logical_key": logical,
                    "physical_keys": [physical],
                    "size": size,
                    "hash": found,
                    "meta": None,
                }
            )
            for logical, physical, size, found in LEGACY
        ),
        '{"logical_key": "empty.txt", "physical_keys": [], "size": 1, "hash": null, "meta": {}}',
    )
    registry.put_pointer("team/legacy", str(BASE + 2), legacy + "\n")  # as an editor would save it
    registry.put_pointer("team/legacy", "latest", legacy)
    registry.put_pointer("team/legacy", "stable", legacy)
    registry.put_pointer("team/legacy", "1" * 20, legacy)  # neither a revision nor a tag
    registry.put_pointer("team/legacy", str(BASE + 3), "not a hash")
    registry.put_pointer("team/legacy/deeper", str(BASE + 4), legacy)
    registry.s3.put_object(
        Bucket=registry.bucket, Key=f".quilt/packages/1220{legacy}.parquet", Body=b"PAR1\n\x00\x01\nPAR1"
    )
    registry.refresh()
    return registry


SHA = {"type": "SHA256", "value": "ab12"}
LEGACY: tuple[tuple[str, str, Any, Any], ...] = (
    ("relative.md", "./manual/force/ONLYME.md", 10, SHA),
    ("local.md", "file:///home/ada/local.md", 10, SHA),
    ("text-size.md", "s3://b/text.md", "10", SHA),
    ("odd-size.md", "s3://b/odd.md", "ten", SHA),
    ("bad-escape.md", "s3://b/bad%zz.md?versionId=v%2F1", 10, SHA),
    ("plus.md", "s3://b/a+b%20c.md", 10, None),
)


# ------------------------------------------------------------------------------------- clean views


def test_entries_are_the_files_quilt3_sees(pushed: Registry, truth: Truth) -> None:
    assert len(truth.entries) == 3 + 2 + 1 + len(AWKWARD)
    assert entries_in(pushed, pushed.names.entries) == truth.entries


def test_revisions_are_the_revisions_quilt3_sees(pushed: Registry, truth: Truth) -> None:
    assert revisions_in(pushed, pushed.names.revisions) == truth.revisions
    dates = pushed.rows(f"SELECT revision_at, revision_date FROM {pushed.names.revisions}")
    assert all(str(date) == str(at)[:10] for at, date in dates)


def test_every_package_has_exactly_one_latest_revision(pushed: Registry) -> None:
    latest = pushed.rows(f"SELECT pkg_name, pointer FROM {pushed.names.revisions} WHERE is_latest")
    assert latest == sorted(
        [
            ("empty/package", str(BASE + 3 * DAY)),
            ("team/copy", str(BASE + 30)),
            ("team/plates", str(BASE)),  # rolled back to
            ("team/twin", str(BASE + 20)),  # the newer of two pushes of the same content
            ("юзер/пакет", str(BASE + 2 * DAY)),
        ],
        key=repr,
    )


def test_tags_are_the_pointers_that_are_no_revisions(pushed: Registry, truth: Truth) -> None:
    rows = pushed.rows(f"SELECT pkg_name, tag_name, top_hash FROM {pushed.names.tags}")
    assert len(rows) == len(truth.tags)
    assert set(rows) == truth.tags


def test_columns_have_the_types_that_are_promised(pushed: Registry) -> None:
    def types(view: str) -> dict[str, str]:
        rows = pushed.rows(
            "SELECT column_name, data_type FROM information_schema.columns "
            f"WHERE table_schema = '{pushed.lab.database}' AND table_name = '{view}'"
        )
        return {str(name): str(kind) for name, kind in rows}

    text = "varchar"
    assert types(pushed.names.revisions) == {
        "pkg_name": text, "top_hash": text, "pointer": text, "revision_at": "timestamp(3)",
        "revision_date": "date", "is_latest": "boolean", "message": text, "user_meta": text, "workflow": text,
    }  # fmt: skip
    assert types(pushed.names.tags) == {"pkg_name": text, "tag_name": text, "top_hash": text}
    assert types(pushed.names.entries) == {
        "pkg_name": text, "top_hash": text, "revision_at": "timestamp(3)", "revision_date": "date",
        "is_latest": "boolean", "logical_key": text, "physical_key": text, "bucket": text, "key": text,
        "version_id": text, "size": "bigint", "hash_type": text, "hash_value": text, "meta": text,
    }  # fmt: skip


def test_a_day_is_found_by_its_date_in_utc(pushed: Registry) -> None:
    rows = pushed.rows(
        f"SELECT pkg_name, message FROM {pushed.names.revisions} WHERE revision_date = DATE '2026-01-02'"
    )
    assert rows == [("team/plates", 'third, "final"')]


# ------------------------------------------------------------------- what breaks others' views, here


def test_lines_that_are_no_json_make_no_rows(damaged: Registry) -> None:
    names = damaged.names
    assert damaged.rows(f"SELECT message FROM {names.revisions} WHERE pkg_name = 'team/torn'") == [("torn",)]
    rows = damaged.rows(f"SELECT logical_key, size FROM {names.entries} WHERE pkg_name = 'team/torn'")
    assert rows == [("same.txt", "4")]


def test_directories_are_no_files(damaged: Registry) -> None:
    sql = f"SELECT logical_key FROM {damaged.names.entries} WHERE pkg_name = 'team/directory'"
    assert damaged.rows(sql) == [("sub/a.txt",)]


def test_what_cannot_be_read_is_null_and_spoils_nothing_else(damaged: Registry) -> None:
    rows = damaged.rows(
        'SELECT logical_key, "bucket", "key", version_id, size, hash_type '
        f"FROM {damaged.names.entries} WHERE pkg_name = 'team/legacy'"
    )
    assert {str(row[0]): row[1:] for row in rows} == {
        "relative.md": (None, None, None, "10", "SHA256"),
        "local.md": (None, None, None, "10", "SHA256"),
        "text-size.md": ("b", "text.md", None, "10", "SHA256"),
        "odd-size.md": ("b", "odd.md", None, None, "SHA256"),
        "bad-escape.md": ("b", None, "v/1", "10", "SHA256"),
        "plus.md": ("b", "a+b c.md", None, "10", None),
    }


def test_only_pointers_are_revisions_and_tags(damaged: Registry) -> None:
    revisions_ = damaged.rows(f"SELECT pkg_name, pointer, is_latest FROM {damaged.names.revisions}")
    assert revisions_ == [
        ("team/directory", str(AFTER_2038), "true"),
        ("team/legacy", str(BASE + 2), "true"),
        ("team/torn", str(BASE), "true"),
    ]
    tags = damaged.rows(f"SELECT pkg_name, tag_name FROM {damaged.names.tags}")
    assert tags == [
        ("team/directory", "latest"),
        ("team/legacy", "latest"),
        ("team/legacy", "stable"),
        ("team/torn", "latest"),
    ]


def test_a_revisions_time_is_right_beyond_32_bits_of_seconds(damaged: Registry) -> None:
    at = f"SELECT revision_at, revision_date FROM {damaged.names.revisions} WHERE pointer = '{AFTER_2038}'"
    assert damaged.rows(at) == [("2100-01-01 00:00:00.000", "2100-01-01")]


def test_the_workflow_of_a_revision_is_json_text(damaged: Registry) -> None:
    (row,) = damaged.rows(
        f"SELECT json_extract_scalar(workflow, '$.id') FROM {damaged.names.revisions} "
        "WHERE pkg_name = 'team/legacy'"
    )
    assert row == ("alpha",)


# --------------------------------------------------------------------------- beside the seed's views


@pytest.fixture(scope="module")
def seed(pushed: Registry) -> dict[str, str]:
    return pushed.seed()


@pytest.fixture(scope="module")
def damaged_seed(damaged: Registry) -> dict[str, str]:
    return damaged.seed()


def test_compatible_views_have_the_pointers_and_files_of_the_seeds(
    pushed: Registry, seed: dict[str, str]
) -> None:
    packages = 'SELECT "user", "name", "hash", "timestamp", "message" FROM '
    assert pushed.rows(packages + pushed.names.packages_view) == pushed.rows(packages + seed["packages"])
    objects = (
        'SELECT "user", "name", "timestamp", "tophash", "logical_key", "physical_keys", "size", "hash" FROM '
    )
    assert pushed.rows(objects + pushed.names.objects_view) == pushed.rows(objects + seed["objects"])


def test_compatible_views_have_the_columns_and_types_of_the_seeds(
    pushed: Registry, seed: dict[str, str]
) -> None:
    def describe(database: str, view: str) -> list[tuple[str, str]]:
        table = pushed.aws.client("glue").get_table(DatabaseName=database, Name=view)["Table"]
        return [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]

    for view in (pushed.names.packages_view, pushed.names.objects_view):
        assert describe(pushed.lab.database, view) == describe(f"{pushed.lab.database}_seed", view)


def test_package_metadata_is_there_which_the_seed_never_shows(pushed: Registry, seed: dict[str, str]) -> None:
    where = " WHERE \"user\" = 'юзер' AND \"timestamp\" = 'latest'"
    assert pushed.rows(f"SELECT meta FROM {seed['packages']}{where}") == [(None,)]
    ((meta,),) = pushed.rows(f"SELECT meta FROM {pushed.names.packages_view}{where}")
    assert json.loads(str(meta))["Experiment"] == "EXP-7"


def test_an_entrys_user_metadata_is_there_which_the_seed_never_shows(
    pushed: Registry, seed: dict[str, str]
) -> None:
    where = " WHERE logical_key = '100%.txt' AND \"timestamp\" = 'latest'"
    assert pushed.rows(f"SELECT user_meta FROM {seed['objects']}{where}") == [(None,)]
    ((meta,),) = pushed.rows(f"SELECT user_meta FROM {pushed.names.objects_view}{where}")
    assert json.loads(str(meta)) == {"percent": "100 %"}


@pytest.mark.not_on_trino("Athena's OpenX SerDe lowers the case of nested keys, Trino's own keeps it")
def test_keys_of_metadata_keep_their_case_which_the_seed_loses(
    pushed: Registry, seed: dict[str, str]
) -> None:
    ask = "SELECT DISTINCT json_extract_scalar(meta, '$.user_meta.{}') FROM {} WHERE logical_key = 'same.txt'"
    assert pushed.rows(ask.format("Kind", seed["objects"])) == [(None,)]
    assert pushed.rows(ask.format("kind", seed["objects"])) == [("Twin",)]
    assert pushed.rows(ask.format("Kind", pushed.names.objects_view)) == [("Twin",)]
    assert pushed.rows(ask.format("Kind", pushed.names.entries)) == [("Twin",)]


def test_a_revision_is_one_row_where_the_seed_has_latest_again(
    pushed: Registry, seed: dict[str, str]
) -> None:
    ((seen,),) = pushed.rows(f"SELECT count(*) FROM {seed['packages']}")
    ((ours,),) = pushed.rows(f"SELECT count(*) FROM {pushed.names.revisions}")
    assert (seen, ours) == (str(8 + 5), "8")


def test_one_damaged_line_multiplies_the_seeds_rows_and_not_ours(
    damaged: Registry, damaged_seed: dict[str, str]
) -> None:
    where = " WHERE \"name\" = 'torn'"
    pointers = Counter(
        row[0] for row in damaged.rows(f'SELECT "timestamp" FROM {damaged_seed["packages"]}{where}')
    )
    assert min(pointers.values()) > 1
    ours = damaged.rows(f'SELECT "timestamp", message FROM {damaged.names.packages_view}{where}')
    assert ours == [(str(BASE), "torn"), ("latest", "torn")]
    objects = f'SELECT "timestamp", logical_key FROM {damaged.names.objects_view}{where}'
    assert damaged.rows(objects) == [(str(BASE), "same.txt"), ("latest", "same.txt")]
    assert len(damaged.rows(objects.replace(damaged.names.objects_view, damaged_seed["objects"]))) > 2


def test_sizes_add_up_which_are_text_in_the_seeds_view(
    pushed: Registry, truth: Truth, seed: dict[str, str]
) -> None:
    with pytest.raises(QueryFailedError):
        pushed.rows(f"SELECT sum(size) FROM {seed['objects']}")
    expected = sum(entry.size for entry in truth.entries)
    assert pushed.rows(f"SELECT sum(size) FROM {pushed.names.entries}") == [(str(expected),)]


def test_the_pointer_latest_is_no_time_which_the_seeds_column_says_it_is(
    pushed: Registry, seed: dict[str, str]
) -> None:
    with pytest.raises(QueryFailedError):
        pushed.rows(f'SELECT from_unixtime(CAST("timestamp" AS bigint)) FROM {seed["packages"]}')
    ((newest,),) = pushed.rows(f"SELECT max(revision_at) FROM {pushed.names.revisions}")
    assert newest == "2026-01-04 00:00:00.000"


def test_a_file_is_found_by_its_key_which_the_seed_gives_encoded(
    pushed: Registry, seed: dict[str, str]
) -> None:
    key = "юзер/пакет/a b/c d#1?.txt"
    sql = "SELECT logical_key FROM {} WHERE {} = '{}'"
    assert pushed.rows(sql.format(pushed.names.entries, '"key"', key)) == [("a b/c d#1?.txt",)]
    encoded = "element_at(physical_keys, 1)"
    assert pushed.rows(sql.format(seed["objects"], encoded, f"{pushed.uri}/{key}")) == []


def test_a_bucket_with_dots_and_digits_works_where_the_seeds_names_do_not(
    pushed: Registry,
) -> None:
    bucket = f"1st.data.{uuid.uuid4().hex[:8]}"
    pushed.s3.create_bucket(Bucket=bucket)
    statements = seed_statements(f"{pushed.lab.database}_seed", bucket)
    with pytest.raises(QueryFailedError):
        pushed.lab.run(statements[f"{bucket}_quilt_manifests"])
    assert pushed.refresh(buckets=(bucket,)).changed
    names = BucketNames.of(bucket)
    for view in names.views:
        assert pushed.rows(f"SELECT count(*) FROM {view}") == [("0",)]


def test_making_the_views_again_works_where_the_seeds_statements_fail(
    pushed: Registry, seed: dict[str, str]
) -> None:
    statements = seed_statements(f"{pushed.lab.database}_seed", pushed.bucket)
    with pytest.raises(QueryFailedError, match=r"(?i)already exists"):
        pushed.lab.run(statements[pushed.names.packages_view])
    assert not pushed.refresh().changed


@pytest.fixture(scope="module")
def worn(aws: LocalAthena) -> Registry:
    """A registry of many years: every hash type, odd metadata, hidden and orphaned packages."""
    registry = Registry(aws)
    with reached_by_quilt3(aws) as quilt3:
        for name in ("team/seen", "_drafts/plate-7", "team/_x"):
            push(quilt3, registry.uri, name, TWIN, at=BASE)
    old = registry.put_manifest(
        '{"version": "v0", "message": "old", "user_meta": {"Ratio": NaN}}',
        '{"logical_key": "nan.txt", "physical_keys": ["s3://b/nan.txt"], "size": 1, '
        '"hash": {"type": "SHA256", "value": "ab12"}, '
        '"meta": {"user_meta": {"Score": NaN, "Low": -Infinity}}}',
        '{"logical_key": "case.txt", "physical_keys": ["s3://b/case.txt"], "size": 2, '
        '"hash": {"type": "CRC64NVME", "value": "q1c="}, "meta": {"user_meta": {"Kind": 1, "kind": 2}}}',
        LARGE_RECORD,
    )
    registry.put_pointer("old/pkg", str(BASE + 1), old)
    registry.put_pointer("old/pkg", "latest", old)
    registry.put_revision("team/comma", BASE + 2, "a.txt")
    more = registry.put_revision("team/comma", BASE + 3, "b.txt")
    registry.put_pointer("team/comma", str(BASE + 3), f"{more},and more")
    registry.put_revision("gone/orphan", BASE + 4, "orphan.txt", message="orphan")
    key = f".quilt/named_packages/gone/orphan/{BASE + 4}"
    registry.s3.delete_object(Bucket=registry.bucket, Key=key)
    registry.refresh()
    return registry


_LARGE_START = (
    '{"logical_key": "large.txt", "physical_keys": ["s3://b/large.txt"], "size": 3, '
    '"hash": {"type": "sha2-256-chunked", "value": "q1c="}, "meta": {"user_meta": {"Text": "'
)
LARGE_RECORD = _LARGE_START + "x" * (1_000_000 - len(_LARGE_START) - 4) + '"}}}'  # quilt3's limit


@pytest.fixture(scope="module")
def worn_seed(worn: Registry) -> dict[str, str]:
    return worn.seed()


def test_every_type_of_hash_and_the_largest_record_are_read(worn: Registry) -> None:
    assert len(LARGE_RECORD) == 1_000_000
    rows = worn.rows(
        "SELECT logical_key, hash_type, hash_value, length(json_extract_scalar(meta, '$.user_meta.Text')) "
        f"FROM {worn.names.entries} WHERE pkg_name = 'old/pkg'"
    )
    assert rows == [
        ("case.txt", "CRC64NVME", "q1c=", None),
        ("large.txt", "sha2-256-chunked", "q1c=", str(1_000_000 - len(_LARGE_START) - 4)),
        ("nan.txt", "SHA256", "ab12", None),
    ]


def test_numbers_that_are_no_json_cost_neither_line_nor_value(worn: Registry) -> None:
    """quilt3 wrote NaN into manifests before 6.3.1."""
    scalar = "json_extract_scalar(meta, '$.user_meta.{}')"
    rows = worn.rows(
        f"SELECT {scalar.format('Score')}, {scalar.format('Low')} FROM {worn.names.entries} "
        "WHERE logical_key = 'nan.txt'"
    )
    assert rows == [("NaN", "-Infinity")]
    headers = f"SELECT message, json_extract_scalar(user_meta, '$.Ratio') FROM {worn.names.revisions}"
    assert worn.rows(f"{headers} WHERE pkg_name = 'old/pkg'") == [("old", "NaN")]


@pytest.mark.not_on_trino("Athena's OpenX SerDe lowers the case of nested keys, Trino's own keeps it")
def test_keys_that_differ_in_case_alone_cost_no_line_which_the_seed_loses(
    worn: Registry, worn_seed: dict[str, str]
) -> None:
    sql = "SELECT DISTINCT meta FROM {} WHERE logical_key = 'case.txt'"
    assert worn.rows(sql.format(worn_seed["objects"])) == []
    ((meta,),) = worn.rows(sql.format(worn.names.entries))
    assert json.loads(str(meta)) == {"user_meta": {"Kind": 1, "kind": 2}}


def test_directories_are_no_files_which_the_seed_shows_without_keys(
    damaged: Registry, damaged_seed: dict[str, str]
) -> None:
    seen = f"SELECT logical_key, physical_keys FROM {damaged_seed['objects']} WHERE logical_key = 'sub/'"
    assert set(damaged.rows(seen)) == {("sub/", None)}
    ours = f"SELECT logical_key FROM {damaged.names.entries} WHERE pkg_name = 'team/directory'"
    assert damaged.rows(ours) == [("sub/a.txt",)]


def test_locations_end_in_a_slash_which_the_seeds_do_not(pushed: Registry, seed: dict[str, str]) -> None:
    glue = pushed.lab.client("glue")

    def ends(database: str) -> set[bool]:
        tables = [glue.get_table(DatabaseName=database, Name=name)["Table"] for name in pushed.names.tables]
        return {table["StorageDescriptor"]["Location"].endswith("/") for table in tables}

    assert (ends(f"{pushed.lab.database}_seed"), ends(pushed.lab.database)) == ({False}, {True})


def test_two_buckets_have_names_of_their_own_where_the_seeds_collide(pushed: Registry) -> None:
    buckets = ("acme.data-raw", "acme-data.raw", "acme_data_raw", "Acme-Data-Raw")
    seeds = [{name.replace(".", "_").lower() for name in seed_statements("x", bucket)} for bucket in buckets]
    assert set.intersection(*seeds) == seeds[0]
    ours = [{*BucketNames.of(bucket).tables, *BucketNames.of(bucket).views} for bucket in buckets]
    assert len(set.union(*ours)) == 8 * len(buckets)


def test_the_objects_view_stands_alone_where_the_seeds_compounds_and_falls_with_another(
    fresh: Registry,
) -> None:
    torn = ["", "no json", '{"logical_key": "torn']
    header = '{"version": "v0", "message": "m"}'
    line = '{"logical_key": "a", "physical_keys": ["s3://b/a"], "size": 7, "hash": null, "meta": {}}'
    top_hash = fresh.put_manifest(header, line, *torn)
    fresh.put_pointer("x/y", str(BASE), top_hash)
    fresh.put_pointer("x/y", "latest", top_hash)
    fresh.refresh()
    seed = fresh.seed()
    ours, theirs = (
        f'SELECT "timestamp", logical_key FROM {view}' for view in (fresh.names.objects_view, seed["objects"])
    )
    wanted = [(str(BASE), "a"), ("latest", "a")]
    assert fresh.rows(ours) == wanted
    assert Counter(fresh.rows(theirs)) == dict.fromkeys(wanted, 1 + len(torn))
    for view in (seed["packages"], fresh.names.packages_view):
        fresh.lab.run(f"DROP VIEW {view}")
    assert fresh.rows(ours) == wanted
    with pytest.raises(QueryFailedError, match=r"(?i)does not exist"):
        fresh.rows(theirs)


def test_packages_no_query_shows_are_named_where_the_seed_is_silent(
    worn: Registry, worn_seed: dict[str, str]
) -> None:
    hidden = ("_drafts/plate-7", "team/_x")
    shown = {name for (name,) in worn.rows(f'SELECT "user" || \'/\' || "name" FROM {worn_seed["packages"]}')}
    shown |= {name for (name,) in worn.rows(f"SELECT pkg_name FROM {worn.names.revisions}")}
    assert "team/seen" in shown
    assert not shown.intersection(hidden)
    assert find_hidden_packages(worn.s3, worn.bucket) == hidden


def test_a_pointer_that_holds_more_than_a_hash_is_none_which_the_seed_takes(
    worn: Registry, worn_seed: dict[str, str]
) -> None:
    seen = f'SELECT "timestamp" FROM {worn_seed["packages"]} WHERE "name" = \'comma\''
    assert (str(BASE + 3),) in worn.rows(seen)
    ours = f"SELECT pointer FROM {worn.names.revisions} WHERE pkg_name = 'team/comma'"
    assert worn.rows(ours) == [(str(BASE + 2),)]


def test_package_time_and_key_tell_rows_apart_which_the_seeds_columns_do_not(
    pushed: Registry, truth: Truth, seed: dict[str, str]
) -> None:
    """One manifest belongs to team/copy and twice to team/twin, where its file is three rows."""
    key = '"user", "name", tophash, logical_key'
    doubled = f"SELECT {key}, count(*) FROM {seed['objects']} GROUP BY {key} HAVING count(*) > 1"
    assert pushed.rows(doubled) != []
    key = "pkg_name, revision_at, logical_key"
    assert pushed.rows(f"SELECT {key} FROM {pushed.names.entries} GROUP BY {key} HAVING count(*) > 1") == []
    shared = f"SELECT count(*), count(DISTINCT top_hash) FROM {pushed.names.entries}"
    assert pushed.rows(f"{shared} WHERE logical_key = 'same.txt'") == [("3", "1")]


def test_manifests_without_a_pointer_are_not_shown(worn: Registry, worn_seed: dict[str, str]) -> None:
    lines = f"SELECT message FROM {worn.names.manifests} WHERE message = 'orphan'"
    assert worn.rows(lines) == [("orphan",)]
    for view in (worn.names.revisions, worn.names.packages_view, worn_seed["packages"]):
        assert worn.rows(f"SELECT message FROM {view} WHERE message = 'orphan'") == []
    for view in (worn.names.entries, worn.names.objects_view, worn_seed["objects"]):
        assert worn.rows(f"SELECT logical_key FROM {view} WHERE logical_key = 'orphan.txt'") == []


def test_the_documented_example_finds_what_it_asks_for_which_the_seeds_does_not(fresh: Registry) -> None:
    """Files of algorithm 1.3 with a cell index of 5, and the packages that say so of themselves."""
    meta = {"NucMembAlgorithmVersion": "1.3.1", "CellIndex": [4, 5]}
    with reached_by_quilt3(fresh.aws) as quilt3:
        push(quilt3, fresh.uri, "cells/one", {"a.tiff": ("x", meta)}, at=BASE, meta=meta)
    fresh.refresh()
    asked = (
        "SELECT logical_key FROM {} WHERE substr(logical_key, -5) = '.tiff' "
        "AND json_extract_scalar(meta, '$.user_meta.NucMembAlgorithmVersion') LIKE '1.3%' "
        "AND json_array_contains(json_extract(meta, '$.user_meta.CellIndex'), {})"
    )
    assert fresh.rows(asked.format(fresh.seed()["objects"], "'5'")) == []
    assert fresh.rows(asked.format(fresh.names.entries, "5")) == [("a.tiff",)]
    of_package = "json_array_contains(json_extract(user_meta, '$.CellIndex'), 5)"
    found = f"SELECT pkg_name FROM {fresh.names.revisions} WHERE {of_package}"
    assert fresh.rows(found) == [("cells/one",)]


def test_between_the_seeds_two_statements_readers_find_no_view(fresh: Registry) -> None:
    views = fresh.seed()
    statement = seed_statements(f"{fresh.lab.database}_seed", fresh.bucket)[fresh.names.packages_view]
    fresh.lab.run(f"DROP TABLE `{views['packages']}`")
    with pytest.raises(QueryFailedError):
        fresh.rows(f"SELECT * FROM {views['objects']}")
    fresh.lab.run(statement)
    assert fresh.rows(f"SELECT * FROM {views['objects']}") == []


# ------------------------------------------------------------------------------------------ refresh


@pytest.fixture
def fresh(aws: LocalAthena) -> Registry:
    return Registry(aws)


def _actions(plan: Plan) -> Counter[str]:
    return Counter(step.action.value for step in plan.steps)


def test_unchanged_costs_no_query_and_one_page_of_tables(fresh: Registry) -> None:
    assert _actions(fresh.refresh()) == {"created": 8}
    fresh.aws.clear_calls()
    assert _actions(fresh.refresh()) == {"unchanged": 8}
    calls = [call.operation for call in fresh.aws.calls if not call.by_athena]
    assert calls == ["GetTables"]


def test_unchanged_costs_one_page_for_each_hundred_tables(fresh: Registry) -> None:
    fresh.refresh()
    glue = fresh.lab.client("glue")
    for number in range(100):
        glue.create_table(DatabaseName=fresh.lab.database, TableInput={"Name": f"other_{number}"})
    fresh.aws.clear_calls()
    assert not fresh.refresh().changed
    assert [call.operation for call in fresh.aws.calls] == ["GetTables"] * 2


def test_the_log_says_what_differed(fresh: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.aws.client("s3").put_object(Bucket=fresh.bucket, Key=".quilt/named_packages/a/b/latest", Body=b"")
    fresh.refresh()
    fresh.lab.run(f"CREATE OR REPLACE VIEW {fresh.names.tags} AS SELECT 1 AS mine")
    fresh.lab.run(f"ALTER TABLE {fresh.names.packages} SET TBLPROPERTIES ('skip.header.line.count' = '1')")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(fresh.aws))
    operator = CreateBucketViewsOperator(
        task_id="views",
        bucket=fresh.bucket,
        database=fresh.lab.database,
        workgroup=fresh.lab.workgroup,
    )
    logged: list[str] = []
    monkeypatch.setattr(operator.log, "info", lambda text, *values: logged.append(text % values))
    fresh.lab.run_task(operator)
    text = "\n".join(logged)
    assert "definition: not by this package: SELECT 1 AS mine → statement " in text
    assert "skip.header.line.count: 1 → removed" in text


def test_a_view_changed_by_hand_is_put_right_and_nothing_else_is_touched(fresh: Registry) -> None:
    fresh.refresh()
    fresh.lab.run(f"CREATE OR REPLACE VIEW {fresh.names.tags} AS SELECT 1 AS mine")
    fresh.aws.clear_calls()
    plan = fresh.refresh()
    (step,) = (step for step in plan.steps if step.does_something)
    assert step.name == f"{fresh.lab.database}.{fresh.names.tags}"
    assert "mine" in str(step.details[0])
    assert len(fresh.lab.started()) == 1
    assert fresh.rows(f"SELECT * FROM {fresh.names.tags}") == []
    assert not fresh.refresh().changed


def test_a_view_changed_behind_athenas_back_is_noticed(fresh: Registry) -> None:
    fresh.refresh()
    glue = fresh.aws.client("glue")
    where = {"DatabaseName": fresh.lab.database, "Name": fresh.names.tags}
    table = glue.get_table(**where)["Table"]
    other = glue.get_table(**{**where, "Name": fresh.names.revisions})["Table"]
    glue.update_table(
        DatabaseName=fresh.lab.database,
        TableInput={
            "Name": fresh.names.tags,
            "TableType": "VIRTUAL_VIEW",
            "PartitionKeys": [],
            "Parameters": table["Parameters"],  # our marks stay
            "ViewOriginalText": other["ViewOriginalText"],
            "ViewExpandedText": other["ViewExpandedText"],
            "StorageDescriptor": other["StorageDescriptor"],
        },
    )
    plan = fresh.refresh()
    assert [step.name for step in plan.steps if step.does_something] == [
        f"{fresh.lab.database}.{fresh.names.tags}"
    ]
    assert not fresh.refresh().changed


def test_tables_and_views_of_the_seed_are_adopted(fresh: Registry) -> None:
    for statement in seed_statements(fresh.lab.database, fresh.bucket).values():
        fresh.lab.run(statement)
    plan = fresh.refresh()
    assert _actions(plan) == {"changed": 4, "created": 4}
    (manifests, *_) = plan.steps
    assert {detail.setting for detail in manifests.details} == {
        "adopt",
        "columns",
        "location",
        "output format",
        "serde property case.insensitive",
    }
    assert not fresh.refresh().changed


def test_a_table_of_our_name_over_other_files_is_refused_and_stays(fresh: Registry) -> None:
    fresh.lab.run(
        f"CREATE EXTERNAL TABLE {fresh.names.manifests} (a string) LOCATION 's3://{fresh.lab.bucket}/theirs/'"
    )
    with pytest.raises(ManualActionError, match=r"its location is s3://.*/theirs/"):
        fresh.refresh()
    assert fresh.lab.tables() == {fresh.names.manifests}


def test_a_table_changed_by_hand_is_put_right_and_the_plan_says_what_differed(fresh: Registry) -> None:
    fresh.refresh()
    fresh.lab.run(
        f"ALTER TABLE {fresh.names.packages} SET TBLPROPERTIES ('skip.header.line.count' = '1', 'team' = 'x')"
    )
    plan = fresh.refresh()
    (step,) = (step for step in plan.steps if step.does_something)
    assert [str(detail) for detail in step.details] == ["table property skip.header.line.count: 1 → removed"]
    assert not fresh.refresh().changed


def test_athena_makes_the_same_tables_of_the_ddl_as_we_make_through_glue(fresh: Registry) -> None:
    for definition in define_tables(fresh.names):
        fresh.lab.run(render_create_table(definition, fresh.lab.database))
    plan = fresh.refresh()
    assert [step.action.value for step in plan.steps if step.resource == "table"] == ["unchanged"] * 2


def test_a_database_that_does_not_exist_is_a_clear_error(fresh: Registry) -> None:
    with pytest.raises(InvalidCallError, match="Database nowhere does not exist"):
        fresh.refresh(database="nowhere")


def test_many_buckets_are_refreshed_at_once(fresh: Registry, unique: Unique) -> None:
    buckets = tuple(f"{unique('many')}-{number}".replace("_", "-") for number in range(3))
    for bucket in buckets:
        fresh.s3.create_bucket(Bucket=bucket)
    assert _actions(fresh.refresh(buckets=buckets)) == {"created": 24}
    assert not fresh.refresh(buckets=buckets).changed


# ------------------------------------------------------------------------------------------ sources


def _make_platform_tables(registry: Registry) -> str:
    """The tables a Quilt platform keeps, by its names and columns."""
    database = f"{registry.lab.database}-platform"
    registry.aws.client("glue").create_database(DatabaseInput={"Name": database})
    for statement in seed_statements(registry.lab.database, registry.bucket).values():
        if "EXTERNAL TABLE" in statement:
            statement = statement.replace(
                f"`{registry.lab.database}.{registry.names.manifests}`",
                f"`{database}`.`{registry.bucket}_manifests`",
            ).replace(
                f"`{registry.lab.database}.{registry.names.packages}`",
                f"`{database}`.`{registry.bucket}_packages`",
            )
            registry.lab.run(statement.replace("`hash` string)", "`top_hash` string)"))
    return database


def _mend_platform_tables(registry: Registry, platform: str) -> None:
    """Give the platform's manifests the SerDe properties with which nothing is lost."""
    glue, name = registry.aws.client("glue"), f"{registry.bucket}_manifests"
    table = glue.get_table(DatabaseName=platform, Name=name)["Table"]
    descriptor = table["StorageDescriptor"]
    descriptor["SerdeInfo"]["Parameters"] |= {"case.insensitive": "false", "ignore.malformed.json": "true"}
    glue.update_table(
        DatabaseName=platform,
        TableInput={"Name": name, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": descriptor},
    )


CASES = '{"Key": 1, "key": 2}'


def _put_metadata_of_both_cases(registry: Registry) -> None:
    """Packages whose metadata has keys that differ in case alone: of a header, and of a file."""
    for name, of_header, of_file in (("x/header", CASES, "{}"), ("x/file", '{"Plate": 7}', CASES)):
        top_hash = registry.put_manifest(
            f'{{"version": "v0", "message": "m", "user_meta": {of_header}}}',
            '{"logical_key": "a", "physical_keys": ["s3://b/a"], "size": 7, "hash": null, '
            f'"meta": {{"user_meta": {of_file}}}}}',
        )
        for pointer in (str(BASE), "latest"):
            registry.put_pointer(name, pointer, top_hash)


def test_auto_takes_a_platforms_tables_that_lose_nothing(fresh: Registry) -> None:
    platform = _make_platform_tables(fresh)
    _mend_platform_tables(fresh, platform)
    _put_metadata_of_both_cases(fresh)
    plan = fresh.refresh(source_database=platform)
    assert _actions(plan) == {"created": 6}  # no table of ours
    found = fresh.rows(
        f"SELECT pkg_name, is_latest, message, user_meta, workflow FROM {fresh.names.revisions}"
    )
    assert [(name, latest, said, json.loads(str(meta)), w) for name, latest, said, meta, w in found] == [
        ("x/file", "true", "m", {"Plate": 7}, None),
        ("x/header", "true", "m", {"Key": 1, "key": 2}, None),
    ]
    assert fresh.rows(f"SELECT logical_key, size FROM {fresh.names.entries}") == [("a", "7")] * 2
    assert not fresh.refresh(source_database=platform).changed


def test_auto_prefers_our_own_tables_to_a_platforms_that_lose_lines(
    fresh: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    platform = _make_platform_tables(fresh)
    _put_metadata_of_both_cases(fresh)
    plan = fresh.refresh(source_database=platform)
    assert _actions(plan) == {"created": 8}
    assert "case.insensitive is not false" in caplog.text
    assert len(fresh.rows(f"SELECT pkg_name FROM {fresh.names.revisions}")) == 2
    metas = {json.dumps(json.loads(str(m))) for (m,) in fresh.rows(f"SELECT meta FROM {fresh.names.entries}")}
    assert metas == {'{"user_meta": {}}', '{"user_meta": {"Key": 1, "key": 2}}'}


@pytest.mark.not_on_trino("Athena's OpenX SerDe lowers the case of nested keys, Trino's own keeps it")
def test_what_a_platforms_tables_lose_is_in_plan_log_and_xcom_where_they_are_asked_for(
    fresh: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    platform = _make_platform_tables(fresh)
    _put_metadata_of_both_cases(fresh)
    plan = fresh.refresh(source=SourceKind.QUILT_TABLES, source_database=platform)
    assert _actions(plan) == {"created": 6, "unchanged": 1}
    (source,) = (one for one in plan.to_xcom()["resources"] if one["resource"] == "source")
    assert source["name"] == f"{platform}.{fresh.bucket}_manifests"
    lost = [detail["to"] for detail in source["details"]]
    assert any("of a header with message and metadata of its revision" in text for text in lost)
    assert all(text in plan.render(applied=False) and text in caplog.text for text in lost)
    # And so it is.
    assert fresh.rows(f"SELECT pkg_name, message, user_meta FROM {fresh.names.revisions}") == [
        ("x/file", "m", '{"plate":7}'),
        ("x/header", None, None),
    ]
    assert fresh.rows(f"SELECT pkg_name FROM {fresh.names.entries}") == [("x/header",)]


def test_nothing_is_asked_of_a_platforms_database_but_to_read_its_tables(fresh: Registry) -> None:
    platform = _make_platform_tables(fresh)
    before = fresh.lab.client("glue").get_tables(DatabaseName=platform)["TableList"]
    fresh.aws.clear_calls()
    fresh.refresh(source=SourceKind.QUILT_TABLES, source_database=platform)
    asked = {call.name for call in fresh.aws.calls if call.detail.startswith(f"{platform}.")}
    assert asked <= {"glue:GetTable", "glue:GetDatabase", "glue:GetPartitions"}
    made = {call.detail.split(" ")[0] for call in fresh.aws.calls if call.operation == "CreateTable"}
    assert made == {f"{fresh.lab.database}.{view}" for view in fresh.names.views}
    assert fresh.lab.client("glue").get_tables(DatabaseName=platform)["TableList"] == before


def test_without_a_platforms_tables_auto_uses_our_own_and_quilt_tables_is_refused(fresh: Registry) -> None:
    database = f"{fresh.lab.database}_empty"
    fresh.aws.client("glue").create_database(DatabaseInput={"Name": database})
    with pytest.raises(InvalidCallError, match="No Quilt platform tables"):
        fresh.refresh(source=SourceKind.QUILT_TABLES, source_database=database)
    assert _actions(fresh.refresh(source_database=database)) == {"created": 8}


def test_iceberg_is_refused_by_name() -> None:
    with pytest.raises(InvalidCallError, match="'iceberg' is not supported yet"):
        parse_source("iceberg", "platform")
    with pytest.raises(InvalidCallError, match="needs source_database"):
        parse_source("quilt_tables", None)
    with pytest.raises(InvalidCallError, match="Expected one of auto, manifests"):
        parse_source("views", None)


# ------------------------------------------------------------------------------------------- trouble


@pytest.fixture
def faulty(fresh: Registry) -> Iterator[Registry]:
    yield fresh
    fresh.aws.set_faults()


GLUE_CALLS = ("glue:GetTables", "glue:CreateTable", "glue:UpdateTable", "glue:GetTable")


def test_throttled_calls_are_made_again(faulty: Registry) -> None:
    faulty.aws.set_faults(
        *(Fault(call=call, error="ThrottlingException", status=400, times=2) for call in GLUE_CALLS)
    )
    assert _actions(faulty.refresh()) == {"created": 8}
    assert not faulty.refresh().changed


def test_lost_answers_end_in_the_same_state(faulty: Registry) -> None:
    faulty.aws.set_faults(*(Fault(call=call, when="lost", times=1) for call in GLUE_CALLS))
    faulty.refresh()
    assert not faulty.refresh().changed


def test_a_writer_that_came_first_is_met_again(faulty: Registry) -> None:
    faulty.aws.set_faults(Fault(call="glue:UpdateTable", error="ConcurrentModificationException", times=2))
    faulty.refresh()
    faulty.aws.set_faults()
    assert not faulty.refresh().changed


def test_a_run_that_died_before_it_marked_its_views_is_made_good_by_the_next(faulty: Registry) -> None:
    faulty.aws.set_faults(
        Fault(call="glue:UpdateTable", error="AccessDeniedException", status=403, times=1000)
    )
    with pytest.raises(AccessError, match="UpdateTable"):
        faulty.refresh()
    faulty.aws.set_faults()
    assert _actions(faulty.refresh()) == {"unchanged": 2, "changed": 6}
    assert not faulty.refresh().changed


def test_a_reader_never_finds_a_view_missing_while_it_is_replaced(fresh: Registry) -> None:
    fresh.refresh()
    stop, answers = threading.Event(), Counter[str]()

    def read() -> None:
        while not stop.is_set():
            try:
                fresh.rows(f"SELECT count(*) FROM {fresh.names.entries}")
                answers["read"] += 1
            except QueryFailedError as error:
                answers[str(error)] += 1

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            for _ in range(3):
                fresh.lab.run(f"CREATE OR REPLACE VIEW {fresh.names.entries} AS SELECT 1 AS mine")
                assert fresh.refresh().changed
        finally:
            stop.set()
        reader.result()
    assert set(answers) == {"read"}


def test_the_queries_of_many_buckets_are_started_side_by_side(aws: LocalAthena, lab: Lab) -> None:
    buckets = [f"{lab.bucket}-{number}" for number in range(3)]
    request = RefreshRequest(tuple(buckets), lab.database, lab.workgroup)
    lab.aws.clear_calls()
    aws.set_latency({"athena:StartQueryExecution": 0.5})
    try:
        refresh_bucket_views(lab.client("athena"), lab.client("glue"), request, timeout_seconds=60)
    finally:
        aws.set_latency({})
    starts = [call.time for call in lab.started()]
    assert len(starts) == 6 * len(buckets)
    assert max(starts) - min(starts) < 0.5 * len(starts) / 2
