"""Queries over a bucket's pointers and manifests, which its views and the queries of an interval share.

Returns text; runs nothing. The statements are Trino's, for Athena engine version 3. Rules behind the text:

* ``from_unixtime`` gives a time with time zone, which Athena refuses in views; so seconds are added to 1970.
* A line that is no JSON, or no text at all, is a row of NULLs to the SerDe. So a header is a line that *has*
  a version and lies in a file named by a top hash.
* What a filter has excluded may still be computed, because an engine moves predicates about. So each cast
  and decode stands on its own feet: ``TRY``, or an expression that is NULL for what is not meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_quilt_athena.core.athena.sql import Dialect, quote_identifier, quote_literal, quote_name
from airflow_quilt_athena.core.quilt.identifiers import BucketNames


@dataclass(frozen=True, slots=True)
class ManifestSource:
    """Two tables to build views on: ours, or those a Quilt platform keeps."""

    database: str
    manifests: str
    packages: str
    hash_column: str = "hash"  # of the packages table
    has_workflow: bool = True  # the manifests table has a column for it

    @classmethod
    def of_bucket(cls, names: BucketNames, database: str) -> ManifestSource:
        """Return our own tables."""
        return cls(database, names.manifests, names.packages)


def table_of(source: ManifestSource, name: str) -> str:
    """Return the name of one of the source's tables, as SQL."""
    return quote_name(source.database, name, Dialect.TRINO)


def name_queries(*queries: tuple[str, str]) -> str:
    """Return the start of a statement that names queries for the one that follows."""
    named = (f"{name} AS (\n{indented(sql)}\n)" for name, sql in queries)
    return "WITH\n" + ",\n".join(named) + "\n"


def indented(sql: str) -> str:
    """Return lines of SQL two characters further to the right."""
    return "\n".join(f"  {line}" for line in sql.splitlines())


TOP_HASH_OF_FILE = r"""regexp_extract("$path", '/([0-9a-f]{64})$', 1)"""
# Not date_add, whose count has 32 bits: seconds would end in 2038.
REVISION_AT = "TIMESTAMP '1970-01-01 00:00:00.000' + {} * INTERVAL '1' SECOND"


def pointers_query(source: ManifestSource) -> str:
    """Return every pointer with its package and top hash; one of them is NULL for any other file."""
    column = quote_identifier(source.hash_column, Dialect.TRINO)
    return rf"""
SELECT
  regexp_extract("$path", '/[.]quilt/named_packages/([^/]+/[^/]+)/[^/]+$', 1) AS pkg_name,
  regexp_extract("$path", '/([^/]+)$', 1) AS pointer,
  TRY_CAST(regexp_extract("$path", '/([0-9]{{1,12}})$', 1) AS bigint) AS pointer_seconds,
  regexp_extract({column}, '^\s*([0-9a-f]{{64}})\s*$', 1) AS top_hash
FROM {table_of(source, source.packages)}
""".strip()


def name_revisions(source: ManifestSource) -> tuple[tuple[str, str], ...]:
    """Name the pointers that are revisions, and say of each whether it is its package's latest.

    Latest is one revision: the newest with the top hash that the pointer ``latest`` holds. After a rollback
    that is an old one; after two pushes of the same content it is the second.
    """
    marked = """
SELECT
  pkg_name,
  pointer,
  pointer_seconds,
  top_hash,
  max(CASE WHEN pointer = 'latest' THEN top_hash END) OVER (PARTITION BY pkg_name) AS latest_hash,
  row_number() OVER (
    PARTITION BY pkg_name, top_hash ORDER BY pointer_seconds DESC NULLS LAST, pointer DESC
  ) AS age_rank
FROM pointers
WHERE pkg_name IS NOT NULL AND top_hash IS NOT NULL
""".strip()
    moment = REVISION_AT.format("pointer_seconds")
    revisions = f"""
SELECT
  pkg_name,
  top_hash,
  pointer,
  {moment} AS revision_at,
  CAST({moment} AS date) AS revision_date,
  (age_rank = 1 AND top_hash = coalesce(latest_hash, '')) AS is_latest
FROM marked
WHERE pointer_seconds IS NOT NULL
""".strip()
    return ("pointers", pointers_query(source)), ("marked", marked), ("revisions", revisions)


def headers_query(source: ManifestSource, paths: Sequence[str] = ()) -> str:
    """Return the first line of each manifest, or of those at ``paths`` alone."""
    workflow = '"workflow"' if source.has_workflow else 'CAST(NULL AS varchar) AS "workflow"'
    return f"""
SELECT {TOP_HASH_OF_FILE} AS top_hash, "message", "user_meta", {workflow}
FROM {table_of(source, source.manifests)}
WHERE "logical_key" IS NULL
  AND "version" IS NOT NULL
  AND {TOP_HASH_OF_FILE} IS NOT NULL{_at_paths(paths)}
""".strip()


def _at_paths(paths: Sequence[str]) -> str:
    """Return the condition with which an engine opens these files and no others."""
    literals = ", ".join(quote_literal(path, Dialect.TRINO) for path in paths)
    return f'\n  AND "$path" IN ({literals})' if paths else ""


# The columns of the revisions, from the queries ``revisions`` and ``headers``.
REVISIONS = """
SELECT
  r.pkg_name,
  r.top_hash,
  r.pointer,
  r.revision_at,
  r.revision_date,
  r.is_latest,
  h."message",
  h."user_meta",
  h."workflow"
FROM revisions r
JOIN headers h ON h.top_hash = r.top_hash
""".strip()


def files_query(source: ManifestSource, paths: Sequence[str] = ()) -> str:
    """Return the lines of all manifests that are files, or of those at ``paths`` alone."""
    return rf"""
SELECT
  {TOP_HASH_OF_FILE} AS top_hash,
  "logical_key",
  element_at("physical_keys", 1) AS physical_key,
  TRY_CAST("size" AS bigint) AS "size",
  "hash"."type" AS hash_type,
  "hash"."value" AS hash_value,
  "meta"
FROM {table_of(source, source.manifests)}
WHERE "logical_key" IS NOT NULL
  AND cardinality("physical_keys") > 0
  AND {TOP_HASH_OF_FILE} IS NOT NULL{_at_paths(paths)}
""".strip()


# The columns of the entries, from the queries ``revisions`` and ``files``. The physical key is
# percent-encoded as in a URL's path, where + stands for itself; url_decode takes it for a space unless it is
# encoded first.
ENTRIES = r"""
SELECT
  r.pkg_name,
  r.top_hash,
  r.revision_at,
  r.revision_date,
  r.is_latest,
  f."logical_key",
  f.physical_key,
  regexp_extract(f.physical_key, '^s3://([^/]+)/', 1) AS "bucket",
  TRY(url_decode(replace(regexp_extract(f.physical_key, '^s3://[^/]+/([^?#]+)', 1), '+', '%2B'))) AS "key",
  TRY(url_decode(regexp_extract(f.physical_key, '^s3://[^?]*[?](.*&)?versionId=([^&#]+)', 2))) AS version_id,
  f."size",
  f.hash_type,
  f.hash_value,
  f."meta"
FROM revisions r
JOIN files f ON f.top_hash = r.top_hash
""".strip()
