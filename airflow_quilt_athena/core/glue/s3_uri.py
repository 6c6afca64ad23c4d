"""S3 URIs as values."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_quilt_athena.exceptions import InvalidCallError


@dataclass(frozen=True, slots=True, order=True)
class S3Uri:
    """``s3://bucket/key``; an empty key is the bucket itself. Keys are taken literally, never decoded."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Read ``s3://bucket/key`` (``s3a`` and ``s3n``, Hadoop's names for the same, too)."""
        scheme, separator, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if not separator or scheme not in {"s3", "s3a", "s3n"} or not bucket:
            raise InvalidCallError(f"Not an S3 URI: {text!r}. Expected s3://bucket/key.")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, part: str) -> S3Uri:
        """Append ``part`` below this URI taken as a folder."""
        return S3Uri(self.bucket, self.folder.key + part.lstrip("/"))

    @property
    def folder(self) -> S3Uri:
        """The same place with a key that ends in ``/``, so that ``t`` is never mistaken for ``tt``."""
        if not self.key or self.key.endswith("/"):
            return self
        return S3Uri(self.bucket, self.key + "/")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rstrip("/").rpartition("/")[2]

    def contains(self, other: S3Uri) -> bool:
        """Whether ``other`` is this folder or lies below it."""
        return self.bucket == other.bucket and other.folder.key.startswith(self.folder.key)
