"""Ask Athena what a listing cannot tell of manifests, and judge what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from airflow_quilt_athena.core.quilt.completeness import (
    HIDDEN_STARTS,
    Check,
    File,
    Finding,
    Reason,
    judge_names,
)
from airflow_quilt_athena.core.quilt.queries import (
    SIZE,
    TOP_HASH_OF_FILE,
    ManifestSource,
    at_paths,
    indented,
    name_queries,
    pointers_query,
    table_of,
)
from airflow_quilt_athena.core.quilt.revisions import MAX_PATHS_PER_BRANCH
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location

_HEADER_SAYS = ("version", "message", "user_meta", "workflow")
_ENTRY_SAYS = ("logical_key", "physical_keys", "meta", "size", "hash")


def build_check(source: ManifestSource, check: Check) -> str:
    """Return the query: a row for each thing that is wrong, and with each row how many pointers there are."""
    bucket = check.listing.bucket
    pointers = f"""
SELECT path, max(pkg_name) AS pkg_name, max(pointer) AS pointer, max(top_hash) AS top_hash, count(*) AS rows
FROM (
{indented(_branches(lambda paths: pointers_query(source, paths), bucket, check.pointers))}
)
WHERE pkg_name IS NOT NULL
GROUP BY path
""".strip()
    lines = _branches(lambda paths: _lines_query(source, paths), bucket, check.manifests)
    joined = """
SELECT
  p.path, p.top_hash, p.rows, l.file_hash, l.headers, l.unread, l.odd_sizes,
  count(p.path) OVER () AS pointer_count,
  row_number() OVER (ORDER BY p.path, l.file_hash) AS position
FROM pointers p
FULL OUTER JOIN lines l ON l.file_hash = p.top_hash
""".strip()
    return (
        name_queries(("pointers", pointers), ("lines", lines), ("joined", joined))
        + """
SELECT path, top_hash, rows, file_hash, headers, unread, odd_sizes, pointer_count
FROM joined
WHERE position = 1
  OR (path IS NOT NULL AND (top_hash IS NULL OR rows <> 1 OR file_hash IS NULL))
  OR headers = 0 OR unread > 0 OR odd_sizes > 0
""".strip()
    )


def _lines_query(source: ManifestSource, paths: Sequence[str]) -> str:
    header = [name for name in _HEADER_SAYS if name != "workflow" or source.has_workflow]
    says_nothing = " AND ".join(f'"{name}" IS NULL' for name in (*header, *_ENTRY_SAYS))
    says_header = " OR ".join(f'"{name}" IS NOT NULL' for name in header)
    return f"""
SELECT
  {TOP_HASH_OF_FILE} AS file_hash,
  count_if("logical_key" IS NULL AND ({says_header})) AS headers,
  count_if({says_nothing}) AS unread,
  count_if("logical_key" IS NOT NULL AND cardinality("physical_keys") > 0
    AND "size" IS NOT NULL AND {SIZE} IS NULL) AS odd_sizes
FROM {table_of(source, source.manifests)}
WHERE {TOP_HASH_OF_FILE} IS NOT NULL{at_paths(paths)}
GROUP BY {TOP_HASH_OF_FILE}
""".strip()


def _branches(build: Callable[[Sequence[str]], str], bucket: str, files: Sequence[File] | None) -> str:
    """Return a query over all files, or over these in lists that an engine prunes by."""
    if files is None:
        return build(())
    paths = [f"s3://{bucket}/{file.key}" for file in files] or [f"s3://{bucket}/"]  # which is no file's
    starts = range(0, len(paths), MAX_PATHS_PER_BRANCH)
    return "\nUNION ALL\n".join(build(paths[at : at + MAX_PATHS_PER_BRANCH]) for at in starts)


def judge_answer(check: Check, rows: Iterable[Sequence[str | None]]) -> tuple[Finding, ...]:
    """Return what the query's rows tell, with what was known before."""
    listing = check.listing
    root, manifest_root = packages_location(listing.bucket), manifests_location(listing.bucket)
    odd = {f.name for f in judge_names(listing) if f.reason is not Reason.OTHER_OBJECTS}
    listed = {file.key: file for file in listing.manifests}
    asked = None if check.manifests is None else {file.key for file in check.manifests}
    found: dict[Finding, None] = dict.fromkeys(check.known)
    shown = 0
    for path, top_hash, rows_in_it, file_hash, headers, unread, odd_sizes, pointer_count in rows:
        shown = int(pointer_count or 0)
        key = None if path is None else path.removeprefix(f"s3://{listing.bucket}/")
        if key is not None:
            name = key.removeprefix(root.key)
            if name not in odd:
                for finding in _judge_row(name, key, top_hash, rows_in_it, file_hash):
                    manifest = manifest_root.key + str(top_hash)
                    # An old manifest was looked at when it was new.
                    is_old = asked is not None and manifest in listed and manifest not in asked
                    if finding.reason is not Reason.MISSING_MANIFESTS or not is_old:
                        found[finding] = None
        if file_hash is not None:
            key = manifest_root.key + file_hash
            found |= dict.fromkeys(_judge_manifest(file_hash, key, headers, unread, odd_sizes))
    missing = _expected(check) - shown
    if missing:
        found[Finding(Reason.UNEXPLAINED, f"{missing} of {_expected(check)}", abs(missing))] = None
    return tuple(found)


def _judge_row(
    name: str, key: str, top_hash: str | None, rows_in_it: str | None, file_hash: str | None
) -> Iterable[Finding]:
    if top_hash is None or rows_in_it != "1":
        yield Finding(Reason.POINTER_BODIES, name, key=key)
    elif file_hash is None:
        yield Finding(Reason.MISSING_MANIFESTS, f"{name} {top_hash}", key=key)


def _judge_manifest(
    file_hash: str, key: str, headers: str | None, unread: str | None, odd_sizes: str | None
) -> Iterable[Finding]:
    unread_lines, has_header = int(unread or 0), int(headers or 0) > 0
    if not has_header:
        yield Finding(Reason.UNREADABLE_HEADERS, file_hash, key=key)
        unread_lines -= 1
    if unread_lines > 0:
        yield Finding(Reason.UNREADABLE_LINES, file_hash, unread_lines, key)
    if int(odd_sizes or 0):
        yield Finding(Reason.ODD_SIZES, file_hash, int(odd_sizes or 0), key)


def _expected(check: Check) -> int:
    """Return how many pointers the query has to have seen."""
    files = check.listing.pointers if check.pointers is None else check.pointers
    return sum(1 for file in files if _is_shown(check.listing.bucket, file))


def _is_shown(bucket: str, file: File) -> bool:
    """Whether Athena sees the file as a pointer, whatever its name and contents."""
    parts = file.key.removeprefix(packages_location(bucket).key).split("/")
    hidden = any(part.startswith(HIDDEN_STARTS) for part in parts)
    return len(parts) == 3 and bool(parts[2]) and not hidden and file.size_bytes > 0
