"""The queries of one attempt: started side by side, known to the journal, looked at, and their answers read.

How far they are is a value. A query is started with a token of its own, so that starting it twice is starting
it once, and its id is in the journal before it is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_quilt_athena.core.athena.query_status import PENDING, UNSUCCESSFUL, QueryStatus, build_failure
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.glue.tables import Columns, Table
from airflow_quilt_athena.core.overwrite.journal_entry import UNFINISHED, Entry, Query, State
from airflow_quilt_athena.core.overwrite.partition_changes import Staged
from airflow_quilt_athena.core.overwrite.query_role import Role
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.flows.athena.looks import observe_queries
from airflow_quilt_athena.flows.athena.queries import start_query
from airflow_quilt_athena.flows.athena.results import read_rows, read_update_count
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the staging of one attempt is. Whoever takes over begins with the journal's entry alone."""

    entry: Entry  # as the journal has it, and what of it is written with the next queries
    columns: Columns  # of the result, as far as they are known
    phase: int = 0
    statuses: Mapping[Role, QueryStatus] = field(default_factory=dict)  # of the queries that succeeded
    template: Table | None = None  # a table with the columns that a new one is to have
    staged: Mapping[Values, Staged] = field(default_factory=dict)
    publishes: bool = True  # False: there are no rows, and nothing is to be published
    trouble: BaseException | None = None  # what was met after some queries had been started; to be raised

    @property
    def bytes_scanned(self) -> int:
        """What all queries that succeeded have scanned."""
        return sum(status.bytes_scanned for status in self.statuses.values())


@dataclass(frozen=True, slots=True)
class AttemptQueries:
    """Runs the queries of one attempt."""

    athena: AthenaClient
    journal: Journal
    request: OverwriteRequest

    def run(self, progress: Progress, statements: Mapping[Role, str]) -> tuple[Progress, tuple[str, ...]]:
        """Run statements side by side, as many at a time as the call allows; return what to wait for."""
        for roles in in_batches(list(statements), self.request.max_parallel_queries):
            missing = [role for role in roles if progress.entry.query_id(role) is None]
            if missing:
                progress = self._start(progress, {role: statements[role] for role in missing})
            else:
                progress = self._look(progress, roles)
            if progress.trouble is not None or not progress.statuses.keys() >= set(roles):
                return progress, _ids(progress, roles)
        return progress, ()

    def _start(self, progress: Progress, statements: Mapping[Role, str]) -> Progress:
        started: list[Query] = []
        trouble: BaseException | None = None
        try:
            for role, sql in statements.items():
                started.append(Query(role, self._start_one(progress.entry, sql)))
        except BaseException as error:  # a kill, too: the queries that run have to be known
            if not started:
                raise
            trouble = error
        entry = progress.entry
        state = State.SUBMITTED if entry.state is State.INTENDED else entry.state
        entry = self._advance(entry, state=state, queries=(*entry.queries, *started))
        return replace(progress, entry=entry, trouble=trouble)

    def _start_one(self, entry: Entry, sql: str) -> str:
        request = self.request
        return start_query(
            self.athena,
            sql,
            database=request.database,
            workgroup=request.workgroup,
            token=entry.attempt.token(sql),
            kms_key_arn=request.kms_key_arn,
        )

    def _look(self, progress: Progress, roles: Sequence[Role]) -> Progress:
        """Note which of the queries have succeeded. Raises QueryFailedError for those that failed."""
        waiting = [role for role in roles if role not in progress.statuses]
        if not waiting:
            return progress
        athena, ids = self.athena, _ids(progress, waiting)
        statuses = ask(lambda: observe_queries(athena, ids), f"look at Athena query {', '.join(ids)}")
        failed = [status for status in statuses if status.state in UNSUCCESSFUL]
        if failed:
            raise build_failure(failed, region=athena.meta.region_name)
        done = {role: s for role, s in zip(waiting, statuses, strict=True) if s.state not in PENDING}
        return replace(progress, statuses={**progress.statuses, **done})

    def answer(
        self, progress: Progress, role: Role, max_rows: int = sys.maxsize
    ) -> list[tuple[str | None, ...]]:
        """Return the rows that a query answered."""
        query_execution_id = progress.statuses[role].query_execution_id
        return read_rows(self.athena, query_execution_id, max_rows=max_rows)[1]

    def update_count(self, progress: Progress, role: Role) -> int | None:
        """Return the rows that a CTAS says it wrote; Athena promises no such number for UNLOAD."""
        return read_update_count(self.athena, progress.statuses[role].query_execution_id)

    def _advance(self, entry: Entry, **changes: object) -> Entry:
        try:
            return self.journal.advance(entry, **changes)
        except JournalConflict as conflict:
            # A worker thought lost goes on with the same attempt: what it started is what we would start.
            found = conflict.found
            if found is None or found.attempt != entry.attempt or found.state not in UNFINISHED:
                raise
            return self.journal.advance(found, **changes)


def _ids(progress: Progress, roles: Sequence[Role]) -> tuple[str, ...]:
    return tuple(filter(None, map(progress.entry.query_id, roles)))
