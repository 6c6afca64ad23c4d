from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_quilt_athena.core.athena.sql import split_statements
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import (
    MAX_PATHS_PER_BRANCH,
    Interval,
    Pointer,
    Revision,
    build_entries,
    build_revisions,
    choose_pointers,
    cut_revisions,
    fill_tokens,
    parse_interval,
    parse_pointer,
    plan_revisions,
)
from airflow_quilt_athena.exceptions import InvalidCallError

BUCKET = "acme-data"
SOURCE = ManifestSource.of_bucket(BucketNames.of(BUCKET), "lake")
MIDNIGHT = 1_767_225_600  # 2026-01-01T00:00:00Z
DAY = 86_400
DAY_ONE = Interval(BUCKET, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
A, B = "a" * 64, "b" * 64


# ----------------------------------------------------------------------------------------- intervals


def _given(**changes: object) -> dict[str, object]:
    return {"bucket": BUCKET, "start": "2026-01-01", "end": "2026-01-02", **changes}


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-01-01", "2026-01-02", MIDNIGHT, MIDNIGHT + DAY - 1),
        (" 2026-01-01 ", "2026-01-02\n", MIDNIGHT, MIDNIGHT + DAY - 1),  # as templates leave it
        ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01Z", MIDNIGHT, MIDNIGHT),
        ("2026-01-01 06:00", "2026-01-01 07:00:30", MIDNIGHT + 21_600, MIDNIGHT + 25_229),
        ("2026-01-01T00:00:00+02:00", "2026-01-01T00:00:00-05:00", MIDNIGHT - 7_200, MIDNIGHT + 17_999),
        # A second is in the interval when its start is: pointers know no parts of it.
        ("2026-01-01T00:00:00.500", "2026-01-01T00:00:02.500", MIDNIGHT + 1, MIDNIGHT + 2),
    ],
)
def test_an_interval_holds_its_start_and_not_its_end(start: str, end: str, first: int, last: int) -> None:
    interval = parse_interval(_given(start=start, end=end))
    pointers = (Pointer("team/pkg", str(second)) for second in (first - 1, first, last, last + 1))
    assert [interval.chooses(pointer) for pointer in pointers] == [False, True, True, False]


def test_by_arrival_an_interval_holds_what_came_in_then_whenever_it_was_made() -> None:
    interval = parse_interval(_given(by="arrival"))
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert interval.chooses(Pointer("team/pkg", str(MIDNIGHT - 300 * DAY), noon))
    assert interval.chooses(Pointer("team/pkg", str(MIDNIGHT + 300 * DAY), interval.start))
    assert not interval.chooses(Pointer("team/pkg", str(MIDNIGHT), interval.end))
    assert not interval.chooses(Pointer("team/pkg", "latest", noon))
    assert interval != parse_interval(_given(by="revision")) == DAY_ONE


def test_datetimes_are_taken_as_they_are() -> None:
    zoned = datetime.fromisoformat("2026-01-01T02:00:00+02:00")
    assert parse_interval(_given(start=zoned, end=datetime(2026, 1, 2))) == DAY_ONE


def test_without_an_end_an_interval_lasts_a_day() -> None:
    assert parse_interval({"bucket": BUCKET, "start": "2026-01-01"}) == DAY_ONE


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"bucket": BUCKET, "end": "2026-01-02"}, r"has the keys \['bucket', 'end'\]"),
        ({"start": "2026-01-01"}, r"has the keys \['start'\]"),
        (_given(until="2026-01-03"), "has the keys"),
        (_given(by="time"), r"\['by'\] is 'time'. Expected one of revision, arrival"),
        (_given(by=None), r"\['by'\] is None"),
        (_given(start=None), r"\['start'\] is None.*renders as None"),
        (_given(end="None"), r"\['end'\] is 'None'.*renders as None"),
        (_given(start=""), r"\['start'\] is ''"),
        (_given(start="yesterday"), "'yesterday'. Expected a date or a time"),
        (_given(start="2026-02-30"), "Expected a date or a time"),
        (_given(start="0001-01-01T00:00:00+05:00"), "Expected a date or a time"),
        (_given(end="2026-01-01"), "is not after its start"),
        (_given(end="2025-12-31"), "is not after its start"),
        (_given(start="2026-01-01T12:00:00-05:00", end="2026-01-01T17:00:00"), "is not after its start"),
        (_given(bucket=None), r"\['bucket'\] is None.*renders as None"),
        (_given(bucket="None"), r"\['bucket'\] is None"),
        (_given(bucket="s3://acme-data"), "Not a bucket name: .* Leave out s3://"),
        (_given(bucket=""), "Not a bucket name"),
    ],
)
def test_what_is_no_interval_is_refused(given_: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidCallError, match=words):
        parse_interval(given_)


# ------------------------------------------------------------------------------------------ pointers

FOLDER = ".quilt/named_packages/"


def test_keys_of_the_pointers_folder_are_told_apart() -> None:
    keys = [
        f"{FOLDER}team/pkg/1767225600",
        f"{FOLDER}team/pkg/latest",
        f"{FOLDER}team/pkg/stable",
        f"{FOLDER}_drafts/юзер/1767225600",
        f"{FOLDER}team/pkg/1767225600000",  # milliseconds: no revision
        f"{FOLDER}team/pkg/١٧٦٧٢٢٥٦٠٠",  # digits, but not those of a number in a pointer
        f"{FOLDER}team/pkg/999999999999",  # after the last year a datetime knows
        f"{FOLDER}team/pkg/deeper/1767225600",
        f"{FOLDER}team/1767225600",
        f"{FOLDER}team/pkg/",
        FOLDER,
    ]
    found = [pointer for key in keys if (pointer := parse_pointer(BUCKET, key)) is not None]
    assert [(pointer.package, pointer.name, pointer.seconds) for pointer in found] == [
        ("team/pkg", "1767225600", MIDNIGHT),
        ("team/pkg", "latest", None),
        ("team/pkg", "stable", None),
        ("_drafts/юзер", "1767225600", MIDNIGHT),
        ("team/pkg", "1767225600000", None),
        ("team/pkg", "١٧٦٧٢٢٥٦٠٠", None),
        ("team/pkg", "999999999999", 999_999_999_999),
    ]
    assert [pointer.key(BUCKET) for pointer in found] == keys[: len(found)]
    revisions = [pointer for pointer in found if pointer.seconds is not None]
    assert [DAY_ONE.chooses(pointer) for pointer in revisions] == [True, True, False]


def test_only_what_tells_of_the_interval_is_read() -> None:
    def of(package: str, *names: str) -> list[Pointer]:
        return [Pointer(package, name) for name in names]

    before, inside, after = str(MIDNIGHT - 1), str(MIDNIGHT + 5), str(MIDNIGHT + DAY)
    listed = [
        *of("team/old", before, "latest"),
        *of("team/both", before, inside, after, "latest", "stable"),
        *of("team/new", after, "latest"),
    ]
    assert choose_pointers(DAY_ONE, listed) == tuple(of("team/both", inside, after, "latest"))
    assert choose_pointers(DAY_ONE, listed[:2]) == ()


# ----------------------------------------------------------------------------------------- revisions


def _hashes(package: str, **named: str) -> dict[Pointer, str]:
    """Pointers by their seconds after midnight, written as in ``s10``, or by their names."""
    names = {name: str(MIDNIGHT + int(name[1:])) if name != "latest" else name for name in named}
    return {Pointer(package, names[name]): top_hash for name, top_hash in named.items()}


def _latest(hashes: dict[Pointer, str]) -> dict[str, bool]:
    return {found.pointer: found.is_latest for found in plan_revisions(DAY_ONE, hashes)}


def test_the_revision_that_latest_points_to_is_the_latest() -> None:
    found = plan_revisions(DAY_ONE, _hashes("team/pkg", s20=B, s10=A, latest=B))
    assert found == (
        Revision("team/pkg", str(MIDNIGHT + 10), A, False),
        Revision("team/pkg", str(MIDNIGHT + 20), B, True),
    )


def test_after_a_rollback_the_older_one_is_the_latest() -> None:
    assert list(_latest(_hashes("team/pkg", s10=A, s20=B, latest=A)).values()) == [True, False]


def test_of_two_pushes_of_the_same_content_the_newer_is_the_latest() -> None:
    assert list(_latest(_hashes("team/pkg", s10=A, s20=A, latest=A)).values()) == [False, True]


def test_a_later_push_of_the_same_content_outside_the_interval_is_the_latest_instead() -> None:
    assert _latest({**_hashes("team/pkg", s10=A, latest=A), Pointer("team/pkg", str(MIDNIGHT + DAY)): A}) == {
        str(MIDNIGHT + 10): False
    }


def test_without_the_pointer_latest_or_with_another_hash_in_it_none_is_the_latest() -> None:
    assert list(_latest(_hashes("team/pkg", s10=A)).values()) == [False]
    assert list(_latest(_hashes("team/pkg", s10=A, latest=B)).values()) == [False]


def test_packages_with_one_manifest_have_a_latest_each() -> None:
    found = plan_revisions(
        DAY_ONE, {**_hashes("team/a", s10=A, latest=A), **_hashes("team/b", s20=A, latest=A)}
    )
    assert [(one.package, one.is_latest) for one in found] == [("team/a", True), ("team/b", True)]


def test_two_names_of_one_second_are_two_revisions_of_which_one_is_the_latest() -> None:
    second = str(MIDNIGHT + 10)
    hashes = {Pointer("team/pkg", name): A for name in (second, f"0{second}", "latest")}
    assert _latest(hashes) == {f"0{second}": False, second: True}


# Few packages, seconds and hashes: what coincides, coincides here. A revision may lie days outside.
packages = st.sampled_from(["team/a", "team/b", "_x/a"])
seconds = st.integers(-2, 5).map(lambda step: MIDNIGHT + step * DAY // 2)
top_hashes = st.sampled_from([A, B, "c" * 64])
histories = st.lists(
    st.one_of(
        st.tuples(packages, seconds.map(str), top_hashes),
        st.tuples(packages, st.sampled_from(["latest", "stable", "1" * 13]), top_hashes),
    ),
    max_size=14,
    unique_by=lambda written: written[:2],
)


def _expected(history: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str, bool]]:
    """The interval's revisions by the words of the promise, over the whole history."""
    revisions = [(p, name, h) for p, name, h in history if name.isdigit() and len(name) <= 12]
    rows = []
    for package, name, top_hash in revisions:
        moment = datetime.fromtimestamp(int(name), UTC)
        if moment.date() == DAY_ONE.start.date():
            same = [int(n) for p, n, h in revisions if (p, h) == (package, top_hash)]
            pointed_at = (package, "latest", top_hash) in history
            rows.append((package, name, top_hash, pointed_at and max(same) == int(name)))
    return sorted(rows, key=lambda row: (int(row[1]), row[0]))


@given(histories)
@example([("team/a", str(MIDNIGHT), A), ("team/a", str(MIDNIGHT + DAY), A), ("team/a", "latest", A)])
def test_reading_only_what_was_chosen_gives_what_the_whole_history_says(
    history: list[tuple[str, str, str]],
) -> None:
    held = {Pointer(package, name): top_hash for package, name, top_hash in history}
    chosen = choose_pointers(DAY_ONE, tuple(held))
    found = plan_revisions(DAY_ONE, {pointer: held[pointer] for pointer in chosen})
    assert [(r.package, r.pointer, r.top_hash, r.is_latest) for r in found] == _expected(history)


# ----------------------------------------------------------------------------------------- the query


def _many(count: int, package: str = "team/pkg") -> tuple[Revision, ...]:
    return tuple(
        Revision(package, str(MIDNIGHT + number), f"{number:064x}", False) for number in range(count)
    )


def test_a_small_query_of_entries_in_full() -> None:
    revisions = (
        Revision("team/it's", str(MIDNIGHT), B, True),
        Revision("team/copy", str(MIDNIGHT + 1), A, False),
    )
    assert build_entries(SOURCE, BUCKET, revisions) == (
        "WITH\n"
        "revisions AS (\n"
        "  SELECT\n"
        "    CAST(pkg_name AS varchar) AS pkg_name,\n"
        "    CAST(top_hash AS varchar) AS top_hash,\n"
        "    CAST(pointer AS varchar) AS pointer,\n"
        "    TIMESTAMP '1970-01-01 00:00:00.000' + CAST(pointer AS bigint) * INTERVAL '1' SECOND"
        " AS revision_at,\n"
        "    CAST(TIMESTAMP '1970-01-01 00:00:00.000' + CAST(pointer AS bigint) * INTERVAL '1' SECOND"
        " AS date) AS revision_date,\n"
        "    is_latest\n"
        "  FROM (VALUES\n"
        f"    ('team/it''s', '{B}', '1767225600', true),\n"
        f"    ('team/copy', '{A}', '1767225601', false)\n"
        "  ) AS t (pkg_name, top_hash, pointer, is_latest)\n"
        "),\n"
        "files AS (\n"
        "  SELECT\n"
        "    regexp_extract(\"$path\", '^[^:]+://[^/]+/[.]quilt/packages/([0-9a-f]{64})$', 1) AS top_hash,\n"
        '    "logical_key",\n'
        '    element_at("physical_keys", 1) AS physical_key,\n'
        "    CASE\n"
        '      WHEN TRY_CAST("size" AS bigint) IS NOT NULL THEN TRY_CAST("size" AS bigint)\n'
        "      WHEN regexp_like(CAST(\"size\" AS varchar), '[eE][+-]?0*[1-9][0-9]{2,}') THEN NULL\n"
        '      WHEN TRY_CAST("size" AS double) = floor(TRY_CAST("size" AS double))\n'
        '        THEN TRY_CAST(TRY_CAST("size" AS decimal(38, 18)) AS bigint)\n'
        '    END AS "size",\n'
        '    "hash"."type" AS hash_type,\n'
        '    "hash"."value" AS hash_value,\n'
        '    "meta"\n'
        '  FROM "lake"."acme_data_quilt_manifests"\n'
        '  WHERE "logical_key" IS NOT NULL\n'
        '    AND cardinality("physical_keys") > 0\n'
        "    AND regexp_extract(\"$path\", '^[^:]+://[^/]+/[.]quilt/packages/([0-9a-f]{64})$', 1)"
        " IS NOT NULL\n"
        f"    AND \"$path\" IN ('s3://acme-data/.quilt/packages/{A}', 's3://acme-data/.quilt/packages/{B}')\n"
        ")\n"
        "SELECT\n"
        "  r.pkg_name,\n"
        "  r.top_hash,\n"
        "  r.revision_at,\n"
        "  r.revision_date,\n"
        "  r.is_latest,\n"
        '  f."logical_key",\n'
        "  f.physical_key,\n"
        "  regexp_extract(f.physical_key, '^s3://([^/]+)/', 1) AS \"bucket\",\n"
        "  TRY(url_decode(replace(regexp_extract(f.physical_key, '^s3://[^/]+/([^?#]+)', 1), '+', '%2B')))"
        ' AS "key",\n'
        "  TRY(url_decode(regexp_extract(f.physical_key, '^s3://[^?]*[?](.*&)?versionId=([^&#]+)', 2)))"
        " AS version_id,\n"
        '  f."size",\n'
        "  f.hash_type,\n"
        "  f.hash_value,\n"
        '  f."meta"\n'
        "FROM revisions r\n"
        "JOIN files f ON f.top_hash = r.top_hash"
    )


@pytest.mark.parametrize("build", [build_revisions, build_entries])
@pytest.mark.parametrize(("count", "branches"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_no_list_of_paths_is_longer_than_an_engine_prunes_by(build: Any, count: int, branches: int) -> None:
    sql = build(SOURCE, BUCKET, _many(count))
    lists = re.findall(r'"\$path" IN \(([^)]*)\)', sql)
    named = [path.strip() for found in lists for path in found.split(",")]
    assert len(lists) == branches == sql.count("UNION ALL") + 1
    assert max(len(found.split(",")) for found in lists) <= MAX_PATHS_PER_BRANCH == 100
    assert sorted(named) == [f"'s3://{BUCKET}/.quilt/packages/{number:064x}'" for number in range(count)]


def test_a_manifest_that_many_revisions_share_is_named_once() -> None:
    shared = [Revision(f"team/p{number}", str(MIDNIGHT + number), A, True) for number in range(150)]
    sql = build_entries(SOURCE, BUCKET, shared)
    assert sql.count(f"packages/{A}'") == 1
    assert sql.count("('team/p") == 150


@pytest.mark.parametrize("build", [build_revisions, build_entries])
def test_without_revisions_a_query_has_the_same_columns_and_names_no_file(build: Any) -> None:
    sql = build(SOURCE, BUCKET, ())
    assert re.findall(r'"\$path" IN \(([^)]*)\)', sql) == [f"'s3://{BUCKET}/.quilt/packages/'"]
    assert sql.count("false") == 2  # the row for the types, and its condition
    select = "\nSELECT\n  r.pkg_name"
    assert sql[sql.index(select) :] == (full := build(SOURCE, BUCKET, _many(1)))[full.index(select) :]


def test_only_the_exact_tokens_are_replaced() -> None:
    query = "SELECT '{ entries }', '{ENTRIES}', '{staged}', '{0}', '{{x}}', '{entries' FROM {entries} AS e"
    filled = fill_tokens(query, SOURCE, BUCKET, _many(1))
    before, after = query.split("{entries} AS e")
    assert filled == f"{before}(\n{build_entries(SOURCE, BUCKET, _many(1))}\n) AS e{after}"
    assert fill_tokens("SELECT '{ revisions }'", SOURCE, BUCKET, _many(1)) == "SELECT '{ revisions }'"


def test_both_tokens_are_replaced_wherever_they_stand() -> None:
    query = (
        "SELECT * FROM {revisions} r JOIN {entries} e USING (top_hash) JOIN {revisions} q USING (top_hash)"
    )
    revisions, entries = (
        f"(\n{build(SOURCE, BUCKET, _many(2))}\n)" for build in (build_revisions, build_entries)
    )
    assert fill_tokens(query, SOURCE, BUCKET, _many(2)) == (
        f"SELECT * FROM {revisions} r JOIN {entries} e USING (top_hash) JOIN {revisions} q USING (top_hash)"
    )


def test_a_package_named_like_a_token_stays_a_name() -> None:
    odd = (Revision("{entries}/{revisions}", str(MIDNIGHT), A, True),)
    sql = fill_tokens("SELECT * FROM {revisions}", SOURCE, BUCKET, odd)
    assert sql.count("'{entries}/{revisions}'") == 1
    assert sql.count("FROM (VALUES") == 1
    assert split_statements(sql) == (sql,)


# ------------------------------------------------------------------------------------- long intervals


@pytest.mark.parametrize("bucket", ["abc", "x" * 63, "x" * 255])
@pytest.mark.parametrize("package", ["a/b", "team/" + "long-name" * 20, "юзер/пакет"])
def test_each_group_of_a_long_interval_fits_a_statement_and_none_is_lost(bucket: str, package: str) -> None:
    source = ManifestSource.of_bucket(BucketNames.of(bucket), "lake")
    revisions = _many(3_000, package)
    groups = cut_revisions(revisions, 200_000)
    assert len(groups) > 1
    assert tuple(revision for group in groups for revision in group) == revisions
    for group in groups:
        for build in (build_revisions, build_entries):
            assert len(build(source, bucket, group).encode()) < 262_144 - 10_000  # leaves room around it
    assert len(cut_revisions(revisions[: len(groups[0])], 200_000)) == 1


def test_nothing_is_cut_into_nothing() -> None:
    assert cut_revisions((), 200_000) == ()


def test_a_month_is_thirty_days() -> None:
    # The interval of a longer backfill: every day's revisions, and no other's.
    month = Interval(BUCKET, DAY_ONE.start, DAY_ONE.start + timedelta(days=30))
    pointers = [Pointer("team/pkg", str(MIDNIGHT + day * DAY)) for day in range(-1, 32)]
    found = plan_revisions(month, dict.fromkeys(choose_pointers(month, pointers), A))
    assert [revision.pointer for revision in found] == [str(MIDNIGHT + day * DAY) for day in range(30)]
