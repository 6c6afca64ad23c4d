"""A package of many rows: ``python -m benchmarks.packages_process ours|quilt3 BUCKET ROWS``.

Standard output ends with one line of JSON: seconds, the peak of memory, the top hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

PATIENT: dict[str, Any] = {"read_timeout": 600}  # the local S3 takes 300 MB slowly on a busy machine


def rows(bucket: str, count: int) -> Iterator[dict[str, str]]:
    """Yield rows as Athena's file gives them: texts."""
    for number in range(count):
        digest = base64.b64encode(hashlib.sha256(str(number).encode()).digest()).decode()
        yield {
            "logical_key": f"plate {number // 1000}/well-{number:07d}.csv",
            "physical_key": f"s3://{bucket}/raw/{number // 1000}/{number}.csv?versionId=v{number:031d}",
            "size": str(number),
            "hash_type": "sha2-256-chunked",
            "hash_value": digest,
            "meta": f'{{"user_meta": {{"well": {number}}}}}',
        }


def make_ours(bucket: str, count: int) -> dict[str, Any]:
    import boto3
    from botocore.config import Config

    from airflow_quilt_athena.core.quilt.package_request import PackageRequest
    from airflow_quilt_athena.flows.quilt.packages import create_package

    started = time.perf_counter()
    request = PackageRequest(bucket, "bench/ours", message="bench")
    revision = create_package(boto3.client("s3", config=Config(**PATIENT)), request, rows(bucket, count))
    return {"seconds": time.perf_counter() - started, "top_hash": revision.top_hash}


def make_theirs(bucket: str, count: int) -> dict[str, Any]:
    import quilt3
    from botocore.config import Config
    from quilt3.packages import PackageEntry
    from quilt3.util import PhysicalKey

    def patient(build: Any, session: Any, arguments: dict[str, Any], **_: Any) -> Any:
        return build(session, arguments | {"config": arguments["config"].merge(Config(**PATIENT))})

    quilt3.hooks.set_build_s3_client_hook(patient)

    started = time.perf_counter()
    package = quilt3.Package()
    for row in rows(bucket, count):
        digest = {"type": row["hash_type"], "value": row["hash_value"]}
        place, meta = PhysicalKey.from_url(row["physical_key"]), json.loads(row["meta"])
        package.set(row["logical_key"], PackageEntry(place, int(row["size"]), digest, meta))
    filled = time.perf_counter()
    pushed = package.push(
        "bench/theirs",
        registry=f"s3://{bucket}",
        message="bench",
        selector_fn=lambda *_: False,
        force=True,
        dedupe=True,
    )
    return {
        "set_seconds": filled - started,
        "push_seconds": time.perf_counter() - filled,
        "top_hash": pushed.top_hash,
    }


if __name__ == "__main__":
    way, bucket_name, number_of_rows = sys.argv[1:]
    make = {"ours": make_ours, "quilt3": make_theirs}[way]
    facts = make(bucket_name, int(number_of_rows))
    # ru_maxrss is in kibibytes on Linux and in bytes on macOS (getrusage(2) of each).
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({**facts, "peak_mebibytes": peak}))
