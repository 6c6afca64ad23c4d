from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.athena.sql import split_statements
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import (
    Held,
    Newer,
    Registry,
    Unit,
    build_kept_entries,
    build_kept_revisions,
    find_current_elsewhere,
    find_newer,
    find_units,
    guess_hashes,
    parse_mark,
    render_mark,
    revisions_of,
    unit_of,
)
from airflow_quilt_athena.core.quilt.kept_views import define_kept_views
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import Pointer, Revision

NAMES = BucketNames.of("acme-data")
SOURCE = ManifestSource.of_bucket(NAMES, "lake")
MIDNIGHT = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
A, B, C = "a" * 64, "b" * 64, "c" * 64


def etag(top_hash: str) -> str:
    return f'"{md5(top_hash.encode()).hexdigest()}"'


def pointer(package: str, at: int | str) -> Pointer:
    return Pointer(package, str(at))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pointer("team/a", MIDNIGHT), Unit("2026-01-01", "team/a")),
        (pointer("team/a", f"0{MIDNIGHT + 86_399}"), Unit("2026-01-01", "team/a")),
        (pointer("team/a", MIDNIGHT + 86_400), Unit("2026-01-02", "team/a")),
        (pointer("team/a", 0), Unit("1970-01-01", "team/a")),
        (pointer("team/a", 253_402_300_799), Unit("9999-12-31", "team/a")),
        (pointer("team/a", 253_402_300_800), None),
        (pointer("team/a", "latest"), None),
        (pointer("_hidden/a", MIDNIGHT), None),
        (pointer("team/.a", MIDNIGHT), None),
    ],
    ids=repr,
)
def test_a_revision_is_kept_with_its_packages_others_of_the_day(
    found: Pointer, expected: Unit | None
) -> None:
    assert unit_of(found) == expected


def test_what_pointers_hold_is_known_by_their_etags_or_by_what_was_read_before() -> None:
    by_md5, read_before, unknown = (pointer("team/a", MIDNIGHT + number) for number in range(3))
    tag = pointer("team/a", "stable")
    registry = Registry(
        {by_md5: etag(A), read_before: '"kms-1"', unknown: '"kms-2"', tag: '"kms-3"'}, {A: '"m"', B: '"m"'}
    )
    marks = {Unit("2026-01-01", "team/a"): {read_before.name: Held('"kms-1"', B, '"m"')}}
    hashes, unread = guess_hashes(registry, marks)
    assert hashes == {by_md5: A, read_before: B}
    assert unread == (unknown,)  # of the tags only latest matters


def test_a_unit_is_newer_when_a_pointer_or_a_manifest_of_it_is() -> None:
    one = pointer("team/a", MIDNIGHT)
    unit = Unit("2026-01-01", "team/a")

    def newer(pointers: dict[Pointer, str], manifests: dict[str, str], marks: dict[str, Held]) -> bool:
        units = find_units(Registry(pointers, manifests), {one: A})
        return unit in find_newer(units, {unit: marks})

    kept = {one.name: Held('"p"', A, '"m"')}
    assert not newer({one: '"p"'}, {A: '"m"'}, kept)
    assert newer({one: '"p"'}, {A: '"m"'}, {})
    assert newer({one: '"q"'}, {A: '"m"'}, kept)  # the pointer was written again
    assert newer({one: '"p"'}, {A: '"n"'}, kept)  # its manifest was
    assert newer({one: '"p"', pointer("team/a", MIDNIGHT + 1): '"p"'}, {A: '"m"'}, kept)
    assert newer({one: '"p"'}, {A: '"m"'}, {one.name: Held('"p"', A, None)})  # the manifest has come by now
    # What is gone is left in the table, where no pointer finds it.
    assert not newer({one: '"p"'}, {A: '"m"'}, kept | {"1": Held('"x"', B, '"m"')})


held = st.builds(Held, st.text(max_size=5), st.none() | st.just(A), st.none() | st.text(max_size=5))


@given(st.dictionaries(st.from_regex(r"[0-9]{1,12}", fullmatch=True), held, max_size=4))
def test_a_mark_is_read_as_it_was_written(mark: dict[str, Held]) -> None:
    assert parse_mark(render_mark(mark)) == mark


@pytest.mark.parametrize("text", [None, "", "x", "[]", '{"1": 2}', '{"1": ["a"]}'])
def test_what_is_no_mark_is_none(text: str | None) -> None:
    assert parse_mark(text) is None


def test_revisions_without_a_manifest_are_not_written() -> None:
    unit = Unit("2026-01-01", "team/a")
    assert revisions_of(
        unit, {"1": Held("e", A, "m"), "2": Held("e", B, None), "3": Held("e", None, None)}
    ) == (Revision("team/a", "1", A, False),)


def test_what_latest_holds_and_no_revision_of_its_package_is_told_apart() -> None:
    hashes = {
        pointer("team/a", MIDNIGHT): A,
        pointer("team/a", "latest"): A,
        pointer("team/b", MIDNIGHT): B,
        pointer("team/b", "latest"): A,  # rolled back to another package's
        pointer("team/c", "latest"): B,  # alone
        pointer("team/d", "latest"): C,  # to nothing
        pointer("team/e", "stable"): C,
    }
    registry = Registry(dict.fromkeys(hashes, '"e"'), {A: '"m"', B: '"m"'})
    assert find_current_elsewhere(registry, hashes) == (A, B)


NEWER = (Revision("team/it's", str(MIDNIGHT), A, False), Revision("team/b", str(MIDNIGHT), B, False))


@pytest.mark.parametrize("newer", [Newer(), Newer(NEWER), Newer(NEWER, (C,)), Newer((), (C,))], ids=repr)
def test_views_read_no_manifest_but_those_that_are_named(newer: Newer) -> None:
    views = {view.name: view.sql for view in define_kept_views(NAMES, "lake", SOURCE, newer)}
    assert list(views) == list(NAMES.views)
    for name in (NAMES.revisions, NAMES.entries, NAMES.current):
        sql = views[name]
        assert split_statements(sql) == (sql,)
        named = set(re.findall(r"packages/([0-9a-f]{64})'", sql))
        wanted = {one.top_hash for one in newer.revisions}
        assert named == wanted | (set(newer.current) if name == NAMES.current else set())
        # Each read of the manifests stands under a list of paths.
        assert sql.count(f'"{NAMES.manifests}"') == sql.count('"$path" IN (')
        assert f'"{NAMES.revisions_table if name == NAMES.revisions else NAMES.entries_table}"' in sql


@pytest.mark.parametrize("build", [build_kept_entries, build_kept_revisions])
def test_keys_are_columns_of_a_set_and_left_out_of_one_partition(build: object) -> None:
    with_keys, without = (
        build(SOURCE, "acme-data", NEWER, with_keys=keys).splitlines()[0]  # type: ignore[operator]
        for keys in (True, False)
    )
    assert with_keys == f'{without}, "revision_date", "pkg_name"'


def test_views_that_are_never_stale_read_the_manifests_once_and_within_bounds() -> None:
    views = {view.name: view.sql for view in define_kept_views(NAMES, "lake", SOURCE)}
    assert list(views) == list(NAMES.views)
    for name in (NAMES.revisions, NAMES.entries, NAMES.current):
        sql = views[name]
        assert split_statements(sql) == (sql,)
        assert sql.count(f'"{NAMES.manifests}"') == 1
        assert sql.count('"$path" BETWEEN bounds.least AND bounds.greatest') == 1
        assert f'"{NAMES.revisions_table}"' in sql  # which is written last says what is kept


def test_a_pointer_that_is_neither_a_revision_nor_latest_is_not_read() -> None:
    tag, latest = pointer("team/a", "prod"), pointer("team/a", "latest")
    registry = Registry({tag: "?", latest: "?"}, {})
    assert guess_hashes(registry, {}) == ({}, (latest,))


def test_a_pointer_that_was_read_in_vain_is_not_read_again_before_it_changes() -> None:
    odd = pointer("team/a", MIDNIGHT)
    marks = {Unit("2026-01-01", "team/a"): {odd.name: Held("e", None, None)}}
    assert guess_hashes(Registry({odd: "e"}, {}), marks) == ({}, ())
    assert guess_hashes(Registry({odd: "f"}, {}), marks) == ({}, (odd,))
