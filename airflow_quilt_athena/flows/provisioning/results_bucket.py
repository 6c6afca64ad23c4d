"""The bucket of Athena's results: private, encrypted, and cleaned of old results by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Difference, Step
from airflow_quilt_athena.core.provisioning.policy import RESULTS_PREFIX
from airflow_quilt_athena.core.quilt.identifiers import check_new_bucket_name
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.aws.errors import error_code
from airflow_quilt_athena.flows.provisioning.resources import OUR_TAG, AwsClients, Change

LIFECYCLE_RULE_ID = "quilt-athena-results"
_ABORT_UPLOADS_AFTER_DAYS = 7
_DEFAULT_REGION = "us-east-1"
_REGION_OF_OLD_NAME = {"EU": "eu-west-1"}

_BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_KMS_ALGORITHMS = frozenset({"aws:kms", "aws:kms:dsse"})

_NOT_THERE = frozenset({"404", "NoSuchBucket", "NotFound"})
_NO_BLOCK = frozenset({"NoSuchPublicAccessBlockConfiguration"})
_NO_ENCRYPTION = frozenset({"ServerSideEncryptionConfigurationNotFoundError"})
_NO_LIFECYCLE = frozenset({"NoSuchLifecycleConfiguration"})


@dataclass(frozen=True, slots=True)
class WantedBucket:
    """What the results bucket is to be."""

    name: str
    region: str
    account_id: str
    kms_key_arn: str | None
    expire_after_days: int | None  # None keeps results for ever

    @property
    def results(self) -> S3Uri:
        """The folder results go to."""
        return S3Uri(self.name, RESULTS_PREFIX)

    @property
    def owned(self) -> dict[str, str]:
        """The bucket as calls name it: one that somebody else made under this name is not meant."""
        return {"Bucket": self.name, "ExpectedBucketOwner": self.account_id}

    @property
    def lifecycle_rule(self) -> dict[str, Any]:
        """Our rule among the bucket's lifecycle rules."""
        rule: dict[str, Any] = {
            "ID": LIFECYCLE_RULE_ID,
            "Filter": {"Prefix": RESULTS_PREFIX},
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_UPLOADS_AFTER_DAYS},
        }
        if self.expire_after_days is not None:
            rule["Expiration"] = {"Days": self.expire_after_days}
        return rule


@dataclass(frozen=True, slots=True)
class FoundBucket:
    """What the results bucket is."""

    public_access_block: Mapping[str, bool]
    encryption: Mapping[str, Any]  # ServerSideEncryptionByDefault
    lifecycle: Mapping[str, Any]  # as GetBucketLifecycleConfiguration answers


def plan_results_bucket(clients: AwsClients, wanted: WantedBucket) -> Change:
    """Look at the bucket and return what has to be done."""
    found = observe_results_bucket(clients, wanted)
    if found is None:
        check_new_bucket_name(wanted.name)
        details = (Difference("region", None, wanted.region), *_differences(_NOTHING, wanted))
        step = Step.create("results bucket", wanted.name, details)
        return Change(step, lambda: _create(clients, wanted))
    step = Step.converge("results bucket", wanted.name, _differences(found, wanted))
    return Change(step, lambda: _converge(clients, wanted, found))


# ------------------------------------------------------------------------------------------ observe

_NOTHING = FoundBucket({}, {}, {})


def observe_results_bucket(clients: AwsClients, wanted: WantedBucket) -> FoundBucket | None:
    """Return the bucket, None when there is none. Raises when it is somebody else's or lies elsewhere."""
    s3, name, ours = clients.s3, wanted.name, wanted.owned
    if not _exists(clients, wanted):
        return None
    _refuse_other_region(clients, wanted)
    block = ask_unless(
        _NO_BLOCK,
        lambda: s3.get_public_access_block(**ours),
        f"read the public access block of bucket {name}",
    )
    encryption = ask_unless(
        _NO_ENCRYPTION, lambda: s3.get_bucket_encryption(**ours), f"read the encryption of bucket {name}"
    )
    lifecycle = ask_unless(
        _NO_LIFECYCLE,
        lambda: s3.get_bucket_lifecycle_configuration(**ours),
        f"read the lifecycle rules of bucket {name}",
    )
    return FoundBucket(
        public_access_block=(block or {}).get("PublicAccessBlockConfiguration", {}),
        encryption=_default_encryption(encryption or {}),
        lifecycle=lifecycle or {},
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


# --------------------------------------------------------------------------------------------- plan


def _differences(found: FoundBucket, wanted: WantedBucket) -> tuple[Difference, ...]:
    differences = []
    open_settings = [name for name in _BLOCK if not found.public_access_block.get(name)]
    if open_settings:
        was = None if len(open_settings) == len(_BLOCK) else "off: " + ", ".join(open_settings)
        differences.append(Difference("public access block", was, "on"))
    if not _is_encrypted(found.encryption, wanted):
        differences.append(
            Difference(
                "encryption", _describe_encryption(found.encryption), _describe_encryption(_key(wanted))
            )
        )
    rule = _rule_of_ours(found)
    if rule != wanted.lifecycle_rule:
        differences.append(
            Difference(
                f"lifecycle rule {LIFECYCLE_RULE_ID}",
                _describe_rule(rule),
                _describe_rule(wanted.lifecycle_rule),
            )
        )
    return tuple(differences)


def _key(wanted: WantedBucket) -> dict[str, str]:
    if wanted.kms_key_arn is None:
        return {"SSEAlgorithm": "AES256"}
    return {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": wanted.kms_key_arn}


def _is_encrypted(found: Mapping[str, Any], wanted: WantedBucket) -> bool:
    if wanted.kms_key_arn is None:
        # A key that somebody chose for the bucket is not taken away: it is more than what was asked for.
        return bool(found.get("SSEAlgorithm"))
    return found.get("SSEAlgorithm") in _KMS_ALGORITHMS and found.get("KMSMasterKeyID") == wanted.kms_key_arn


def _describe_encryption(encryption: Mapping[str, Any]) -> str | None:
    return " ".join(str(value) for value in encryption.values()) or None


def _rule_of_ours(found: FoundBucket) -> dict[str, Any] | None:
    rules = (rule for rule in found.lifecycle.get("Rules", []) if rule.get("ID") == LIFECYCLE_RULE_ID)
    return next(rules, None)


def _describe_rule(rule: Mapping[str, Any] | None) -> str | None:
    if rule is None:
        return None
    expiration, uploads = rule.get("Expiration", {}), rule.get("AbortIncompleteMultipartUpload", {})
    prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix"))
    return (
        f"{rule.get('Status', '').lower()} for {prefix}: results go after "
        f"{expiration.get('Days', 'no')} days, unfinished uploads after "
        f"{uploads.get('DaysAfterInitiation', 'no')}"
    )


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
    ask(
        lambda: clients.s3.put_bucket_tagging(**wanted.owned, Tagging={"TagSet": [OUR_TAG]}),
        f"tag bucket {wanted.name}",
    )
    _converge(clients, wanted, _NOTHING)


def _converge(clients: AwsClients, wanted: WantedBucket, found: FoundBucket) -> None:
    name, ours = wanted.name, wanted.owned
    if not all(found.public_access_block.get(setting) for setting in _BLOCK):
        block = dict.fromkeys(_BLOCK, True)
        ask(
            lambda: clients.s3.put_public_access_block(**ours, PublicAccessBlockConfiguration=block),
            f"block public access to bucket {name}",
        )
    if not _is_encrypted(found.encryption, wanted):
        rule = {"ApplyServerSideEncryptionByDefault": _key(wanted), "BucketKeyEnabled": True}
        if wanted.kms_key_arn is None:
            del rule["BucketKeyEnabled"]  # means something with KMS only
        ask(
            lambda: clients.s3.put_bucket_encryption(
                **ours, ServerSideEncryptionConfiguration={"Rules": [rule]}
            ),
            f"encrypt bucket {name}",
        )
    if _rule_of_ours(found) != wanted.lifecycle_rule:
        _put_lifecycle(clients, wanted, found)


def _put_lifecycle(clients: AwsClients, wanted: WantedBucket, found: FoundBucket) -> None:
    # The call replaces all rules of the bucket, so the others are sent along.
    others = [rule for rule in found.lifecycle.get("Rules", []) if rule.get("ID") != LIFECYCLE_RULE_ID]
    request: dict[str, Any] = {
        **wanted.owned,
        "LifecycleConfiguration": {"Rules": [*others, wanted.lifecycle_rule]},
    }
    minimum_size = found.lifecycle.get("TransitionDefaultMinimumObjectSize")
    if minimum_size:
        request["TransitionDefaultMinimumObjectSize"] = minimum_size
    ask(
        lambda: clients.s3.put_bucket_lifecycle_configuration(**request),
        f"set the lifecycle rule of bucket {wanted.name}",
    )
