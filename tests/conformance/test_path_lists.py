"""`"$path" IN (…)`: which files each engine opens for lists of 99 to 1,001 paths, by bytes scanned."""

from __future__ import annotations

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_quilt_athena.core.athena.query_status import QueryStatus
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import MAX_PATHS_PER_BRANCH, Revision, build_entries
from airflow_quilt_athena.core.quilt.table_ddl import define_tables, manifests_location, render_create_table
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from local_athena import LocalAthena

pytestmark = pytest.mark.integration

_FILES = 1_200
_LONGEST_LIST = 1_000  # of Trino 476, hive.domain-compaction-threshold; of releases before it was 100
# The places of files in the order of their names, in an order in which any list soon spans nearly all.
_CHOICE = [n * 787 % _FILES for n in range(_FILES)]


@dataclass(frozen=True)
class Registry:
    """A bucket with manifests named by hashes, of sizes that are all different."""

    athena: Any
    bucket: str
    source: ManifestSource
    sizes: dict[str, int]

    def hashes(self, count: int) -> list[str]:
        """Return so many of the names, in order, spread over all."""
        ordered = sorted(self.sizes)
        return sorted(ordered[n] for n in _CHOICE[:count])

    def bytes_of(self, hashes: list[str]) -> int:
        return sum(self.sizes[one] for one in hashes)

    def execute(self, sql: str) -> QueryStatus:
        """Run a statement to its end; return what Athena tells of it."""
        return run_query(self.athena, sql, database=None, workgroup=self.bucket, timeout_seconds=120)

    def count(self, sql: str) -> tuple[int, int]:
        """Run a query that counts; return what it counts and the bytes that it scanned."""
        status = self.execute(sql)
        _, ((counted,),) = read_rows(self.athena, status.query_execution_id, max_rows=1)
        return int(str(counted)), status.bytes_scanned


@pytest.fixture(scope="module")
def registry(aws: LocalAthena) -> Registry:
    token = uuid.uuid4().hex[:10]
    bucket, database = f"paths{token}", f"paths_{token}"
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    bodies = {}
    for number in range(_FILES):
        line = f'{{"logical_key":"f{number}","physical_keys":["s3://b/{"x" * (number + 1)}"],"size":1}}\n'
        bodies[hashlib.sha256(str(number).encode()).hexdigest()] = line.encode()
    with ThreadPoolExecutor(8) as pool:
        folder = manifests_location(bucket).key
        list(
            pool.map(
                lambda one: s3.put_object(Bucket=bucket, Key=folder + one[0], Body=one[1]), bodies.items()
            )
        )
    aws.client("glue").create_database(DatabaseInput={"Name": database})
    names = BucketNames.of(bucket)
    sizes = {name: len(body) for name, body in bodies.items()}
    athena = aws.client("athena")
    output = {"OutputLocation": f"s3://{bucket}/results/"}
    athena.create_work_group(Name=bucket, Configuration={"ResultConfiguration": output})
    found = Registry(athena, bucket, ManifestSource.of_bucket(names, database), sizes)
    for table in define_tables(names):
        found.execute(render_create_table(table, database))
    return found


@pytest.mark.parametrize("count", [99, 100, 101, 1_000, 1_001])
def test_one_list_of_paths_opens_them_alone_and_over_1000_on_trino_all_between_its_ends(
    registry: Registry, count: int, request: pytest.FixtureRequest
) -> None:
    hashes = registry.hashes(count)
    paths = ", ".join(f"'s3://{registry.bucket}/.quilt/packages/{one}'" for one in hashes)
    table = f'"{registry.source.database}"."{registry.source.manifests}"'
    rows, scanned = registry.count(f'SELECT count(logical_key) FROM {table} WHERE "$path" IN ({paths})')
    opened = hashes
    if request.config.getoption("--local-athena-engine") == "trino" and count > _LONGEST_LIST:
        opened = [one for one in registry.sizes if hashes[0] <= one <= hashes[-1]]
    assert (rows, scanned) == (count, registry.bytes_of(opened))


@pytest.mark.parametrize("count", [99, 100, 101, 1_000, 1_001])
def test_the_products_branches_open_the_manifests_of_the_revisions_alone(
    registry: Registry, count: int
) -> None:
    hashes = registry.hashes(count)
    revisions = [Revision(f"user/p{n}", "1700000000", one, False) for n, one in enumerate(hashes)]
    query = build_entries(registry.source, registry.bucket, revisions)
    rows, scanned = registry.count(f"SELECT count(*) FROM (\n{query}\n)")
    assert query.count('"$path" IN') == -(-count // MAX_PATHS_PER_BRANCH)
    assert (rows, scanned) == (count, registry.bytes_of(hashes))
