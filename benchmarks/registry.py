"""A large Quilt registry, written straight to S3 in the byte format of quilt3's manifests and pointers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

FIRST_POINTER = 1_760_000_000  # seconds since 1970
SECONDS_BETWEEN = 3_600


def manifest(bucket: str, package: int, entries: int) -> bytes:
    """Return the manifest of one package: a header line and one line per entry."""
    header = {"version": "v0", "user_meta": {"Number": package}, "message": f"revision of package {package}"}
    lines = [header, *(_entry(bucket, package, number) for number in range(entries))]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _entry(bucket: str, package: int, number: int) -> dict[str, Any]:
    key = f"user/pkg-{package}/part%20{number}.csv"
    return {
        "logical_key": f"part {number}.csv",
        "physical_keys": [f"s3://{bucket}/{key}?versionId=v{package}x{number}"],
        "size": number,
        "hash": {"type": "SHA256", "value": hashlib.sha256(key.encode()).hexdigest()},
        "meta": {"user_meta": {"Part": number, "tags": ["a", "b"]}},
    }


def objects(bucket: str, packages: int, entries: int) -> Iterator[tuple[str, bytes]]:
    """Yield key and body of every manifest, revision pointer and ``latest`` pointer."""
    for package in range(packages):
        body = manifest(bucket, package, entries)
        top_hash = hashlib.sha256(body).hexdigest()
        pointers = f".quilt/named_packages/user/pkg-{package}"
        yield f".quilt/packages/{top_hash}", body
        yield f"{pointers}/{FIRST_POINTER + package * SECONDS_BETWEEN}", top_hash.encode()
        yield f"{pointers}/latest", top_hash.encode()


def write(s3: Any, bucket: str, packages: int, entries: int) -> int:
    """Put the registry into ``bucket``; returns the bytes of all manifests."""
    size_bytes = 0
    with ThreadPoolExecutor(8) as pool:
        puts = []
        for key, body in objects(bucket, packages, entries):
            size_bytes += len(body) if "/packages/" in key else 0
            puts.append(pool.submit(s3.put_object, Bucket=bucket, Key=key, Body=body))
        for put in puts:
            put.result()
    return size_bytes
