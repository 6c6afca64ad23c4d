from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.quilt.identifiers import (
    MAX_TABLE_NAME_LENGTH,
    BucketNames,
    bucket_identifier,
    check_new_bucket_name,
)
from airflow_quilt_athena.exceptions import InvalidCallError

LEGAL = re.compile(r"[a-z][a-z0-9_]*")
old_buckets = st.text(string.ascii_letters + string.digits + "._-", min_size=3, max_size=255)
# Few characters and short names: what collides, collides here.
close_buckets = st.text("aA0._-", min_size=3, max_size=5)
new_buckets = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", fullmatch=True)
buckets = st.one_of(old_buckets, close_buckets, new_buckets)


@given(buckets)
def test_every_bucket_gets_names_that_are_legal_without_quotes(bucket: str) -> None:
    names = BucketNames.of(bucket)
    for name in (bucket_identifier(bucket), *names.tables, *names.views):
        assert LEGAL.fullmatch(name)
        assert len(name) <= MAX_TABLE_NAME_LENGTH


@given(st.lists(buckets, min_size=2, max_size=40, unique=True))
def test_no_two_buckets_share_a_name(many: list[str]) -> None:
    names = [
        name for bucket in many for name in (*BucketNames.of(bucket).tables, *BucketNames.of(bucket).views)
    ]
    assert len(set(names)) == len(names)


@given(buckets)
def test_a_bucket_named_like_another_buckets_identifier_gets_an_identifier_of_its_own(bucket: str) -> None:
    identifier = bucket_identifier(bucket)
    twin = identifier.replace("_", "-")
    if twin != bucket:
        assert bucket_identifier(twin) != identifier


@given(st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+){0,4}", fullmatch=True).filter(lambda b: 3 <= len(b) <= 63))
def test_a_plain_bucket_keeps_the_identifier_of_the_seed(bucket: str) -> None:
    assert bucket_identifier(bucket) == bucket.replace("-", "_")


@pytest.mark.parametrize(
    ("one", "other"),
    [("a-b.c", "a.b-c"), ("a-b", "a_b"), ("Data", "data"), ("1st-bucket", "b-1st-bucket"), ("a.b", "a--b")],
)
def test_names_that_differ_only_in_what_is_lost_stay_apart(one: str, other: str) -> None:
    assert bucket_identifier(one) != bucket_identifier(other)


def test_an_identifier_does_not_change_between_releases() -> None:
    # Written down once: tables and views in people's databases carry these.
    assert bucket_identifier("1000.genomes") == "b_1000_genomes__6ea5b533149c"


def test_one_object_of_a_bucket_is_never_another_object_of_another_bucket() -> None:
    assert not set(BucketNames.of("xyz").views) & set(BucketNames.of("xyz-quilt-packages").tables)


@pytest.mark.parametrize("bucket", ["ab", "", "s3://bucket", "a/b", "bücket", "a b", "x" * 256])
def test_what_is_no_bucket_name_is_refused(bucket: str) -> None:
    with pytest.raises(InvalidCallError, match="Not a bucket name"):
        bucket_identifier(bucket)


@pytest.mark.parametrize(
    "bucket",
    [
        "Results",
        "a_b",
        "-abc",
        "abc-",
        "a..b",
        "192.168.5.4",
        "xn--abc",
        "my-s3alias",
        "data--x-s3",
        "x" * 64,
        "ab",
    ],
)
def test_what_s3_refuses_to_make_is_refused(bucket: str) -> None:
    with pytest.raises(InvalidCallError, match="Not a name for a new bucket"):
        check_new_bucket_name(bucket)


@pytest.mark.parametrize("bucket", ["acme-data", "my.data.2026", "1a2", "x" * 63])
def test_a_name_that_s3_takes_today_is_taken(bucket: str) -> None:
    assert check_new_bucket_name(bucket) == bucket
