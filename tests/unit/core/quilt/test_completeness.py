from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_quilt_athena.core.athena.sql import split_statements
from airflow_quilt_athena.core.quilt.completeness import (
    MAX_NEW_FILES,
    Check,
    Checked,
    File,
    Finding,
    Listing,
    Reason,
    judge_names,
    parse_checked,
    plan_check,
    report_findings,
)
from airflow_quilt_athena.core.quilt.completeness_query import build_check, judge_answer
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource

BUCKET = "acme-data"
SOURCE = ManifestSource.of_bucket(BucketNames.of(BUCKET), "lake")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
A, B = "a" * 64, "b" * 64


def pointer(path: str, at: datetime = NOON, size: int = 64) -> File:
    return File(f".quilt/named_packages/{path}", at, size)


def manifest(name: str, at: datetime = NOON) -> File:
    return File(f".quilt/packages/{name}", at, 100)


LISTING = Listing(
    BUCKET,
    (pointer("team/a/1767225600"), pointer("team/a/latest")),
    (manifest(A),),
    False,
    NOON + timedelta(hours=1),
)


def row(
    path: str | None = None, top_hash: str | None = A, rows: str = "1", file_hash: str | None = A, *,
    headers: str = "1", unread: str = "0", odd: str = "0", count: str = "2",
) -> tuple[str | None, ...]:  # fmt: skip
    full = None if path is None else f"s3://{BUCKET}/.quilt/named_packages/{path}"
    return full, top_hash, rows, file_hash, headers, unread, odd, count


@pytest.mark.parametrize(
    ("path", "size", "reason"),
    [
        ("team/a/1767225600", 64, None),
        ("team/a/latest", 65, None),  # with the end of line of an editor
        ("team/a/", 0, None),  # how consoles show a folder
        ("_x/a/1767225600", 64, Reason.HIDDEN_PACKAGES),
        ("team/.a/latest", 64, Reason.HIDDEN_PACKAGES),
        ("team/a/_stable", 64, Reason.HIDDEN_TAGS),
        ("team/a/1767225600000", 64, Reason.ODD_POINTER_NAMES),
        ("team/1767225600", 64, Reason.MISPLACED_POINTERS),
        ("team/a/b/1767225600", 64, Reason.MISPLACED_POINTERS),
        ("team/a/1767225600", 0, Reason.POINTER_BODIES),
        ("team/a/1767225600", 40, Reason.POINTER_BODIES),
        ("team/a/1767225600", 130, Reason.POINTER_BODIES),
    ],
)
def test_names_and_sizes_tell(path: str, size: int, reason: Reason | None) -> None:
    found = judge_names(replace(LISTING, pointers=(pointer(path, size=size),)))
    assert [finding.reason for finding in found] == ([] if reason is None else [reason])


def test_only_names_of_64_hex_digits_are_manifests() -> None:
    names = [A, f"backup/{A}", f"1220{A}.parquet", A.upper(), "folder/"]
    found = judge_names(replace(LISTING, manifests=tuple(map(manifest, names))))
    assert [f.name for f in found if f.reason is Reason.OTHER_OBJECTS] == names[1:4]
    assert not Reason.OTHER_OBJECTS.loses_rows


def test_what_is_unchanged_is_known_without_a_question() -> None:
    known = (Finding(Reason.ODD_SIZES, A, 2, manifest(A).key),)
    before = parse_checked(Checked.of(LISTING, known).render())
    check = plan_check(LISTING, before)
    assert (check.asks, check.known) == (False, known)


def test_what_is_new_is_asked_about_and_nothing_else() -> None:
    before = Checked.of(LISTING, (Finding(Reason.ODD_SIZES, A, 2, manifest(A).key),))
    later = NOON + timedelta(hours=2)
    new = replace(
        LISTING,
        pointers=(*LISTING.pointers, pointer("team/b/1767232800", later)),
        manifests=(*LISTING.manifests, manifest(B, later)),
        looked_at=later + timedelta(hours=1),
    )
    check = plan_check(new, before)
    assert (check.pointers, check.manifests) == ((new.pointers[-1],), (new.manifests[-1],))
    assert check.known == before.findings
    sql = build_check(SOURCE, check)
    assert split_statements(sql) == (sql,)
    assert (A in sql, B in sql) == (False, True)


def test_a_manifest_that_went_or_came_anew_makes_it_look_at_everything() -> None:
    before = Checked.of(LISTING, ())
    for manifests in ((), (manifest(A, NOON + timedelta(hours=3)),)):
        check = plan_check(replace(LISTING, manifests=manifests), before)
        assert (check.pointers, check.manifests) == (None, None)


def test_too_much_that_is_new_makes_it_look_at_everything() -> None:
    later = NOON + timedelta(hours=2)
    many = tuple(pointer(f"team/p{number}/1", later) for number in range(MAX_NEW_FILES + 1))
    check = plan_check(replace(LISTING, pointers=(*LISTING.pointers, *many)), Checked.of(LISTING, ()))
    assert check.pointers is None
    assert '"$path" IN' not in build_check(SOURCE, check)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row()], []),
        ([row("team/a/latest", top_hash=None, file_hash=None)], [(Reason.POINTER_BODIES, "team/a/latest")]),
        ([row("team/a/latest", rows="2")], [(Reason.POINTER_BODIES, "team/a/latest")]),
        (
            [row("team/a/latest", B, file_hash=None)],
            [(Reason.MISSING_MANIFESTS, f"team/a/latest {B}")],
        ),
        ([row(headers="0", unread="1")], [(Reason.UNREADABLE_HEADERS, A)]),
        ([row(unread="3")], [(Reason.UNREADABLE_LINES, A)]),
        ([row(odd="2")], [(Reason.ODD_SIZES, A)]),
        ([row("team/a/latest", odd="2"), row("team/a/1767225600", odd="2")], [(Reason.ODD_SIZES, A)]),
        ([row(count="1")], [(Reason.UNEXPLAINED, "1 of 2")]),
        ([], [(Reason.UNEXPLAINED, "2 of 2")]),
    ],
)
def test_rows_tell(rows: list[tuple[str | None, ...]], expected: list[tuple[Reason, str]]) -> None:
    found = judge_answer(Check(LISTING, None, None), rows)
    assert [(finding.reason, finding.name) for finding in found] == expected


def test_an_old_manifest_that_was_not_asked_about_is_not_missing() -> None:
    new = pointer("team/b/latest", NOON + timedelta(hours=2))
    listing = replace(LISTING, pointers=(*LISTING.pointers, new))
    check = Check(listing, (new,), ())
    assert judge_answer(check, [row("team/b/latest", A, file_hash=None, count="1")]) == ()
    (missing,) = judge_answer(check, [row("team/b/latest", B, file_hash=None, count="1")])
    assert missing.reason is Reason.MISSING_MANIFESTS


def test_the_report_counts_and_names_the_first() -> None:
    findings = [Finding(Reason.ODD_SIZES, f"{number:02}", 3) for number in range(12)]
    (report,) = report_findings(findings)
    assert (report["reason"], report["count"], report["sizes"], report["loses_rows"]) == (
        "odd_sizes",
        12,
        36,
        True,
    )
    assert report["names"] == [f"{number:02}" for number in range(10)]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"listing": 1}'])
def test_what_is_no_record_is_none(text: str | None) -> None:
    assert parse_checked(text) is None


def test_a_record_that_is_too_long_is_not_kept() -> None:
    findings = [Finding(Reason.ODD_SIZES, str(number)) for number in range(1_001)]
    assert Checked.of(LISTING, findings).render() is None


def test_a_finding_about_a_manifest_that_was_missing_is_asked_about_again_when_the_manifest_is_there() -> (
    None
):
    key = ".quilt/named_packages/team/a/1767225600"
    finding = Finding(Reason.MISSING_MANIFESTS, f"team/a/1767225600 {A}", 1, key)
    stays = replace(finding, name=f"team/a/1767225600 {B}")
    looked_at = NOON + timedelta(hours=1)
    before = Checked("another", looked_at, LISTING.manifests_before(looked_at), (finding, stays))
    assert plan_check(LISTING, before).known == (stays,)
