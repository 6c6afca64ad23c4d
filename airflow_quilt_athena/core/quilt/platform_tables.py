"""What the tables that a Quilt platform keeps over a bucket do not give of its manifests. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_quilt_athena.core.glue.tables import Table
from airflow_quilt_athena.core.quilt.table_ddl import JSON_SERDE


def losses_of(manifests: Table) -> tuple[str, ...]:
    """Return a line for each thing that is lost when manifests are read by this table; none when nothing is.

    Our own table over the same files loses nothing of it.
    """
    return tuple(_losses(manifests))


def _losses(manifests: Table) -> Iterator[str]:
    descriptor = manifests.raw.get("StorageDescriptor") or {}
    serde = (descriptor.get("SerdeInfo") or {}).get("SerializationLibrary") or "none"
    if serde != JSON_SERDE:
        yield f"its SerDe is {serde}, and what that makes of a manifest is not known; expected {JSON_SERDE}"
        return
    parameters = {name.lower(): str(value) for name, value in manifests.serde_parameters.items()}
    if parameters.get("case.insensitive", "true").lower() != "false":
        yield (
            "keys of metadata are lower-cased, and lines whose metadata has keys that differ in case alone "
            "are lost: of a file the file, of a header with message and metadata of its revision (SerDe "
            "property case.insensitive is not false)"
        )
    if parameters.get("ignore.malformed.json", "false").lower() != "true":
        yield "one torn line fails every query (SerDe property ignore.malformed.json is not true)"
    if dict(manifests.columns).get("size") != "string":
        yield "sizes that are written as 10.0, 5e12 or text may be lost (column size is not a string)"
    if manifests.parameters.get("skip.header.line.count", "0") != "0":
        yield "headers are skipped (table property skip.header.line.count)"
