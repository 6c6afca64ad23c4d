"""A results bucket that somebody, or an earlier try of ours, makes in the same moment."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.provisioning.mark import OUR_TAG
from airflow_quilt_athena.core.provisioning.results_bucket import WantedBucket
from airflow_quilt_athena.exceptions import AccessError
from airflow_quilt_athena.flows.provisioning.results_bucket import plan_results_bucket
from tests.unit.flows.provisioning.aws_fake import Service, clients, refusal

WANTED = WantedBucket("acme-results", "eu-west-1", "123456789012", None, 30)
BLOCKED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


def bucket(
    create: dict[str, Any] | Exception, *, algorithm: str | None, tags: list[dict[str, str]]
) -> Service:
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}] if algorithm else []

    def get_bucket_tagging(**_: Any) -> dict[str, Any]:
        if not tags:
            raise refusal("NoSuchTagSet")
        return {"TagSet": tags}

    def get_bucket_lifecycle_configuration(**_: Any) -> dict[str, Any]:
        raise refusal("NoSuchLifecycleConfiguration")

    return Service(
        create_bucket=[create],
        get_public_access_block=lambda **_: {"PublicAccessBlockConfiguration": BLOCKED},
        get_bucket_encryption=lambda **_: {"ServerSideEncryptionConfiguration": {"Rules": rules}},
        get_bucket_lifecycle_configuration=get_bucket_lifecycle_configuration,
        get_bucket_tagging=get_bucket_tagging,
        put_bucket_tagging=lambda **_: {},
        put_bucket_encryption=lambda **_: {},
        put_bucket_lifecycle_configuration=lambda **_: {},
    )


def make(s3: Service) -> list[str]:
    """Make the bucket; return the calls that changed something."""
    plan_results_bucket(clients(s3=s3), WANTED, None, begun=False).apply()
    return [name for name, _ in s3.calls if not name.startswith("get_")]


def test_a_name_that_another_account_took_is_told_as_that() -> None:
    s3 = bucket(refusal("BucketAlreadyExists"), algorithm="AES256", tags=[])
    with pytest.raises(AccessError, match="belongs to another account; bucket names are shared"):
        make(s3)
    assert [name for name, _ in s3.calls] == ["create_bucket"]


def test_a_bucket_an_earlier_try_made_is_marked_and_set_up_as_a_new_one() -> None:
    s3 = bucket(refusal("BucketAlreadyOwnedByYou"), algorithm="AES256", tags=[])
    assert make(s3) == [
        "create_bucket",
        "put_bucket_tagging",
        "put_bucket_encryption",
        "put_bucket_lifecycle_configuration",
    ]
    assert s3.made("put_bucket_tagging")[0]["Tagging"] == {"TagSet": [OUR_TAG]}


def test_a_key_that_somebody_gave_the_bucket_meanwhile_stays() -> None:
    s3 = bucket({}, algorithm="aws:kms", tags=[])
    assert make(s3) == ["create_bucket", "put_bucket_tagging", "put_bucket_lifecycle_configuration"]


def test_a_bucket_that_somebody_made_and_tagged_meanwhile_stays_theirs() -> None:
    s3 = bucket({}, algorithm="AES256", tags=[{"Key": "team", "Value": "other"}])
    assert make(s3) == ["create_bucket", "put_bucket_lifecycle_configuration"]


def test_a_refusal_to_make_a_bucket_is_told() -> None:
    s3 = bucket(refusal("AccessDenied"), algorithm="AES256", tags=[])
    with pytest.raises(AccessError, match="Cannot create bucket acme-results: AccessDenied"):
        make(s3)
