from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.provisioning.policy import (
    MAX_DOCUMENT_CHARACTERS,
    Account,
    Grant,
    PolicyDocument,
    build_policies,
)
from airflow_quilt_athena.core.provisioning.policy_diff import compare_documents
from airflow_quilt_athena.exceptions import InvalidCallError

GRANT = Grant(
    account=Account("aws", "eu-west-1", "123456789012"),
    results=S3Uri("acme-results", "results/"),
    quilt_buckets=("acme-data",),
    database="quilt_query",
    workgroup="quilt-query",
)
IN_WAREHOUSE = dataclasses.replace(GRANT, warehouse=S3Uri("acme-lake", "tables"))


def _allowed(documents: tuple[PolicyDocument, ...]) -> set[tuple[str, str]]:
    return {
        (action, resource)
        for document in documents
        for statement in document.statements
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def _resources(documents: tuple[PolicyDocument, ...], action: str) -> set[str]:
    return {resource for allowed, resource in _allowed(documents) if allowed == action}


def test_the_statements_for_a_bucket_read_like_this() -> None:
    (policy,) = build_policies("AthenaQuiltAccess", GRANT)
    assert policy.name == "AthenaQuiltAccess"
    assert list(policy.statements)[-3:] == [
        {
            "Sid": "FindQuiltBuckets",
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation"],
            "Resource": ["arn:aws:s3:::acme-data"],
        },
        {
            "Sid": "ListManifestsAndPointers",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": ["arn:aws:s3:::acme-data"],
            "Condition": {
                "StringLike": {"s3:prefix": [".quilt/packages/*", ".quilt/named_packages/*", ".quilt/v2/*"]}
            },
        },
        {
            "Sid": "ReadManifestsAndPointersNotTheirObjects",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [
                "arn:aws:s3:::acme-data/.quilt/packages/*",
                "arn:aws:s3:::acme-data/.quilt/named_packages/*",
            ],
        },
    ]


def test_nothing_is_granted_on_everything() -> None:
    for action, resource in _allowed(build_policies("P", IN_WAREHOUSE)):
        assert "*" not in action
        assert resource != "*"


def test_queries_run_in_one_workgroup_only() -> None:
    workgroup = "arn:aws:athena:eu-west-1:123456789012:workgroup/quilt-query"
    actions = {a for a, r in _allowed(build_policies("P", GRANT)) if r == workgroup}
    assert actions == {
        "athena:BatchGetQueryExecution",
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:GetWorkGroup",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
    }


def test_without_a_warehouse_only_quilt_tables_are_written_and_no_data_is() -> None:
    documents = build_policies("P", GRANT)
    ours = "arn:aws:glue:eu-west-1:123456789012:table/quilt_query/*_quilt_*"
    for action in ("glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"):
        assert {r for r in _resources(documents, action) if ":table/" in r} == {ours}
    assert _resources(documents, "s3:PutObject") == {"arn:aws:s3:::acme-results/results/*"}
    assert not _resources(documents, "s3:DeleteObject")
    assert not _resources(documents, "glue:UpdatePartition")


def test_with_a_warehouse_tables_are_written_but_only_quilt_ones_dropped() -> None:
    documents = build_policies("P", IN_WAREHOUSE)
    every = "arn:aws:glue:eu-west-1:123456789012:table/quilt_query/*"
    for action in (
        "glue:CreateTable",
        "glue:UpdateTable",
        "glue:BatchCreatePartition",
        "glue:UpdatePartition",
    ):
        assert every in _resources(documents, action)
    assert every not in _resources(documents, "glue:DeleteTable")
    assert _resources(documents, "s3:DeleteObject") == {"arn:aws:s3:::acme-lake/tables/*"}


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_every_arn_is_of_the_accounts_own_partition(partition: str) -> None:
    account = Account(partition, "cn-north-1", "123456789012")
    documents = build_policies("P", dataclasses.replace(IN_WAREHOUSE, account=account))
    assert {resource.split(":")[1] for _, resource in _allowed(documents)} == {partition}


def test_the_order_buckets_are_named_in_does_not_change_the_document() -> None:
    one = build_policies("P", dataclasses.replace(GRANT, quilt_buckets=("b-1", "a-1", "b-1")))
    assert one == build_policies("P", dataclasses.replace(GRANT, quilt_buckets=("a-1", "b-1")))


def test_optional_parts_are_granted_when_named_only() -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1"
    plain = build_policies("P", GRANT)
    assert not _resources(plain, "kms:Decrypt")
    more = build_policies("P", dataclasses.replace(GRANT, kms_key_arn=key, source_database="platform"))
    assert _resources(more, "kms:Decrypt") == {key}
    assert "arn:aws:glue:eu-west-1:123456789012:table/platform/*" in _resources(more, "glue:GetTable")
    assert "arn:aws:glue:eu-west-1:123456789012:table/platform/*" not in _resources(more, "glue:UpdateTable")


def _size(document: PolicyDocument) -> int:
    return len(re.sub(r"\s", "", json.dumps(document.document)))


bucket = st.from_regex(r"[a-z][a-z0-9-]{1,61}[a-z0-9]", fullmatch=True)


@settings(max_examples=30)
@given(st.lists(bucket, min_size=1, max_size=80, unique=True))
def test_documents_fit_and_hold_every_bucket_once(buckets: list[str]) -> None:
    documents = build_policies("P", dataclasses.replace(IN_WAREHOUSE, quilt_buckets=tuple(buckets)))
    assert all(_size(document) <= MAX_DOCUMENT_CHARACTERS for document in documents)
    numbered = [f"P-{number}" for number in range(2, len(documents) + 1)]
    assert [document.name for document in documents] == ["P", *numbered]
    granted = [
        resource.removeprefix("arn:aws:s3:::").removesuffix("/.quilt/packages/*")
        for document in documents
        for statement in document.statements
        for resource in statement["Resource"]
        if resource.endswith("/.quilt/packages/*")
    ]
    assert sorted(granted) == sorted(buckets)


def test_sixty_buckets_of_the_longest_names_fit_the_ten_policies_of_a_role() -> None:
    buckets = tuple(f"{number:02}-".ljust(63, "x") for number in range(60))
    assert len(build_policies("P", dataclasses.replace(IN_WAREHOUSE, quilt_buckets=buckets))) <= 10


def test_a_sid_is_unique_and_made_of_what_iam_takes() -> None:
    for document in build_policies("P", IN_WAREHOUSE):
        sids = [statement["Sid"] for statement in document.statements]
        assert len(set(sids)) == len(sids)
        assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("database", "*", "Not a name for a Glue database"),
        ("database", "Lake", "Not a name for a Glue database"),
        ("source_database", "*", "Not a name for a Glue database"),
        ("warehouse", S3Uri("acme-lake", "*"), "holds a wildcard"),
        ("workgroup", "acme*", "Not a name for an Athena workgroup"),
        ("workgroup", "w" * 129, "Not a name for an Athena workgroup"),
    ],
)
def test_a_name_that_would_grant_more_or_nothing_is_refused(field: str, value: object, words: str) -> None:
    with pytest.raises(InvalidCallError, match=words):
        dataclasses.replace(GRANT, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("account_id", ["", "12345678901", "1234567890123", "*", "12345678901x"])
def test_an_account_has_twelve_digits(account_id: str) -> None:
    with pytest.raises(InvalidCallError, match="Not an AWS account"):
        Account("aws", "eu-west-1", account_id)


@pytest.mark.parametrize("name", ["", "a b", "p" * 121, "policy/x"])
def test_an_illegal_policy_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidCallError, match="Not a policy name"):
        build_policies(name, GRANT)


def test_a_grant_too_long_for_any_document_is_refused() -> None:
    with pytest.raises(InvalidCallError, match="does not fit"):
        build_policies("P", dataclasses.replace(GRANT, warehouse=S3Uri("acme-lake", "t" * 6000)))


# --------------------------------------------------------------------------------------------- drift


def _document(*statements: dict[str, object]) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


READ: dict[str, object] = {
    "Sid": "Read",
    "Effect": "Allow",
    "Action": ["s3:GetObject"],
    "Resource": ["arn:b/*", "arn:a/*"],
}


def test_a_document_written_otherwise_is_the_same_document() -> None:
    other = READ | {"Action": "s3:GetObject", "Resource": ["arn:a/*", "arn:b/*"]}
    assert compare_documents({"Version": "2012-10-17", "Statement": other}, _document(READ)) == ()
    condition = {"StringLike": {"s3:prefix": "x*"}}
    listed = {"StringLike": {"s3:prefix": ["x*"]}}
    assert not compare_documents(
        _document(READ | {"Condition": condition}), _document(READ | {"Condition": listed})
    )


def test_only_what_comes_and_goes_is_told() -> None:
    wanted = READ | {"Resource": ["arn:b/*", "arn:c/*"]}
    (difference,) = compare_documents(_document(READ), _document(wanted))
    assert str(difference) == "statement Read, Resource: arn:a/* → arn:c/*"


def test_statements_that_come_go_or_change_their_effect_are_told() -> None:
    old: dict[str, object] = {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}
    found = _document(READ | {"Effect": "Deny"}, old)
    new = READ | {"Sid": "More"}
    assert [str(difference) for difference in compare_documents(found, _document(READ, new))] == [
        'statement Read, Effect: ["Deny"] → ["Allow"]',
        "statement More: s3:GetObject",
        "statement number 2: s3:* → removed",
    ]


def test_an_action_that_is_no_longer_listed_is_told() -> None:
    found = READ | {"NotResource": ["arn:c/*"]}
    (difference,) = compare_documents(_document(found), _document(READ))
    assert str(difference) == "statement Read, NotResource: arn:c/* → removed"


def test_a_policys_arn_is_in_the_partition_of_its_account() -> None:
    account = Account("aws-cn", "cn-north-1", "123456789012")
    assert account.policy_arn("Read") == "arn:aws-cn:iam::123456789012:policy/Read"
