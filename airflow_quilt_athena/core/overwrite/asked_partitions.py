"""Which partitions an overwrite asks for: the table's keys or a new table's, and what may change of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from airflow_quilt_athena.core.glue.partitions import check_key_type
from airflow_quilt_athena.core.glue.selection import (
    Partition,
    Selection,
    Values,
    describe_keys,
    fixed_values,
    naming,
    parse_partitions,
)
from airflow_quilt_athena.core.glue.tables import Columns, Table
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest, Replace
from airflow_quilt_athena.exceptions import InvalidCallError

Partitions = Partition | Sequence[Partition]


def plan_keys(table: Table | None, request: OverwriteRequest) -> Columns:
    """Return the partition keys: the table's, or for a new table what the call says of them."""
    asked = request.partitioned_by
    if table is not None:
        if asked and asked != table.partition_keys:
            raise InvalidCallError(
                f"partitioned_by is {describe_keys(asked)}, but table {table.name} is partitioned by "
                f"{describe_keys(table.partition_keys)}."
            )
        return table.partition_keys
    if asked or request.partition == {}:
        return asked
    if isinstance(request.partition, Mapping):
        return tuple((str(name).strip().lower(), "string") for name in request.partition)
    raise InvalidCallError(
        f"Table {request.table} does not exist, and no partition keys are given for it. Expected "
        'partitioned_by, such as ("dt",) or {"dt": "date"}; or partition={} for a table without partitions.'
    )


def plan_selection(keys: Columns, request: OverwriteRequest) -> Selection:
    """Return what may change.

    Raises InvalidCallError for values None, "" and "None", for keys the table does not have, and for
    ``replace="table"`` beside a partition.
    """
    whole = request.replace is Replace.TABLE
    if not keys:
        if request.partition != {}:
            raise InvalidCallError(
                f"partition is {request.partition!r}, but table {request.table} has no partition keys. "
                "Expected partition={}: the table is replaced whole."
            )
        return Selection((), {}, removes=True)
    for name, hive_type in keys:
        with naming(name):
            check_key_type(hive_type)
    fixed = fixed_values(keys, request.partition)
    if whole and fixed:
        raise InvalidCallError(
            f'replace is "table", but partition names {fixed}. Expected partition={{}} with it, or '
            'replace="partitions".'
        )
    return Selection(keys, fixed, removes=whole or bool(fixed))


def choose(table: Table, partitions: Partitions | None) -> Callable[[Values], bool] | None:
    """Return whether a partition is meant, by its values; None when all are.

    :raises InvalidCallError: when a partition does not fit the table's keys.
    """
    if partitions is None:
        return None
    if not table.partition_keys:
        raise InvalidCallError(f"Table {table.name} has no partition keys; leave partitions out.")
    selections = parse_partitions(table.partition_keys, partitions)
    return lambda values: any(selection.covers(values) for selection in selections)


def any_partition(table: Table | None) -> Selection:
    """Return the selection of whichever partitions are named; of the table itself, when it has no keys."""
    keys = table.partition_keys if table is not None else ()
    return Selection(keys, {}, removes=not keys)
