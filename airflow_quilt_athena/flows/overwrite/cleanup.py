"""Remove what only served staging: temporary tables, and rows that were cut into slices since."""

from __future__ import annotations

import logging

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.overwrite.journal_entry import Entry
from airflow_quilt_athena.core.overwrite.plan import scratch_folder, temporary_tables
from airflow_quilt_athena.exceptions import AccessError, QuiltAthenaError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.objects import delete_listed, list_objects
from airflow_quilt_athena.flows.overwrite.journal import Journal

log = logging.getLogger(__name__)


def tidy(glue: GlueClient, journal: Journal, entry: Entry) -> bool:
    """Remove them after the work is done; False when something stayed, which must not undo the work."""
    try:
        drop_temporary_tables(glue, entry)
        scratch = scratch_folder(entry)
        if scratch is not None:
            _, stayed = empty_folder(journal, scratch)
            if stayed:
                raise AccessError("\n".join(stayed))
    except QuiltAthenaError as error:
        log.warning("What attempt %s staged could not all be removed: %s", entry.attempt.name, error)
        return False
    return True


def drop_temporary_tables(glue: GlueClient, entry: Entry) -> None:
    """Drop the tables that the attempt's statements made; their files stay."""
    for table in temporary_tables(entry):
        catalog.delete_table(glue, table)


def empty_folder(journal: Journal, folder: S3Uri) -> tuple[int, tuple[str, ...]]:
    """Delete the objects listed below one of our own folders; return how many, and what stayed."""
    keys = [listed.key for listed in list_objects(journal.s3, folder)]
    return delete_listed(journal.s3, folder.bucket, keys)
