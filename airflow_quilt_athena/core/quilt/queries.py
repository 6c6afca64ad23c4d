"""Queries over a bucket's pointers and manifests, which its views and the queries of an interval share.

Returns text; runs nothing. The statements are Trino's, for Athena engine version 3. Rules behind the text:

* ``from_unixtime`` gives a time with time zone, which Athena refuses in views; so seconds are added to 1970.
* A line that is no JSON, or no text at all, is a row of NULLs to the SerDe, and so is a header that says
  nothing. So a manifest is a file named by a top hash of which some line can be read, and what its header
  says is taken from the lines without a logical key that say it.
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
    losses: tuple[str, ...] = ()  # what of the manifests it does not give

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


# A copy in a folder below is no manifest: its lines would stand beside the manifest's own.
TOP_HASH_OF_FILE = r"""regexp_extract("$path", '^[^:]+://[^/]+/[.]quilt/packages/([0-9a-f]{64})$', 1)"""
# Not date_add, whose count has 32 bits: seconds would end in 2038.
REVISION_AT = "TIMESTAMP '1970-01-01 00:00:00.000' + {} * INTERVAL '1' SECOND"


def pointers_query(source: ManifestSource, paths: Sequence[str] | None = None) -> str:
    """Return every pointer with its package and top hash; one of them is NULL for any other file.

    With ``paths``, only those in these files, and with a column ``path``; none at all are all files.
    """
    column = quote_identifier(source.hash_column, Dialect.TRINO)
    path = "" if paths is None else '"$path" AS path,\n  '
    return rf"""
SELECT
  {path}regexp_extract("$path", '^[^:]+://[^/]+/[.]quilt/named_packages/([^/]+/[^/]+)/[^/]+$', 1) AS pkg_name,
  regexp_extract("$path", '/([^/]+)$', 1) AS pointer,
  TRY_CAST(regexp_extract("$path", '/([0-9]{{1,12}})$', 1) AS bigint) AS pointer_seconds,
  regexp_extract({column}, '^\s*([0-9a-f]{{64}})\s*$', 1) AS top_hash
FROM {table_of(source, source.packages)}{at_paths(paths or (), "WHERE")}
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


def name_current(source: ManifestSource) -> tuple[tuple[str, str], ...]:
    """Name what each package's pointer ``latest`` holds, which is what quilt3 shows of the package now.

    It is dated by the package's newest revision of that top hash. There need be none: ``latest`` may be
    rolled back to another package's hash, be all that a client wrote, or hold the first of two pushes of one
    second, whose pointer the second took.
    """
    dated = """
SELECT
  pkg_name,
  pointer,
  top_hash,
  max(pointer_seconds) OVER (PARTITION BY pkg_name, top_hash) AS pointer_seconds
FROM pointers
WHERE pkg_name IS NOT NULL AND top_hash IS NOT NULL
""".strip()
    moment = REVISION_AT.format("pointer_seconds")
    revisions = f"""
SELECT
  pkg_name,
  top_hash,
  {moment} AS revision_at,
  CAST({moment} AS date) AS revision_date,
  true AS is_latest
FROM dated
WHERE pointer = 'latest'
""".strip()
    return ("pointers", pointers_query(source)), ("dated", dated), ("revisions", revisions)


def headers_query(source: ManifestSource, paths: Sequence[str] = (), *, bounds: str = "") -> str:
    """Return what the header of each manifest says, or of those at ``paths`` alone: one row for each.

    With ``bounds``, the name of a query of one row, only those from its ``least`` path to its ``greatest``.
    quilt3 takes the first line for the header, with a version or without. A file of which no line can be read
    is no manifest.
    """
    known = ["logical_key", "version", "message", "user_meta", *(["workflow"] if source.has_workflow else [])]
    readable = " + ".join(f'count("{column}")' for column in known)
    says = [_in_header(column) for column in ("message", "user_meta")]
    says.append(_in_header("workflow") if source.has_workflow else 'CAST(NULL AS varchar) AS "workflow"')
    return f"""
SELECT {TOP_HASH_OF_FILE} AS top_hash, {", ".join(says)}
FROM {table_of(source, source.manifests)}{_joined(bounds)}
WHERE {TOP_HASH_OF_FILE} IS NOT NULL{at_paths(paths)}{_within(bounds)}
GROUP BY {TOP_HASH_OF_FILE}
HAVING {readable} > 0
""".strip()


def _in_header(column: str) -> str:
    return f'max(CASE WHEN "logical_key" IS NULL THEN "{column}" END) AS "{column}"'


def at_paths(paths: Sequence[str], word: str = "AND") -> str:
    """Return the condition with which an engine opens these files and no others; none for all files."""
    literals = ", ".join(quote_literal(path, Dialect.TRINO) for path in paths)
    return f'\n  {word} "$path" IN ({literals})' if paths else ""


def _joined(bounds: str) -> str:
    return f" CROSS JOIN {bounds}" if bounds else ""


def _within(bounds: str) -> str:
    """Of one row, an engine may know them before it reads: Trino 476 then opens no file beyond them."""
    return f'\n  AND "$path" BETWEEN {bounds}.least AND {bounds}.greatest' if bounds else ""


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


# Whole numbers however they are written: 10, "10", 10.0, 5e12. Others are NULL. Whether a number is whole is
# asked of it as a double, as quilt3 reads it; its value comes from a decimal, which keeps every digit. A
# large exponent is kept away from the decimal: the engine would write all its zeros.
SIZE = """CASE
    WHEN TRY_CAST("size" AS bigint) IS NOT NULL THEN TRY_CAST("size" AS bigint)
    WHEN regexp_like(CAST("size" AS varchar), '[eE][+-]?0*[1-9][0-9]{2,}') THEN NULL
    WHEN TRY_CAST("size" AS double) = floor(TRY_CAST("size" AS double))
      THEN TRY_CAST(TRY_CAST("size" AS decimal(38, 18)) AS bigint)
  END"""


def files_query(source: ManifestSource, paths: Sequence[str] = (), *, bounds: str = "") -> str:
    """Return the lines of all manifests that are files, or of those that ``headers_query`` would look at."""
    return f"""
SELECT
  {TOP_HASH_OF_FILE} AS top_hash,
  "logical_key",
  element_at("physical_keys", 1) AS physical_key,
  {SIZE} AS "size",
  "hash"."type" AS hash_type,
  "hash"."value" AS hash_value,
  "meta"
FROM {table_of(source, source.manifests)}{_joined(bounds)}
WHERE "logical_key" IS NOT NULL
  AND cardinality("physical_keys") > 0
  AND {TOP_HASH_OF_FILE} IS NOT NULL{at_paths(paths)}{_within(bounds)}
""".strip()


# A file's columns, from the query ``files`` named f. The physical key is percent-encoded as in a URL's path,
# where + stands for itself; url_decode takes it for a space unless it is encoded first.
FILE_COLUMNS = r"""
f."logical_key",
f.physical_key,
regexp_extract(f.physical_key, '^s3://([^/]+)/', 1) AS "bucket",
TRY(url_decode(replace(regexp_extract(f.physical_key, '^s3://[^/]+/([^?#]+)', 1), '+', '%2B'))) AS "key",
TRY(url_decode(regexp_extract(f.physical_key, '^s3://[^?]*[?](.*&)?versionId=([^&#]+)', 2))) AS version_id,
f."size",
f.hash_type,
f.hash_value,
f."meta"
""".strip()

# The columns of the entries, from the queries ``revisions`` and ``files``.
ENTRIES = f"""
SELECT
  r.pkg_name,
  r.top_hash,
  r.revision_at,
  r.revision_date,
  r.is_latest,
{indented(FILE_COLUMNS)}
FROM revisions r
JOIN files f ON f.top_hash = r.top_hash
""".strip()
