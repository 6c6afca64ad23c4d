"""Insert overwrite: look → write → audit → publish → clean. Knows no Airflow.

The result is staged in a fresh folder, checked there, and Glue then points the partitions at it. No query and
no delete touches live data: whatever fails, and wherever, the old rows stay as they were.

``Overwrite.advance`` works until queries have to be waited for, so that the waiting may happen elsewhere. All
that it needs to go on is in the journal: opened again with the same task key, by whichever process, it joins
the queries that run and finishes what was begun.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Unpack

from airflow_quilt_athena.core.athena.hive_types import without_lengths
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.glue.tables import Table, refuse_unwritable
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import Staged
from airflow_quilt_athena.core.overwrite.plan import Plan, Seen
from airflow_quilt_athena.core.overwrite.planning import plan_overwrite
from airflow_quilt_athena.core.overwrite.query_role import DEFINE, DESCRIBE, STAGE
from airflow_quilt_athena.core.overwrite.request import MIN_RETAIN, OnFailedAudit, OverwriteRequest
from airflow_quilt_athena.core.overwrite.statements import Statements
from airflow_quilt_athena.core.overwrite.summary import MOST_TOLD
from airflow_quilt_athena.core.overwrite.table_input import build_table_input
from airflow_quilt_athena.exceptions import (
    AuditFailedError,
    InvalidCallError,
    ManualActionError,
    QueryFailedError,
    QuiltAthenaError,
    RetryableError,
)
from airflow_quilt_athena.flows.athena.queries import Waiting, wait_for_queries
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.attempts import (
    abort_attempt,
    begin_attempt,
    is_done,
    resume_attempt,
)
from airflow_quilt_athena.flows.overwrite.cleanup import clean_up, drop_temporary_tables, empty_folder
from airflow_quilt_athena.flows.overwrite.column_mismatch import explain_failure, refuse_misfits
from airflow_quilt_athena.flows.overwrite.flips import Flips
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.left_behind import LeftBehind
from airflow_quilt_athena.flows.overwrite.new_place import refuse_taken_place
from airflow_quilt_athena.flows.overwrite.observe import look
from airflow_quilt_athena.flows.overwrite.overwrite_result import OverwriteResult
from airflow_quilt_athena.flows.overwrite.publish import Publisher
from airflow_quilt_athena.flows.overwrite.stage import StagedResultGone, Stager

__all__ = ["Overwrite", "OverwriteResult", "insert_overwrite"]

log = logging.getLogger(__name__)

PUBLISHED, SKIPPED = "published", "skipped"


class Overwrite:
    """One overwrite, planned and begun or joined.

    :param task_key: names the work; the same over retries, another when it is to be done again.
    :param attempt: the name of the attempt's journal entry, to go on with that one and no other.
    :raises InvalidCallError: for everything that can be known to fail, before anything is written.
    """

    def __init__(
        self,
        clients: LakeClients,
        request: OverwriteRequest,
        task_key: str,
        *,
        seen: Seen | None = None,
        attempt: str | None = None,
    ) -> None:
        self._clients = clients
        self._task_key = task_key
        self.plan: Plan = plan_overwrite(seen or look(clients, request), request)
        if attempt is None and self.plan.table is None:
            refuse_taken_place(clients, request.table, self.plan.base)
        self._journal = Journal(clients.s3, self.plan.base, kms_key_arn=request.kms_key_arn)
        self._begin(attempt)

    def _begin(self, attempt: str | None = None) -> None:
        if attempt is None:
            entry = begin_attempt(self._clients.athena, self._journal, self.plan, self._task_key)
        else:
            entry = resume_attempt(self._clients.athena, self._journal, self.plan, self._task_key, attempt)
        self._stager = Stager(self._clients, self._journal, self.plan, entry.attempt)
        self._progress = self._stager.begin(entry)

    @property
    def attempt(self) -> str:
        """The name of the journal entry."""
        return self._progress.entry.name

    @property
    def statements(self) -> Statements:
        """The statements of the attempt."""
        return Statements(self.plan, self._progress.entry.attempt)

    @property
    def sql(self) -> str:
        """The statement that stages the result, as it is sent."""
        return self.statements.stage(self.plan.expected_columns or ())

    def advance(self) -> tuple[str, ...] | OverwriteResult:
        """Work on; return the ids of queries to wait for before the next call, or what was done."""
        entry = self._progress.entry
        if is_done(entry, self.plan):
            log.info("Attempt %s was published by an earlier try of this task.", entry.attempt.name)
            return self._result(entry, PUBLISHED)
        if entry.state is State.PUBLISHING:
            if entry.fingerprint == self.plan.request.fingerprint:
                return self._publish(entry, _staged_by(entry))
            # What was left half done was asked for otherwise: it is finished, and then the work begins.
            LeftBehind(self._flips(self.plan.table)).finish(entry)
            self._begin()
        while not self._stager.is_over(self._progress):
            self._progress, waiting = self._stager.step(self._progress)
            if self._progress.trouble is not None:
                raise self._progress.trouble
            if waiting:
                return waiting
        if not self._progress.publishes:
            self._end("skipped: no rows", timedelta(0))
            return self._result(self._progress.entry, SKIPPED)
        entry = replace(self._progress.entry, bytes_scanned=self._progress.bytes_scanned)
        return self._publish(entry, self._progress.staged)

    def abandon(self, error: QuiltAthenaError) -> QuiltAthenaError:
        """End the attempt when ``error`` says that it cannot succeed; return the error to raise.

        After any other error the attempt stays as it is: whoever comes next goes on with it.
        """
        try:
            return self._give_up(error)
        except QuiltAthenaError as trouble:
            log.warning("Attempt %s could not be ended in the journal: %s", self.attempt, trouble)
            return _as_told(error)

    def _give_up(self, error: QuiltAthenaError) -> QuiltAthenaError:
        if isinstance(error, AuditFailedError):
            return self._give_up_audit(error)
        if isinstance(error, QueryFailedError):
            explained = explain_failure(self._clients.athena, self.plan, self.statements, error)
            self._end(error.reason or str(error), MIN_RETAIN)
            return explained
        if isinstance(error, InvalidCallError | ManualActionError):
            self._end(str(error), MIN_RETAIN)
        return _as_told(error)

    def _give_up_audit(self, error: AuditFailedError) -> AuditFailedError:
        keeps = self.plan.request.on_failed_audit is OnFailedAudit.KEEP
        folder = self.statements.folder
        self._end(str(error), self.plan.request.retain if keeps else timedelta(0))
        if keeps:
            files = f"the new files were kept, unpublished, at {folder}"
        else:
            empty_folder(self._journal, folder)
            files = "the new files were dropped"
        return AuditFailedError(f"{error}\nThe old data is as it was; {files}.")

    def _end(self, reason: str, keep: timedelta) -> None:
        entry = self._progress.entry
        if entry.state is State.PUBLISHING:
            return  # partitions may point at it
        drop_temporary_tables(self._clients.glue, entry)
        entry = abort_attempt(self._clients.athena, self._journal, entry, reason[:2000], keep=keep)
        self._progress = replace(self._progress, entry=entry)

    # -------------------------------------------------------------------------------------------- publish

    def _publish(self, entry: Entry, staged: Mapping[Values, Staged]) -> OverwriteResult:
        flips = self._flips(self._ensure_table(entry))
        entry = LeftBehind(flips).settle(Publisher(flips).publish(entry, staged))
        for change in entry.changes[:MOST_TOLD]:
            log.info("%s %s: %s rows at %s", change.action.value, change.values, change.rows, change.location)
        # From here on a later try answers the same. What is cleaned now takes a few calls.
        clean_up(self._clients, self._journal, flips.name, flips.table, entry)
        return self._result(entry, PUBLISHED)

    def _flips(self, table: Table | None) -> Flips:
        definition = None
        if table is None and self._progress.template is not None:
            definition = self._definition(self._progress.template)
        return Flips(
            self._clients.glue,
            self._journal,
            self.plan.request.table,
            table,
            self.plan.selection,
            definition,
        )

    def _ensure_table(self, entry: Entry) -> Table | None:
        """Return the table to publish in; None for one without keys, which is made by pointing it."""
        plan, glue = self.plan, self._clients.glue
        if plan.table is not None:
            return plan.table
        template = self._progress.template or self._find_template(entry)
        self._progress = replace(self._progress, template=template)
        if plan.selection.is_unpartitioned:
            return None
        created = catalog.create_table(glue, plan.request.table, self._definition(template))
        table = catalog.observe_table(glue, plan.request.table)
        if table is None:
            raise RetryableError(f"Table {plan.request.table} vanished right after it was created.")
        if created:
            log.info("Created table %s at %s.", table.name, table.base)
            return table
        # Another run created it first: what was planned for a new table must fit the one there now is.
        refuse_unwritable(table)
        made = tuple((name, without_lengths(hive_type)) for name, hive_type in template.columns)
        refuse_misfits(
            self._clients.athena,
            replace(plan, table=table),
            self.statements,
            replace(template, columns=made),
        )
        if (table.partition_keys, table.base) != (plan.selection.keys, plan.base):
            raise InvalidCallError(
                f"Table {table.name} was created meanwhile, at {table.base} with keys "
                f"{table.partition_keys}; expected {plan.base} and {plan.selection.keys}."
            )
        return catalog.record_base(glue, table)

    def _find_template(self, entry: Entry) -> Table:
        """Return a temporary table such as the new one is to be, when another process had it made."""
        for role in (DEFINE, DESCRIBE, STAGE):
            if entry.query_id(role) is not None:
                table = catalog.observe_table(self._clients.glue, self.statements.table(role))
                if table is not None:
                    return table
        raise ManualActionError(
            f"Table {entry.table} is gone, and so is what attempt {entry.attempt.name} knew of its columns. "
            f"Its rows are at {entry.folder}. Clear the task to run the query again."
        )

    def _definition(self, template: Table) -> dict[str, Any]:
        plan = self.plan
        return build_table_input(
            plan.request, template, plan.selection.keys, plan.base, plan.encoding.file_format
        )

    def _result(self, entry: Entry, outcome: str) -> OverwriteResult:
        return OverwriteResult(
            tuple(query.query_execution_id for query in entry.queries),
            outcome,
            entry.rows or 0,
            entry.bytes_scanned or self._progress.bytes_scanned,
            entry.table,
            tuple(name for name, _ in self.plan.selection.keys),
            entry.changes,
            str(self._journal.place(entry.name)),
        )


def _as_told(error: QuiltAthenaError) -> QuiltAthenaError:
    """Return the error to raise: what was staged and is gone is staged anew by the next try."""
    return RetryableError(str(error)) if isinstance(error, StagedResultGone) else error


def _staged_by(entry: Entry) -> dict[Values, Staged]:
    return {
        change.values: Staged(change.location, change.rows or 0)
        for change in entry.changes
        if change.location is not None
    }


def insert_overwrite(
    clients: LakeClients,
    request: OverwriteRequest,
    task_key: str,
    **waiting: Unpack[Waiting],
) -> OverwriteResult:
    """Overwrite, from looking to cleaning, in this process.

    :param waiting: how each wait for queries goes.
    """
    overwrite = Overwrite(clients, request, task_key)
    try:
        while not isinstance(reached := overwrite.advance(), OverwriteResult):
            wait_for_queries(clients.athena, reached, **waiting)
        return reached
    except QuiltAthenaError as error:
        raise overwrite.abandon(error) from error
