"""Text of the views over Quilt's manifests. Returns text; runs nothing.

Two compatible views keep the columns of Quilt's documentation of 2022: every pointer is a row, ``latest``
among them, and what was always NULL there (package metadata, entries' user metadata) holds its value. Keys
inside metadata keep their case, which there was lost. Three clean views have typed columns and one row for
each thing they are named after.

The statements are Trino's, for Athena engine version 3. Rules behind the text:

* ``from_unixtime`` gives a time with time zone, which Athena refuses in views; so seconds are added to 1970.
* A line that is no JSON, or no text at all, is a row of NULLs to the SerDe. So a header is a line that *has*
  a version and lies in a file named by a top hash.
* What a filter has excluded may still be computed, because an engine moves predicates about. So each cast
  and decode stands on its own feet: ``TRY``, or an expression that is NULL for what is not meant.
* No view is built on another: each reads the pointers once and the manifests at most once.
"""

from __future__ import annotations

import hashlib
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


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """A view and the statement that makes it so."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        """Hash of the statement: equal for equal views."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def define_views(names: BucketNames, database: str, source: ManifestSource) -> tuple[ViewDefinition, ...]:
    """Return the bucket's five views, to be made in ``database`` on the tables of ``source``."""
    bodies = {
        names.packages_view: _packages_view(source),
        names.objects_view: _objects_view(source),
        names.revisions: _revisions(source),
        names.entries: _entries(source),
        names.tags: _tags(source),
    }
    return tuple(
        ViewDefinition(name, f"CREATE OR REPLACE VIEW {quote_name(database, name, Dialect.TRINO)} AS\n{body}")
        for name, body in bodies.items()
    )


def _table(source: ManifestSource, name: str) -> str:
    return quote_name(source.database, name, Dialect.TRINO)


def name_queries(*queries: tuple[str, str]) -> str:
    """Return the start of a statement that names queries for the one that follows."""
    named = (f"{name} AS (\n{_indented(sql)}\n)" for name, sql in queries)
    return "WITH\n" + ",\n".join(named) + "\n"


def _indented(sql: str) -> str:
    return "\n".join(f"  {line}" for line in sql.splitlines())


_TOP_HASH_OF_FILE = r"""regexp_extract("$path", '/([0-9a-f]{64})$', 1)"""
# Not date_add, whose count has 32 bits: seconds would end in 2038.
REVISION_AT = "TIMESTAMP '1970-01-01 00:00:00.000' + {} * INTERVAL '1' SECOND"


def _pointers(source: ManifestSource) -> str:
    """Return every pointer with its package and top hash; one of them is NULL for any other file."""
    column = quote_identifier(source.hash_column, Dialect.TRINO)
    return rf"""
SELECT
  regexp_extract("$path", '/[.]quilt/named_packages/([^/]+/[^/]+)/[^/]+$', 1) AS pkg_name,
  regexp_extract("$path", '/([^/]+)$', 1) AS pointer,
  TRY_CAST(regexp_extract("$path", '/([0-9]{{1,12}})$', 1) AS bigint) AS pointer_seconds,
  regexp_extract({column}, '^\s*([0-9a-f]{{64}})\s*$', 1) AS top_hash
FROM {_table(source, source.packages)}
""".strip()


def _revision_pointers(source: ManifestSource) -> tuple[tuple[str, str], ...]:
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
    return ("pointers", _pointers(source)), ("marked", marked), ("revisions", revisions)


def headers_query(source: ManifestSource, paths: Sequence[str] = ()) -> str:
    """Return the first line of each manifest, or of those at ``paths`` alone."""
    workflow = '"workflow"' if source.has_workflow else 'CAST(NULL AS varchar) AS "workflow"'
    return f"""
SELECT {_TOP_HASH_OF_FILE} AS top_hash, "message", "user_meta", {workflow}
FROM {_table(source, source.manifests)}
WHERE "logical_key" IS NULL
  AND "version" IS NOT NULL
  AND {_TOP_HASH_OF_FILE} IS NOT NULL{_at_paths(paths)}
""".strip()


def _at_paths(paths: Sequence[str]) -> str:
    """Return the condition with which an engine opens these files and no others."""
    literals = ", ".join(quote_literal(path, Dialect.TRINO) for path in paths)
    return f'\n  AND "$path" IN ({literals})' if paths else ""


def _packages_view(source: ManifestSource) -> str:
    pointers = f"""
SELECT
  split_part(pkg_name, '/', 1) AS "user",
  split_part(pkg_name, '/', 2) AS "name",
  top_hash AS "hash",
  pointer AS "timestamp"
FROM (
{_indented(_pointers(source))}
)
WHERE pkg_name IS NOT NULL AND top_hash IS NOT NULL
""".strip()
    return (
        name_queries(("npv", pointers), ("mv", headers_query(source)))
        + """
SELECT
  npv."user",
  npv."name",
  npv."hash",
  npv."timestamp",
  mv."message",
  mv."user_meta" AS "meta"
FROM npv
JOIN mv ON mv.top_hash = npv."hash"
""".strip()
    )


def _objects_view(source: ManifestSource) -> str:
    lines = f"""
SELECT
  {_TOP_HASH_OF_FILE} AS tophash,
  "logical_key",
  "physical_keys",
  CAST("size" AS varchar) AS "size",
  "hash",
  "meta",
  json_format(json_extract("meta", '$.user_meta')) AS "user_meta"
FROM {_table(source, source.manifests)}
WHERE "logical_key" IS NOT NULL AND {_TOP_HASH_OF_FILE} IS NOT NULL
""".strip()
    return (
        name_queries(("npv", _pointers(source)), ("mv", lines))
        + """
SELECT
  split_part(npv.pkg_name, '/', 1) AS "user",
  split_part(npv.pkg_name, '/', 2) AS "name",
  npv.pointer AS "timestamp",
  mv.tophash,
  mv."logical_key",
  mv."physical_keys",
  mv."size",
  mv."hash",
  mv."meta",
  mv."user_meta"
FROM mv
JOIN npv ON npv.top_hash = mv.tophash
WHERE npv.pkg_name IS NOT NULL
""".strip()
    )


def _revisions(source: ManifestSource) -> str:
    return name_queries(*_revision_pointers(source), ("headers", headers_query(source))) + REVISIONS


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


def _entries(source: ManifestSource) -> str:
    return name_queries(*_revision_pointers(source), ("files", files_query(source))) + ENTRIES


def files_query(source: ManifestSource, paths: Sequence[str] = ()) -> str:
    """Return the lines of all manifests that are files, or of those at ``paths`` alone."""
    return rf"""
SELECT
  {_TOP_HASH_OF_FILE} AS top_hash,
  "logical_key",
  element_at("physical_keys", 1) AS physical_key,
  TRY_CAST("size" AS bigint) AS "size",
  "hash"."type" AS hash_type,
  "hash"."value" AS hash_value,
  "meta"
FROM {_table(source, source.manifests)}
WHERE "logical_key" IS NOT NULL
  AND cardinality("physical_keys") > 0
  AND {_TOP_HASH_OF_FILE} IS NOT NULL{_at_paths(paths)}
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


def _tags(source: ManifestSource) -> str:
    return (
        name_queries(("pointers", _pointers(source)))
        + """
SELECT pkg_name, pointer AS tag_name, top_hash
FROM pointers
WHERE pkg_name IS NOT NULL
  AND top_hash IS NOT NULL
  AND NOT regexp_like(pointer, '^[0-9]+$')
""".strip()
    )
