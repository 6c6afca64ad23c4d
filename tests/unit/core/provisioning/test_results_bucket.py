"""What of the results bucket is not as it is to be, by what S3 answers of it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.plans import Difference
from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.results_bucket import (
    FoundBucket,
    WantedBucket,
    bucket_differences,
)
from airflow_quilt_athena.exceptions import InvalidCallError

ACCOUNT = Account("aws", "eu-west-1", "123456789012")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"
CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
RULE: dict[str, Any] = {
    "ID": "quilt-athena-results",
    "Filter": {"Prefix": "results/"},
    "Status": "Enabled",
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    "Expiration": {"Days": 30},
    "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
}
OF_OLD = {name: RULE[name] for name in RULE if name != "Filter"} | {"Prefix": "results/"}
S3S = {"SSEAlgorithm": "AES256"}
OTHERS = {"ID": "theirs", "Status": "Enabled", "Filter": {}}


def wanted(key: str | None = None, days: int | None = 30) -> WantedBucket:
    return WantedBucket("acme-results", "eu-west-1", "123456789012", key, days)


def found(**changes: Any) -> FoundBucket:
    settings: dict[str, Any] = {
        "public_access_block": CLOSED,
        "encryption": S3S,
        "lifecycle": {"Rules": [OTHERS, RULE]},
    }
    return FoundBucket(**{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, None),
        ({"lifecycle": {"Rules": [OF_OLD]}}, None),
        (
            {"encryption": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "theirs"}},
            None,
        ),  # more than asked for
        ({"encryption": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}, KEY),
        ({"encryption": {"SSEAlgorithm": "aws:kms:dsse", "KMSMasterKeyID": KEY}}, KEY),
    ],
)
def test_a_bucket_that_is_as_wanted_differs_in_nothing(changes: dict[str, Any], key: str | None) -> None:
    assert bucket_differences(found(**changes), wanted(key)) == ()


def test_a_bucket_without_settings_lacks_all_of_them() -> None:
    assert bucket_differences(FoundBucket({}, {}, {}), wanted(KEY)) == (
        Difference("public access block", None, "on"),
        Difference("encryption", None, f"aws:kms {KEY}"),
        Difference(
            "lifecycle rule quilt-athena-results",
            None,
            "enabled for results/: results go after 30 days, unfinished uploads after 7, "
            "replaced versions after 1",
        ),
    )


def test_what_somebody_changed_is_told_as_it_is_and_as_it_will_be() -> None:
    changed = found(
        public_access_block={**CLOSED, "BlockPublicPolicy": False},
        encryption={"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "theirs"},
        lifecycle={"Rules": [{"ID": "quilt-athena-results", "Status": "Disabled", "Prefix": "x/"}]},
    )
    assert bucket_differences(changed, wanted(KEY, days=None)) == (
        Difference("public access block", "off: BlockPublicPolicy", "on"),
        Difference("encryption", "aws:kms theirs", f"aws:kms {KEY}"),
        Difference(
            "lifecycle rule quilt-athena-results",
            "disabled for x/: results go after no days, unfinished uploads after no, "
            "replaced versions after no",
            "enabled for results/: results go after no days, unfinished uploads after 7, "
            "replaced versions after no",
        ),
    )


@pytest.mark.parametrize(
    ("key", "granted"),
    [
        (None, None),
        ("alias/aws/s3", None),
        ("arn:aws:kms:eu-west-1:123456789012:alias/aws/s3", None),
        (KEY, KEY),
        ("k", KEY),
    ],
)
def test_a_key_that_somebody_chose_is_granted_and_s3s_own_is_not(
    key: str | None, granted: str | None
) -> None:
    assert found(encryption={"KMSMasterKeyID": key}).key_arn(ACCOUNT, "acme-results") == granted


@pytest.mark.parametrize("alias", ["alias/ours", "arn:aws:kms:eu-west-1:123456789012:alias/ours"])
def test_the_use_of_an_alias_cannot_be_granted(alias: str) -> None:
    with pytest.raises(InvalidCallError, match=r"cannot grant the use of an alias\. Name the key"):
        found(encryption={"KMSMasterKeyID": alias}).key_arn(ACCOUNT, "acme-results")


def test_a_mark_is_ours_only_when_it_names_us() -> None:
    ours = {"Key": "quilt-athena:created-by", "Value": "airflow-quilt-athena"}
    assert found(tags=[{"Key": "team", "Value": "blue"}, ours]).marked
    assert not found(tags=[{**ours, "Value": "somebody"}]).marked
