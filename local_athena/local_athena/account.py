"""The one account that the server plays: its id, its region, and the keys that are not made by IAM calls."""

from __future__ import annotations

ACCOUNT_ID = "123456789012"
DEFAULT_REGION = "us-east-1"
ROOT_ARN = f"arn:aws:iam::{ACCOUNT_ID}:root"
PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
# The account's root user, who may do everything, also while IAM is enforced.
ROOT_ACCESS_KEY_ID = "LOCALATHENAROOT00000"
ROOT_SECRET_ACCESS_KEY = "local-athena-root"
# What a Trino server signs with: its calls are those that queries make, on nobody's behalf but the account's.
ENGINE_ACCESS_KEY_ID = "LOCALATHENATRINO0000"
ENGINE_SECRET_ACCESS_KEY = "local-athena-trino"


def partition_of(region: str) -> str:
    """Return the partition that a region is in, the second part of its ARNs."""
    return next((f"aws-{start}" for start in ("cn", "us-gov") if region.startswith(f"{start}-")), "aws")
