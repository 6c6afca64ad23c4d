"""What a query's caller may do, asked before Trino does it as the account's root user.

Athena reads and writes as the caller. Trino's server knows one identity, so while policies count the tables
that a query reads are looked up, listed and opened as the caller first: each location, and one object of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from local_athena.data.catalog import Catalog
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Session
from local_athena.data.tables import Table
from local_athena.errors import QueryFailed
from local_athena.trino.client import TrinoClient

_ANY_NAME = "file"


def check_reads(client: TrinoClient, sql: str, session: Session) -> None:
    """Fail as S3 or Glue would when the caller may not read what a query reads."""
    if session.clients.write_refusal is None:
        return
    try:
        answer = client.run(f"EXPLAIN (TYPE IO, FORMAT JSON) {sql}", session)
    except QueryFailed:
        return  # it will fail by itself, and tell the places of the user's own text
    catalog = Catalog(session.clients)
    for entry in json.loads(answer.rows[0][0]).get("inputTableColumnInfos", ()):
        named = entry["table"]["schemaTable"]
        table = catalog.get_table(named["schema"], named["table"])
        for location in dict.fromkeys(() if table is None else _locations(catalog, table)):
            _open(location, session)


def check_write(folder: S3Uri, session: Session) -> None:
    """Fail as S3 would when the caller may not write into a folder."""
    refusal = session.clients.write_refusal
    reason = refusal(folder.bucket, f"{folder.folder.key}{_ANY_NAME}") if refusal is not None else None
    if reason is not None:
        raise QueryFailed(f"Access Denied (Service: Amazon S3; Status Code: 403): {folder}: {reason}")


def _locations(catalog: Catalog, table: Table) -> Iterator[S3Uri]:
    places = [part.location for part in catalog.partitions(table)] if table.partition_keys else []
    for place in (*places, *(() if table.partition_keys else (table.location,))):
        if place is not None:
            yield place.folder


def _open(folder: S3Uri, session: Session) -> None:
    objects = session.clients.objects
    first = next((one for one in objects.list(folder.bucket, folder.key) if one.size_bytes), None)
    if first is not None:
        objects.read(folder.bucket, first.key)
