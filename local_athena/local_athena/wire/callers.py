"""Who calls. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from local_athena.wire.operation_names import DEFAULT_REGION

ACCOUNT_ID = "123456789012"
ROOT_ARN = f"arn:aws:iam::{ACCOUNT_ID}:root"
# The account's root user, who may do everything, also while IAM is enforced.
ROOT_ACCESS_KEY_ID = "LOCALATHENAROOT00000"
ROOT_SECRET_ACCESS_KEY = "local-athena-root"
# What a Trino server signs with: its calls are those that queries make, on nobody's behalf but the account's.
ENGINE_ACCESS_KEY_ID = "LOCALATHENATRINO0000"
ENGINE_SECRET_ACCESS_KEY = "local-athena-trino"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a call. ``secret_access_key`` is empty for a key that nobody made."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    arn: str
    region: str = DEFAULT_REGION

    @property
    def account_id(self) -> str:
        """The account the caller belongs to."""
        return self.arn.split(":")[4]

    @property
    def is_engine(self) -> bool:
        """Whether the caller is a Trino server that runs queries."""
        return self.access_key_id == ENGINE_ACCESS_KEY_ID

    @property
    def is_root(self) -> bool:
        """Whether the caller is an account's root user."""
        return self.arn.endswith(":root")


ANONYMOUS = Caller("", "", None, f"arn:aws:iam::{ACCOUNT_ID}:anonymous")
