"""What the results bucket is to be, and what differs. Values and their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Difference
from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.grants import RESULTS_PREFIX
from airflow_quilt_athena.core.provisioning.mark import is_ours
from airflow_quilt_athena.exceptions import InvalidCallError

LIFECYCLE_RULE_ID = "quilt-athena-results"
_ABORT_UPLOADS_AFTER_DAYS = 7
BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_KMS_ALGORITHMS = frozenset({"aws:kms", "aws:kms:dsse"})
# S3's own key, whose use everybody of the account is granted.
_OWN_KEY = "alias/aws/s3"


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
            # In a versioned bucket what expires only becomes noncurrent, and would stay for ever.
            rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": 1}
        return rule


@dataclass(frozen=True, slots=True)
class FoundBucket:
    """What the results bucket is."""

    public_access_block: Mapping[str, bool]
    encryption: Mapping[str, Any]  # ServerSideEncryptionByDefault
    lifecycle: Mapping[str, Any]  # as GetBucketLifecycleConfiguration answers
    tags: Sequence[Mapping[str, str]] = ()

    @property
    def marked(self) -> bool:
        """Whether it carries our mark."""
        return is_ours(self.tags)

    def key_arn(self, account: Account, name: str) -> str | None:
        """Return the key somebody chose for the bucket, which whoever writes there has to be granted."""
        key = str(self.encryption.get("KMSMasterKeyID") or "")
        if not key or key.endswith(_OWN_KEY):
            return None
        if key.startswith("alias/") or ":alias/" in key:
            raise InvalidCallError(
                f"Results bucket {name} is encrypted with {key}, and a policy cannot grant the use of an "
                "alias. Name the key itself as kms_key_arn, arn:aws:kms:<region>:<account>:key/<id>."
            )
        return key if key.startswith("arn:") else account.arn("kms", "key/", key)


def bucket_differences(found: FoundBucket, wanted: WantedBucket) -> tuple[Difference, ...]:
    """Return what of the bucket is not as it is to be."""
    differences = []
    open_settings = [name for name in BLOCK if not found.public_access_block.get(name)]
    if open_settings:
        was = None if len(open_settings) == len(BLOCK) else "off: " + ", ".join(open_settings)
        differences.append(Difference("public access block", was, "on"))
    if not is_encrypted(found.encryption, wanted):
        differences.append(
            Difference(
                "encryption",
                _describe_encryption(found.encryption),
                _describe_encryption(default_key(wanted)),
            )
        )
    rule = our_rule(found)
    if not is_rule(rule, wanted.lifecycle_rule):
        differences.append(
            Difference(
                f"lifecycle rule {LIFECYCLE_RULE_ID}",
                _describe_rule(rule),
                _describe_rule(wanted.lifecycle_rule),
            )
        )
    return tuple(differences)


def default_key(wanted: WantedBucket) -> dict[str, str]:
    """Return the encryption that the bucket is to have, as S3 writes it."""
    if wanted.kms_key_arn is None:
        return {"SSEAlgorithm": "AES256"}
    return {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": wanted.kms_key_arn}


def is_encrypted(found: Mapping[str, Any], wanted: WantedBucket) -> bool:
    """Whether the encryption found is as wanted."""
    if wanted.kms_key_arn is None:
        # A key that somebody chose for the bucket is not taken away: it is more than what was asked for.
        return bool(found.get("SSEAlgorithm"))
    return found.get("SSEAlgorithm") in _KMS_ALGORITHMS and found.get("KMSMasterKeyID") == wanted.kms_key_arn


def _describe_encryption(encryption: Mapping[str, Any]) -> str | None:
    return " ".join(str(value) for value in encryption.values()) or None


def our_rule(found: FoundBucket) -> dict[str, Any] | None:
    """Return our rule among the lifecycle rules found, if it is there."""
    rules = (rule for rule in found.lifecycle.get("Rules", []) if rule.get("ID") == LIFECYCLE_RULE_ID)
    return next(rules, None)


def is_rule(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether the rule found is the one wanted, in whichever of the two forms S3 keeps."""
    return found is not None and _prefix_in_filter(found) == wanted


def _prefix_in_filter(rule: Mapping[str, Any]) -> dict[str, Any]:
    if "Prefix" not in rule:
        return dict(rule)
    return {name: rule[name] for name in rule if name != "Prefix"} | {"Filter": {"Prefix": rule["Prefix"]}}


def _describe_rule(rule: Mapping[str, Any] | None) -> str | None:
    if rule is None:
        return None
    expiration, uploads = rule.get("Expiration", {}), rule.get("AbortIncompleteMultipartUpload", {})
    prefix = rule.get("Filter", {}).get("Prefix", rule.get("Prefix"))
    noncurrent = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays", "no")
    return (
        f"{rule.get('Status', '').lower()} for {prefix}: results go after "
        f"{expiration.get('Days', 'no')} days, unfinished uploads after "
        f"{uploads.get('DaysAfterInitiation', 'no')}, replaced versions after {noncurrent}"
    )
