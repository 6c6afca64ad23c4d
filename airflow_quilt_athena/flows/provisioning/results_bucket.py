"""The bucket of Athena's results: private, encrypted, and cleaned of old results by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.plans import Difference, Step
from airflow_quilt_athena.core.provisioning.mark import OUR_TAG
from airflow_quilt_athena.core.provisioning.results_bucket import (
    BLOCK,
    LIFECYCLE_RULE_ID,
    FoundBucket,
    WantedBucket,
    bucket_differences,
    default_key,
    is_encrypted,
    is_rule,
    our_rule,
)
from airflow_quilt_athena.core.quilt.identifiers import check_new_bucket_name
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_settling, ask_unless, unless
from airflow_quilt_athena.flows.aws.errors import error_code
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change

_DEFAULT_REGION = "us-east-1"
_REGION_OF_OLD_NAME = {"EU": "eu-west-1"}

_NOT_THERE = frozenset({"404", "NoSuchBucket", "NotFound"})
_NO_BLOCK = frozenset({"NoSuchPublicAccessBlockConfiguration"})
_NO_ENCRYPTION = frozenset({"ServerSideEncryptionConfigurationNotFoundError"})
_NO_LIFECYCLE = frozenset({"NoSuchLifecycleConfiguration"})
_NO_TAGS = frozenset({"NoSuchTagSet", "NoSuchTagSetError"})
# What a bucket just made may still answer.
_SETTLING = frozenset({"NoSuchBucket"})
_S3_DEFAULT = {"SSEAlgorithm": "AES256"}


def plan_results_bucket(
    clients: AwsClients, wanted: WantedBucket, found: FoundBucket | None, *, begun: bool
) -> Change:
    """Return what has to be done.

    :param begun: whether an earlier run wrote down that it was about to make this bucket.
    """
    if found is None:
        check_new_bucket_name(wanted.name)
        details = (Difference("region", None, wanted.region), *bucket_differences(_NOTHING, wanted))
        step = Step.create("results bucket", wanted.name, details)
        return Change(step, lambda: _create(clients, wanted))
    differences = list(bucket_differences(found, wanted))
    left_unmarked = begun and not found.tags
    if left_unmarked:
        differences.append(Difference("mark", None, "made by us, in a run that was stopped"))
    elif differences and not found.marked:
        differences.insert(
            0, Difference("adopt", "somebody else's bucket", "used for results, and left theirs")
        )
    step = Step.converge("results bucket", wanted.name, differences)

    def apply() -> None:
        if left_unmarked:
            _mark(clients, wanted, found)
        _converge(clients, wanted, found)

    return Change(step, apply)


# ------------------------------------------------------------------------------------------ observe

_NOTHING = FoundBucket({}, {}, {})


def observe_results_bucket(clients: AwsClients, wanted: WantedBucket) -> FoundBucket | None:
    """Return the bucket, None when there is none. Raises when it is somebody else's or lies elsewhere."""
    if not _exists(clients, wanted):
        return None
    _refuse_other_region(clients, wanted)
    return _observe_settings(clients, wanted)


def _observe_settings(clients: AwsClients, wanted: WantedBucket) -> FoundBucket:
    s3, name, ours = clients.s3, wanted.name, wanted.owned

    def read(call: Callable[..., dict[str, Any]], unset: frozenset[str], what: str) -> dict[str, Any]:
        doing = f"read {what} of bucket {name}"
        return ask_settling(_SETTLING, unless(unset, lambda: call(**ours)), doing) or {}

    block = read(s3.get_public_access_block, _NO_BLOCK, "the public access block")
    encryption = read(s3.get_bucket_encryption, _NO_ENCRYPTION, "the encryption")
    lifecycle = read(s3.get_bucket_lifecycle_configuration, _NO_LIFECYCLE, "the lifecycle rules")
    tags = read(s3.get_bucket_tagging, _NO_TAGS, "the tags")
    return FoundBucket(
        public_access_block=block.get("PublicAccessBlockConfiguration", {}),
        encryption=_default_encryption(encryption),
        lifecycle=lifecycle,
        tags=tuple(tags.get("TagSet", ())),
    )


def _exists(clients: AwsClients, wanted: WantedBucket) -> bool:
    doing = f"look at bucket {wanted.name}"
    try:
        return ask_unless(_NOT_THERE, lambda: clients.s3.head_bucket(**wanted.owned), doing) is not None
    except AccessError as error:
        raise AccessError(
            f"Bucket {wanted.name} exists and is not open to us: it belongs to another account than "
            f"{wanted.account_id}, or the caller lacks s3:ListBucket on it. Choose another results_bucket, "
            "or grant the caller access."
        ) from error


def _refuse_other_region(clients: AwsClients, wanted: WantedBucket) -> None:
    answer = ask(
        lambda: clients.s3.get_bucket_location(**wanted.owned), f"find the region of bucket {wanted.name}"
    )
    location = answer.get("LocationConstraint") or _DEFAULT_REGION
    region = _REGION_OF_OLD_NAME.get(location, location)
    if region != wanted.region:
        raise InvalidCallError(
            f"Results bucket {wanted.name} is in region {region}, Athena's workgroup would be in "
            f"{wanted.region}. Expected both in one region: choose another bucket, or set region_name."
        )


def _default_encryption(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    return rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}


# -------------------------------------------------------------------------------------------- apply


def _create(clients: AwsClients, wanted: WantedBucket) -> None:
    request: dict[str, Any] = {"Bucket": wanted.name}
    if wanted.region != _DEFAULT_REGION:
        request["CreateBucketConfiguration"] = {"LocationConstraint": wanted.region}

    def create() -> None:
        try:
            clients.s3.create_bucket(**request)
        except ClientError as error:
            if error_code(error) == "BucketAlreadyExists":
                raise AccessError(
                    f"Bucket {wanted.name} belongs to another account; bucket names are shared by all of "
                    "AWS. Choose another results_bucket."
                ) from error
            if error_code(error) != "BucketAlreadyOwnedByYou":  # an earlier try of ours, or a sister's
                raise

    ask(create, f"create bucket {wanted.name}")
    # Somebody may have made it since it was looked at (in us-east-1, S3 answers that as a success): what
    # they have set and tagged is looked at, and stays.
    found = _observe_settings(clients, wanted)
    if not found.tags:
        _mark(clients, wanted, found)
        if found.encryption == _S3_DEFAULT:
            found = replace(found, encryption={})  # said outright: defaults have changed before
    _converge(clients, wanted, found)


def _mark(clients: AwsClients, wanted: WantedBucket, found: FoundBucket) -> None:
    # The call replaces all tags.
    tags = [*found.tags, OUR_TAG]
    ask_settling(
        _SETTLING,
        lambda: clients.s3.put_bucket_tagging(**wanted.owned, Tagging={"TagSet": tags}),
        f"tag bucket {wanted.name}",
    )


def _converge(clients: AwsClients, wanted: WantedBucket, found: FoundBucket) -> None:
    name, ours = wanted.name, wanted.owned
    if not all(found.public_access_block.get(setting) for setting in BLOCK):
        block = dict.fromkeys(BLOCK, True)
        ask_settling(
            _SETTLING,
            lambda: clients.s3.put_public_access_block(**ours, PublicAccessBlockConfiguration=block),
            f"block public access to bucket {name}",
        )
    if not is_encrypted(found.encryption, wanted):
        rule = {"ApplyServerSideEncryptionByDefault": default_key(wanted), "BucketKeyEnabled": True}
        if wanted.kms_key_arn is None:
            del rule["BucketKeyEnabled"]  # means something with KMS only
        ask_settling(
            _SETTLING,
            lambda: clients.s3.put_bucket_encryption(
                **ours, ServerSideEncryptionConfiguration={"Rules": [rule]}
            ),
            f"encrypt bucket {name}",
        )
    if not is_rule(our_rule(found), wanted.lifecycle_rule):
        replace_our_rule(clients, wanted, wanted.lifecycle_rule, f"set the lifecycle rule of bucket {name}")


def replace_our_rule(
    clients: AwsClients, bucket: WantedBucket, rule: Mapping[str, Any] | None, doing: str
) -> None:
    """Replace our lifecycle rule of a bucket, None for no rule, and nothing of what lies beside it.

    The call replaces all there is, so that is read anew just before, with what others have set meanwhile.
    """
    s3 = clients.s3
    now = (
        ask_settling(
            _SETTLING,
            unless(_NO_LIFECYCLE, lambda: s3.get_bucket_lifecycle_configuration(**bucket.owned)),
            f"read the lifecycle rules of bucket {bucket.name}",
        )
        or {}
    )
    others = [other for other in now.get("Rules", []) if other.get("ID") != LIFECYCLE_RULE_ID]
    ours = [] if rule is None else [rule]
    if not ours and not others:
        ask(lambda: s3.delete_bucket_lifecycle(**bucket.owned), doing)
        return
    if any("Prefix" in other for other in others):  # S3 takes rules of the old form alone, or none of them
        ours = [_prefix_beside(one) for one in ours]
    request: dict[str, Any] = {**bucket.owned, "LifecycleConfiguration": {"Rules": [*others, *ours]}}
    minimum_size = now.get("TransitionDefaultMinimumObjectSize")
    if minimum_size:
        request["TransitionDefaultMinimumObjectSize"] = minimum_size
    ask_settling(_SETTLING, lambda: s3.put_bucket_lifecycle_configuration(**request), doing)


def _prefix_beside(rule: Mapping[str, Any]) -> dict[str, Any]:
    prefix = rule["Filter"]["Prefix"]
    return {name: rule[name] for name in rule if name != "Filter"} | {"Prefix": prefix}
