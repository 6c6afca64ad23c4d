"""Nothing that a user names widens a policy, and an ARN is read in all its parts."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.provisioning.arns import Account, check_key_arn, parse_role
from airflow_quilt_athena.core.provisioning.policy import Grant, build_policies
from airflow_quilt_athena.exceptions import InvalidCallError

ACCOUNT = Account("aws", "eu-west-1", "123456789012")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b-2c"
GRANT = Grant(
    account=ACCOUNT,
    results=S3Uri("acme-results", "results/"),
    quilt_buckets=("acme-data",),
    database="lake",
    workgroup="acme",
    warehouse=S3Uri("acme-lake", "tables/"),
    source_database="platform",
    kms_key_arn=KEY,
    lake_formation=True,
    catalog_kms_key_arn=KEY.replace("0a1b", "cata"),
    quilt_kms_key_arns=(KEY.replace("0a1b", "quilt"),),
    package_registries=("acme-registry",),
    package_sources=("acme-raw",),
    event_queue_arns=("arn:aws:sqs:eu-west-1:123456789012:quilt",),
    watched_buckets=("acme-watched",),
)
MARK = "zz9"


def _with(name: str, text: str) -> dict[str, Any]:
    """The grant's fields, one of them as a user would have it."""
    fields: dict[str, Any] = {
        "results": S3Uri(text, "results/"),
        "results key": S3Uri("acme-results", f"{text}/"),
        "quilt_buckets": (text,),
        "database": text,
        "workgroup": text,
        "warehouse": S3Uri("acme-lake", f"{text}/"),
        "warehouse bucket": S3Uri(text, "tables/"),
        "source_database": text,
        "kms_key_arn": f"arn:aws:kms:eu-west-1:123456789012:key/{text}",
        "catalog_kms_key_arn": f"arn:aws:kms:eu-west-1:123456789012:key/{text}",
        "quilt_kms_key_arns": (f"arn:aws:kms:eu-west-1:123456789012:key/{text}",),
        "package_registries": (text,),
        "package_sources": (text,),
        "event_queue_arns": (f"arn:aws:sqs:eu-west-1:123456789012:{text}",),
        "watched_buckets": (text,),
    }
    return {name.partition(" ")[0]: fields[name]}


FIELDS = (
    "results", "results key", "quilt_buckets", "database", "workgroup", "warehouse", "warehouse bucket",
    "source_database", "kms_key_arn", "catalog_kms_key_arn", "quilt_kms_key_arns",
    "package_registries", "package_sources", "event_queue_arns", "watched_buckets",
)  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_reaches_the_policy(name: str) -> None:
    documents = build_policies("P", dataclasses.replace(GRANT, **_with(name, MARK)))
    assert MARK in json.dumps([document.document for document in documents])


@given(
    st.sampled_from(FIELDS),
    st.text(st.characters(codec="ascii"), max_size=6),
    st.sampled_from("*?$"),
    st.text(st.characters(codec="ascii"), max_size=6),
)
def test_no_wildcard_of_a_user_reaches_a_policy(name: str, before: str, wild: str, after: str) -> None:
    with pytest.raises(InvalidCallError):
        build_policies("P", dataclasses.replace(GRANT, **_with(name, f"{before}{wild}{after}")))


@pytest.mark.parametrize(
    "account",
    [("aws", "*", "123456789012"), ("*", "eu-west-1", "123456789012"), ("aws", "eu-west-1", "*")],
    ids=["region", "partition", "account"],
)
def test_an_account_holds_no_wildcard_either(account: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidCallError):
        Account(*account)


def test_the_optional_grants_read_like_this() -> None:
    (policy,) = build_policies("P", GRANT)
    found = {one["Sid"]: (one["Action"], one["Resource"]) for one in policy.statements}
    assert found["ReadWhatLakeFormationGrants"] == (["lakeformation:GetDataAccess"], ["*"])
    assert found["ReadAndWriteTheEncryptedDataCatalog"] == (
        ["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"],
        [GRANT.catalog_kms_key_arn],
    )
    assert found["DecryptQuiltBuckets"] == (["kms:Decrypt"], list(GRANT.quilt_kms_key_arns))


@pytest.mark.parametrize(
    ("arn", "said"),
    [
        ("*", "no key of KMS"),
        ("x", "no key of KMS"),
        ("arn:aws:kms:*:123456789012:key/1", "no key of KMS"),
        ("arn:aws:s3:eu-west-1:123456789012:key/1", "no key of KMS"),
        ("arn:aws:kms:eu-west-1:123456789012:key/", "no key of KMS"),
        ("arn:aws:kms:eu-west-1:123456789012:alias/lake", "an alias"),
    ],
)
def test_what_is_no_key_is_refused(arn: str, said: str) -> None:
    with pytest.raises(InvalidCallError, match=said):
        check_key_arn(arn, "kms_key_arn")


@pytest.mark.parametrize(
    "warehouse",
    [S3Uri("acme-data"), S3Uri("acme-data", ".quilt/"), S3Uri("acme-data", ".quilt/packages/x/")],
    ids=str,
)
def test_a_warehouse_that_holds_packages_is_refused(warehouse: S3Uri) -> None:
    with pytest.raises(InvalidCallError, match="holds the packages of Quilt bucket acme-data"):
        dataclasses.replace(GRANT, warehouse=warehouse)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arn:aws:iam::999999999999:role/worker", "of account 999999999999"),
        ("arn:aws-cn:iam::123456789012:role/worker", "in aws-cn"),
        ("arn:aws:iam::123456789012:user/worker", "an? iam user, not a role"),
        ("arn:aws:iam::123456789012:group/team/worker", "group"),
        ("arn:aws:iam::123456789012:policy/worker", "policy"),
        ("arn:aws:iam::123456789012:root", "root"),
        ("arn:aws:sts::123456789012:assumed-role/worker/session", "session of a role.*role/worker"),
        ("arn:aws:s3:::worker", "not a role"),
        ("arn:aws:iam::123456789012:role/", "not a role"),
        ("arn:aws:iam", "Expected arn:aws:iam"),
        ("team/worker", "no path"),
        ("", "Expected a role's name"),
        ("*", "Expected a role's name"),
        ("w" * 65, "up to 64"),
    ],
)
def test_what_is_no_role_of_the_account_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidCallError, match=said):
        parse_role(text, ACCOUNT)


def test_a_role_is_named_by_name_or_by_its_arn() -> None:
    assert parse_role("worker", ACCOUNT).name == "worker"
    arn = "arn:aws:iam::123456789012:role/team/a/worker"
    role = parse_role(arn, ACCOUNT)
    assert (role.name, role.arn) == ("worker", arn)
