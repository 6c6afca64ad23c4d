"""Text of the views over Quilt's manifests. Returns text; runs nothing.

Two compatible views keep the columns of Quilt's documentation of 2022: every pointer is a row, ``latest``
among them, and what was always NULL there (package metadata, entries' user metadata) holds its value. Keys
inside metadata keep their case, which there was lost. Four clean views have typed columns and one row for
each thing they are named after.

No view is built on another: each reads the pointers once and the manifests at most once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from airflow_quilt_athena.core.athena.sql import Dialect, quote_name
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import (
    ENTRIES,
    REVISIONS,
    TOP_HASH_OF_FILE,
    ManifestSource,
    files_query,
    headers_query,
    indented,
    name_current,
    name_queries,
    name_revisions,
    pointers_query,
    table_of,
)


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
    """Return the bucket's six views, to be made in ``database`` on the tables of ``source``."""
    bodies = {
        names.packages_view: _packages_view(source),
        names.objects_view: _objects_view(source),
        names.revisions: _revisions(source),
        names.entries: _entries(source),
        names.current: _current(source),
        names.tags: _tags(source),
    }
    return tuple(render_view(database, name, body) for name, body in bodies.items())


def render_view(database: str, name: str, body: str) -> ViewDefinition:
    """Return the view of a query."""
    return ViewDefinition(
        name, f"CREATE OR REPLACE VIEW {quote_name(database, name, Dialect.TRINO)} AS\n{body}"
    )


def _packages_view(source: ManifestSource) -> str:
    pointers = f"""
SELECT
  split_part(pkg_name, '/', 1) AS "user",
  split_part(pkg_name, '/', 2) AS "name",
  top_hash AS "hash",
  pointer AS "timestamp"
FROM (
{indented(pointers_query(source))}
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
  {TOP_HASH_OF_FILE} AS tophash,
  "logical_key",
  "physical_keys",
  CAST("size" AS varchar) AS "size",
  "hash",
  "meta",
  json_format(json_extract("meta", '$.user_meta')) AS "user_meta"
FROM {table_of(source, source.manifests)}
WHERE "logical_key" IS NOT NULL AND {TOP_HASH_OF_FILE} IS NOT NULL
""".strip()
    return (
        name_queries(("npv", pointers_query(source)), ("mv", lines))
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
    return name_queries(*name_revisions(source), ("headers", headers_query(source))) + REVISIONS


def _entries(source: ManifestSource) -> str:
    return name_queries(*name_revisions(source), ("files", files_query(source))) + ENTRIES


def _current(source: ManifestSource) -> str:
    return name_queries(*name_current(source), ("files", files_query(source))) + ENTRIES


def _tags(source: ManifestSource) -> str:
    return (
        name_queries(("pointers", pointers_query(source)))
        + """
SELECT pkg_name, pointer AS tag_name, top_hash
FROM pointers
WHERE pkg_name IS NOT NULL
  AND top_hash IS NOT NULL
  AND NOT regexp_like(pointer, '^[0-9]+$')
""".strip()
    )
