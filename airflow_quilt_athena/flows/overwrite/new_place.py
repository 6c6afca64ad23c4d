"""Whether a table may be made at a place: nothing may lie there, nor at, above or below it another table."""

from __future__ import annotations

from itertools import islice

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER, TableName
from airflow_quilt_athena.core.overwrite.partition_changes import location_of
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.natural_files import list_natural

_MOST_NAMED = 3


def refuse_taken_place(clients: LakeClients, name: TableName, base: S3Uri) -> None:
    """Refuse a place that holds files, or that another table of the database reads.

    What an attempt at this very table has staged there, in ``.generations``, is no matter.

    :raises InvalidCallError: naming what lies there.
    """
    found = (one for one in list_natural(clients.s3, base, base) if one.key != base.key or one.size_bytes)
    keys = [f"s3://{base.bucket}/{one.key}" for one in islice(found, _MOST_NAMED)]
    if keys:
        raise InvalidCallError(
            f"Table {name} does not exist, and would be made at {base}, where files lie already: "
            f"{', '.join(keys)}{' and more' if len(keys) == _MOST_NAMED else ''}. Expected an empty place. "
            "Is the location, or the table's name, mistyped? Move the files away, or name another location."
        )
    staged = base / f"{GENERATIONS_FOLDER}/"
    for raw in catalog.list_tables(clients.glue, name):
        location = location_of(raw)
        if location is None or str(raw["Name"]).lower() == name.table:
            continue
        place = S3Uri.parse(location)
        if not staged.contains(place) and (base.contains(place) or place.contains(base)):
            where = "at" if place == base else "above" if place.contains(base) else "below"
            raise InvalidCallError(
                f"Table {name} does not exist, and would be made at {base}; table {name.database}."
                f"{raw['Name']} lies {where} it, at {place}. Expected a place of its own."
            )
