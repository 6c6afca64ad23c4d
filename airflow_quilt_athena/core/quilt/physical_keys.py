"""Physical keys as manifests write them: s3 URLs with a version, percent-encoded."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.~/-]*")  # which percent-encoding leaves as it is
_PLAIN_VERSION = re.compile(r"[A-Za-z0-9_.~-]*")


def split_physical_key(url: str) -> tuple[str, str, str | None]:
    """Return bucket, key and version of a physical key that is well formed."""
    rest, _, version = url.removeprefix("s3://").partition("?versionId=")
    bucket, _, key = rest.partition("/")
    return bucket, unquote(key), unquote_plus(version) or None


def join_physical_key(bucket: str, key: str, version_id: str | None) -> str:
    """Return a physical key as quilt3 writes it.

    >>> join_physical_key("acme", "a=1/b c.csv", "v1")
    's3://acme/a%3D1/b%20c.csv?versionId=v1'
    """
    path = key if _PLAIN_KEY.fullmatch(key) else quote(key)
    if version_id is None:
        return f"s3://{bucket}/{path}"
    version = version_id if _PLAIN_VERSION.fullmatch(version_id) else quote_plus(version_id)
    return f"s3://{bucket}/{path}?versionId={version}"
