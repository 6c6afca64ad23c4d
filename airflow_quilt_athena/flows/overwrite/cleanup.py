"""Remove what is no longer needed: what only served staging, and a generation that an overwrite replaced."""

from __future__ import annotations

import logging
from itertools import islice

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.history import Pointer
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, State
from airflow_quilt_athena.core.overwrite.plan import scratch_folder, temporary_tables
from airflow_quilt_athena.core.overwrite.sweep_plan import plan_sweep
from airflow_quilt_athena.exceptions import AccessError, QuiltAthenaError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import GlueClient, LakeClients
from airflow_quilt_athena.flows.aws.objects import MAX_KEYS_PER_DELETE, delete_listed, list_objects
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.natural_files import find_written_since
from airflow_quilt_athena.flows.overwrite.removal import Remover

log = logging.getLogger(__name__)

# What an overwrite cleans by itself, in a few calls; the rest is the sweep's.
_MOST_TABLES = 10
_MOST_REPLACED = 5
_LONGEST_CHAIN = 3


def clean_up(
    clients: LakeClients, journal: Journal, name: TableName, table: Table | None, entry: Entry
) -> None:
    """Clean after an overwrite was published. Trouble is logged, not raised: the work is done."""
    try:
        tidied = tidy(clients.glue, journal, entry, bounded=True)
        if tidied == entry.untidy:
            entry = journal.advance(entry, untidy=not tidied)
        if table is not None and table.partition_keys:
            catalog.record_base(clients.glue, table)
        _tell_of_foreign_files(journal, table, entry)
        _remove_replaced(clients, journal, name, entry)
    except QuiltAthenaError as error:
        log.warning("Not all could be cleaned up after attempt %s: %s", entry.attempt.name, error)


def _tell_of_foreign_files(journal: Journal, table: Table | None, entry: Entry) -> None:
    keys = table.partition_keys if table is not None else ()
    for values, folder, count in find_written_since(journal.s3, journal.base, keys, entry.changes):
        log.warning(
            "%d files were written below %s since partition %s was last overwritten here, by something that "
            "does not ask Glue where the partition is. Athena does not read them; they were left as they "
            "are.",
            count,
            folder,
            values,
        )


def tidy(glue: GlueClient, journal: Journal, entry: Entry, *, bounded: bool = False) -> bool:
    """Remove what only served staging; False when something stayed, which must not undo the work."""
    tables = temporary_tables(entry)
    if bounded and len(tables) > _MOST_TABLES:
        return False
    try:
        for table in tables:
            catalog.delete_table(glue, table)
        scratch = scratch_folder(entry)
        if scratch is None:
            return True
        most = MAX_KEYS_PER_DELETE if bounded else None
        keys = [listed.key for listed in islice(list_objects(journal.s3, scratch), most)]
        _, stayed = delete_listed(journal.s3, scratch.bucket, keys)
        if stayed:
            raise AccessError("\n".join(stayed))
    except QuiltAthenaError as error:
        log.warning("What attempt %s staged could not all be removed: %s", entry.attempt.name, error)
        return False
    return len(keys) != most


def drop_temporary_tables(glue: GlueClient, entry: Entry) -> None:
    """Drop the tables that the attempt's statements made; their files stay."""
    for table in temporary_tables(entry):
        catalog.delete_table(glue, table)


def empty_folder(journal: Journal, folder: S3Uri) -> tuple[int, tuple[str, ...]]:
    """Delete the objects listed below one of our own folders; return how many, and what stayed."""
    keys = [listed.key for listed in list_objects(journal.s3, folder)]
    return delete_listed(journal.s3, folder.bucket, keys)


def _remove_replaced(clients: LakeClients, journal: Journal, name: TableName, entry: Entry) -> None:
    """Remove what was replaced before, as far as its time is over: the generations of a few partitions."""
    if len(entry.changes) > _MOST_REPLACED:
        return
    chain = _read_chain(journal, entry)
    if len(chain) < 2:
        return
    values = {change.values for change in entry.changes}
    pointers = {change.values: Pointer(change.location, change.generation) for change in entry.changes}
    plan = plan_sweep(chain, pointers, journal.now(), wanted=values.__contains__)
    removals = [removal for removal in plan.remove if removal.entry.name != entry.name]
    table = catalog.observe_table(clients.glue, name) if removals else None
    if table is not None:
        Remover(clients, journal, table).remove(removals, most_objects=MAX_KEYS_PER_DELETE)


def _read_chain(journal: Journal, entry: Entry) -> dict[str, Entry]:
    """Return the entry, those of the generations it replaced, and so on back for a little."""
    chain, newer = {entry.name: entry}, [entry]
    values = {change.values for change in entry.changes}
    for _ in range(_LONGEST_CHAIN):
        generations = {
            change.previous_generation
            for one in newer
            for change in one.changes
            if change.values in values and change.previous_generation
        }
        attempts = filter(None, map(Attempt.parse, sorted(generations)))
        names = [attempt.entry_name for attempt in attempts if attempt.entry_name not in chain]
        newer = [found for found in journal.read_all(names) if found.table == entry.table]
        chain |= {found.name: found for found in newer}
        if not newer or all(found.state is not State.PUBLISHED for found in newer):
            break
    return chain
