"""Who calls. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from local_athena.account import ACCOUNT_ID, DEFAULT_REGION, ENGINE_ACCESS_KEY_ID


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
