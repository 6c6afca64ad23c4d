"""Views that stand on the tables that keep a bucket's rows. Returns text.

Which revisions there are, and which is the latest, is the pointers' to say, here as in the plain views. What
the tables do not hold is read from manifests: views that are never stale find out themselves what that is,
each time; the others name it, as it was when they were made, so that no other manifest is opened for certain.
"""

from __future__ import annotations

from collections.abc import Iterable

from airflow_quilt_athena.core.athena.sql import Dialect, quote_literal, quote_name
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import ENTRY_COLUMNS, Newer
from airflow_quilt_athena.core.quilt.queries import (
    ENTRIES,
    REVISIONS,
    ManifestSource,
    files_query,
    headers_query,
    indented,
    name_current,
    name_queries,
    name_revisions,
)
from airflow_quilt_athena.core.quilt.revisions import Revision, manifest_files, manifest_headers
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location
from airflow_quilt_athena.core.quilt.views import ViewDefinition, define_views, render_view

# The kept rows say their package and day themselves, so that a condition on either reaches the partitions.
_FROM_KEPT = """
FROM revisions r
JOIN {table} k ON k."pkg_name" = r.pkg_name AND k."revision_date" = r.revision_date
  AND k."pointer" = r.pointer AND k."top_hash" = r.top_hash
""".strip()
_KEPT_ENTRY = ", ".join(f'k."{name}"' for name in ENTRY_COLUMNS[3:])


def define_kept_views(
    names: BucketNames, database: str, source: ManifestSource, newer: Newer | None = None
) -> tuple[ViewDefinition, ...]:
    """Return the bucket's views, the clean ones over what is kept and, beside it, over what is newer.

    :param newer: what the tables do not hold; None has the views find out.
    """
    if newer is None:
        bodies = _bodies_never_stale(names, database, source)
    else:
        bodies = {
            names.revisions: _revisions(names, database, source, newer),
            names.entries: _entries(names, database, source, newer),
            names.current: _current(names, database, source, newer),
        }
    return tuple(
        render_view(database, view.name, bodies[view.name]) if view.name in bodies else view
        for view in define_views(names, database, source)
    )


def _kept(names: BucketNames, database: str, name: str) -> str:
    return _FROM_KEPT.format(table=quote_name(database, name, Dialect.TRINO))


def _name_live(source: ManifestSource, newer: Newer) -> tuple[tuple[str, str], ...]:
    """Name the revisions that there are now, those that are kept apart from those that are not yet."""
    *parts, (_, revisions) = name_revisions(source)
    if not newer.revisions:
        return (*parts, ("revisions", revisions))
    is_newer = f"""
SELECT
  r.*,
  n.pointer IS NOT NULL AS is_newer
FROM (
{indented(revisions)}
) r
LEFT JOIN (VALUES
{_rows(newer.revisions)}
) AS n (pkg_name, pointer, top_hash)
  ON n.pkg_name = r.pkg_name AND n.pointer = r.pointer AND n.top_hash = r.top_hash
""".strip()
    return (*parts, ("revisions", is_newer))


def _rows(revisions: Iterable[Revision]) -> str:
    rows = (
        ", ".join(quote_literal(text, Dialect.TRINO) for text in (one.package, one.pointer, one.top_hash))
        for one in revisions
    )
    return ",\n".join(f"  ({row})" for row in rows)


def _kept_revisions(names: BucketNames, database: str) -> str:
    return f"""
SELECT
  k."pkg_name", k."top_hash", k."pointer", k."revision_at", k."revision_date", r.is_latest,
  k."message", k."user_meta", k."workflow"
{_kept(names, database, names.revisions_table)}
""".strip()


def _revisions(names: BucketNames, database: str, source: ManifestSource, newer: Newer) -> str:
    kept = _kept_revisions(names, database)
    live = _name_live(source, newer)
    if not newer.revisions:
        return name_queries(*live) + kept
    headers = ("headers", manifest_headers(source, names.bucket, newer.revisions))
    return (
        name_queries(*live, headers)
        + f"{kept}\nWHERE NOT r.is_newer\nUNION ALL\n{REVISIONS}\nWHERE r.is_newer"
    )


def _kept_entries(names: BucketNames, database: str) -> str:
    return f"""
SELECT
  k."pkg_name", k."top_hash", k."revision_at", k."revision_date", r.is_latest,
  {_KEPT_ENTRY}
{_kept(names, database, names.entries_table)}
""".strip()


def _entries(names: BucketNames, database: str, source: ManifestSource, newer: Newer) -> str:
    kept, live = _kept_entries(names, database), _name_live(source, newer)
    if not newer.revisions:
        return name_queries(*live) + kept
    files = ("files", manifest_files(source, names.bucket, newer.revisions))
    return (
        name_queries(*live, files) + f"{kept}\nWHERE NOT r.is_newer\nUNION ALL\n{ENTRIES}\nWHERE r.is_newer"
    )


def _current(names: BucketNames, database: str, source: ManifestSource, newer: Newer) -> str:
    """Return the latest revisions, and what ``latest`` holds where it is none of its package's revisions."""
    live, branches = [*_name_live(source, newer)], [f"{_kept_entries(names, database)}\nWHERE r.is_latest"]
    if newer.revisions:
        branches[0] += " AND NOT r.is_newer"
        live.append(("files", manifest_files(source, names.bucket, newer.revisions)))
        branches.append(f"{ENTRIES}\nWHERE r.is_latest AND r.is_newer")
    if newer.current:
        elsewhere = [Revision("", "", top_hash, True) for top_hash in newer.current]
        *_, dated, (_, current) = name_current(source)
        live += [dated, ("elsewhere", current)]
        live.append(("current_files", manifest_files(source, names.bucket, elsewhere)))
        text = ENTRIES.replace("FROM revisions r\nJOIN files f", "FROM elsewhere r\nJOIN current_files f")
        branches.append(f"{text}\nWHERE r.revision_at IS NULL")
    return name_queries(*live) + "\nUNION ALL\n".join(branches)


# ---------------------------------------------------------------------------------------- never stale


def _bodies_never_stale(names: BucketNames, database: str, source: ManifestSource) -> dict[str, str]:
    """Return the clean views that ask the table of revisions, which is written last, what is kept."""
    asked = _FROM_KEPT.replace("\nJOIN", "\nLEFT JOIN", 1).format(
        table=quote_name(database, names.revisions_table, Dialect.TRINO)
    )
    live = (*name_revisions(source), ("seen", f'SELECT r.*, k."pointer" IS NOT NULL AS is_kept\n{asked}'))
    newer = ("newer", "SELECT * FROM seen WHERE NOT is_kept")
    *_, dated, (_, current) = name_current(source)
    newer_current = ("newer", _NEWER_CURRENT)
    bounds = ("bounds", _BOUNDS.format(folder=manifests_location(names.bucket)))
    files = ("files", files_query(source, bounds="bounds"))
    headers = ("headers", headers_query(source, bounds="bounds"))
    entries = _kept_entries(names, database)

    def both(kept: str, fresh: str) -> str:
        return f"{_from(kept, 'seen')}\nWHERE r.is_kept\nUNION ALL\n{_from(fresh, 'newer')}"

    return {
        names.revisions: name_queries(*live, newer, bounds, headers)
        + both(_kept_revisions(names, database), REVISIONS),
        names.entries: name_queries(*live, newer, bounds, files) + both(entries, ENTRIES),
        names.current: name_queries(*live, dated, ("current", current), newer_current, bounds, files)
        + both(entries, ENTRIES).replace("r.is_kept", "r.is_kept AND r.is_latest"),
    }


def _from(text: str, name: str) -> str:
    return text.replace("FROM revisions r", f"FROM {name} r")


# One of the package's revisions that is the latest holds what ``latest`` does.
_NEWER_CURRENT = """
SELECT r.*
FROM current r
LEFT JOIN seen s ON s.pkg_name = r.pkg_name AND s.is_latest AND s.is_kept
WHERE s.pkg_name IS NULL
""".strip()

# One row: an engine has it before it looks for files. NULL where nothing is newer, and between NULLs is none.
_BOUNDS = """
SELECT min('{folder}' || top_hash) AS least, max('{folder}' || top_hash) AS greatest
FROM newer
""".strip()
