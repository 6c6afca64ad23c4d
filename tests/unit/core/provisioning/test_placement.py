"""Buckets stay in the documents they are in, and what a policy loses is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_quilt_athena.core.provisioning.policy import (
    MAX_DOCUMENT_CHARACTERS,
    PolicyDocument,
    buckets_of,
    build_policies,
    count_characters,
    number_of,
)
from airflow_quilt_athena.core.provisioning.policy_diff import narrowed
from tests.unit.core.provisioning.test_arns import GRANT

NAMES = [f"acme-bucket-with-a-rather-long-name-{number:03}" for number in range(90)]


def _placed(documents: tuple[PolicyDocument, ...]) -> dict[int, tuple[str, ...]]:
    return {number_of(one.name, "P") or 0: buckets_of(one.document) for one in documents}


def _build(buckets: list[str], **more: Any) -> tuple[PolicyDocument, ...]:
    return build_policies("P", dataclasses.replace(GRANT, quilt_buckets=tuple(buckets)), **more)


some = st.lists(st.sampled_from(NAMES), unique=True, max_size=80)


@settings(max_examples=40)
@given(some, some)
def test_growing_and_shrinking_move_no_bucket(before: list[str], after: list[str]) -> None:
    was = _placed(_build(before))
    documents = _build(after, placed=was)
    now = _placed(documents)
    homes = {bucket: number for number, buckets in was.items() for bucket in buckets}
    for number, buckets in now.items():
        assert all(homes.get(bucket, number) == number for bucket in buckets)
    assert sorted(bucket for buckets in now.values() for bucket in buckets) == sorted(after)
    assert all(count_characters(one.statements) <= MAX_DOCUMENT_CHARACTERS for one in documents)
    assert _placed(_build(after, placed=now)) == now


def test_a_number_whose_name_is_somebody_elses_is_passed_over() -> None:
    assert sorted(_placed(_build(NAMES[:40], taken={2}))) == [1, 3, 4]


def test_buckets_that_no_longer_fit_the_first_document_move_out_of_it() -> None:
    small = dataclasses.replace(
        GRANT, warehouse=None, source_database=None, quilt_kms_key_arns=(), quilt_buckets=tuple(NAMES[:12])
    )
    was = _placed(build_policies("P", small))
    grown = dataclasses.replace(GRANT, quilt_buckets=tuple(NAMES[:12]))
    now = _placed(build_policies("P", grown, placed=was))
    assert set(now[1]) < set(was[1])
    assert sorted([*now[1], *now[2]]) == NAMES[:12]


@pytest.mark.parametrize(
    ("policy", "number"),
    [("Stack", 1), ("stack", 1), ("Stack-2", 2), ("STACK-17", 17), ("Stack-1", None), ("Stack-02", None),
     ("Stack-2-2", None), ("Stack-x", None), ("MyStack-2", None), ("Stack2", None)],
)  # fmt: skip
def test_a_policy_is_told_by_its_name_and_number(policy: str, number: int | None) -> None:
    assert number_of(policy, "Stack") == number


# --------------------------------------------------------------------------------------- narrowing


def _document(action: str | list[str], resource: str | list[str], **more: Any) -> dict[str, Any]:
    return {"Statement": {"Effect": "Allow", "Action": action, "Resource": resource, **more}}


ON_A = {"Condition": {"StringLike": {"s3:prefix": ["a/*"]}}}


@pytest.mark.parametrize(
    ("found", "wanted", "lost"),
    [
        (_document("s3:GetObject", "a"), _document(["s3:GetObject"], ["a", "b"]), 0),
        (_document("s3:GetObject", "a/b"), _document("s3:Get*", "a/*"), 0),
        (_document("s3:GetObject", "a/*"), _document("s3:GetObject", "a/b"), 1),
        (_document("s3:*", "a"), _document("s3:GetObject", "a"), 1),
        (_document("S3:getobject", "a"), _document("s3:GetObject", "a"), 0),
        (_document("s3:ListBucket", "a"), _document("s3:ListBucket", "a", **ON_A), 1),
        (_document("s3:ListBucket", "a", **ON_A), _document("s3:ListBucket", "a"), 0),
        (_document(["s3:GetObject", "s3:PutObject"], ["a", "b"]), _document("s3:GetObject", ["a", "b"]), 2),
        (_document("s3:GetObject", "a", Effect="Deny"), _document("s3:PutObject", "a"), 0),
        (
            {"Statement": [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]},
            _document("a:b", "*"),
            1,
        ),
    ],
)
def test_what_is_lost_is_what_nothing_else_grants(
    found: dict[str, Any], wanted: dict[str, Any], lost: int
) -> None:
    assert len(narrowed([found], [wanted])) == lost


@settings(max_examples=30)
@given(some, some)
def test_a_policy_is_narrowed_by_the_buckets_that_go_and_no_others(
    before: list[str], after: list[str]
) -> None:
    was = _build(before)
    now = _build(after, placed=_placed(was))
    told = narrowed([one.document for one in was], [one.document for one in now])
    gone = set(before) - set(after)
    assert {str(one.was).split(":::")[1].split("/")[0] for one in told} == gone
    moved = narrowed([one.document for one in now], [one.document for one in now])
    assert moved == ()
