"""S3 URIs as values. A key is taken as it is written: nothing in it is ever decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass

_URI = re.compile(r"s3[an]?://([^/]+)(?:/(.*))?", re.DOTALL)  # s3a and s3n are Hadoop's names for the same


class InvalidUri(ValueError):
    """A text that should be an S3 URI is none."""


@dataclass(frozen=True, slots=True, order=True)
class S3Uri:
    """``s3://bucket/key``; an empty key is the bucket itself."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Read ``s3://bucket/key``. Raises InvalidUri."""
        match = _URI.fullmatch(text)
        if match is None:
            raise InvalidUri(f"Not an S3 URI: {text!r}")
        return cls(match[1], match[2] or "")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, part: str) -> S3Uri:
        """Return what lies at ``part`` below this URI, taken as a folder."""
        return S3Uri(self.bucket, self.folder.key + part.lstrip("/"))

    @property
    def folder(self) -> S3Uri:
        """The same place with a slash at its end, so that ``t`` is never taken for ``tt``."""
        key = self.key
        return self if not key or key.endswith("/") else S3Uri(self.bucket, f"{key}/")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rstrip("/").rsplit("/", 1)[-1]
