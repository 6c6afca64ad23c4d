"""Stage a result and audit it: queries started, waited for and read, one phase after the other.

Each phase is safe to repeat. A query is started with a token of its own, so that starting it twice is
starting it once, and its id is in the journal before it is waited for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from airflow_quilt_athena.core.athena.query_status import PENDING, UNSUCCESSFUL, QueryStatus, build_failure
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.glue.tables import Table, table_input
from airflow_quilt_athena.core.overwrite.ctas import check_passes
from airflow_quilt_athena.core.overwrite.journal_entry import UNFINISHED, Entry, Found, Query, State
from airflow_quilt_athena.core.overwrite.partition_changes import Staged
from airflow_quilt_athena.core.overwrite.plan import Plan
from airflow_quilt_athena.core.overwrite.query_role import (
    COUNT,
    DEFINE,
    DESCRIBE,
    ROWS,
    STAGE,
    Role,
    RoleKind,
)
from airflow_quilt_athena.core.overwrite.request import OnEmpty
from airflow_quilt_athena.core.overwrite.slices import cut_slices, find_places, parse_found
from airflow_quilt_athena.core.overwrite.statements import Statements
from airflow_quilt_athena.exceptions import AuditFailedError, ManualActionError
from airflow_quilt_athena.flows.athena.queries import observe_queries, start_query
from airflow_quilt_athena.flows.athena.results import read_rows, read_update_count
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.objects import list_objects
from airflow_quilt_athena.flows.overwrite.column_mismatch import refuse_misfits
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict

log = logging.getLogger(__name__)

# Yields the ids of queries that have to be done before it goes on.
Steps = Generator[tuple[str, ...], None, None]


class StagedResultGone(ManualActionError):
    """The files or the table of a query that succeeded are not there."""


class Stager:
    """The staging of one attempt. ``entry`` is its journal entry as it now is."""

    def __init__(self, clients: LakeClients, journal: Journal, plan: Plan, entry: Entry) -> None:
        self._clients = clients
        self._journal = journal
        self._plan = plan
        self._statements = Statements(plan, entry.attempt)
        self._statuses: dict[Role, QueryStatus] = {}
        self._columns = plan.expected_columns or ()
        self.entry = entry
        self.staged: dict[Values, Staged] = {}
        self.template: Table | None = None  # a table such as a new one is to be

    @property
    def query_execution_ids(self) -> tuple[str, ...]:
        """All queries of the attempt, in the order they were started."""
        return tuple(query.query_execution_id for query in self.entry.queries)

    @property
    def bytes_scanned(self) -> int:
        """What all of them scanned."""
        return sum(status.bytes_scanned for status in self._statuses.values())

    def stage(self) -> Generator[tuple[str, ...], None, bool]:
        """Stage and audit; return whether there is something to publish.

        :raises QueryFailedError: when a query failed.
        :raises InvalidCallError: when the result's columns or partition values do not fit.
        :raises AuditFailedError: when a check does not pass.
        """
        yield from self._run(self._statements.reads())
        yield from self._describe()
        yield from self._write_rows()
        yield from self._count_rows()
        if not self._refuse_few_rows():
            return False
        yield from self._run_checks()
        if self._plan.selection.is_set:
            yield from self._write_slices()
        else:
            location = str(self._statements.rows_place)
            self.staged = {self._plan.selection.values: Staged(location, self.entry.rows or 0)}
        self.entry = replace(self.entry, bytes_scanned=self.bytes_scanned)
        return True

    # -------------------------------------------------------------------------------------------- phases

    def _describe(self) -> Steps:
        if not self._plan.describes:
            return
        queries = {DESCRIBE: self._statements.describe()}
        if self._plan.table is not None:
            # Where the columns are known, the description only makes sure of them, and need not come first.
            queries[STAGE] = self._statements.stage(self._columns)
        yield from self._run(queries)
        self.template = self._accept(self._observe(DESCRIBE))

    def _write_rows(self) -> Steps:
        yield from self._run({STAGE: self._statements.stage(self._columns)})
        if self._plan.unloads:
            self._point_at_rows(self._observe(DESCRIBE))
        else:
            staged = self._accept(self._observe(STAGE))
            self.template = self.template or staged

    def _accept(self, table: Table) -> Table:
        refuse_misfits(self._clients.athena, self._plan, self._statements, table)
        self._columns = table.columns
        return table

    def _point_at_rows(self, described: Table) -> None:
        """Make the table that an UNLOAD does not make, for counts and checks."""
        name = self._statements.table(STAGE)
        definition = {**table_input(described), "Name": name.table}
        place = str(self._statements.rows_place)
        definition["StorageDescriptor"] = {**definition["StorageDescriptor"], "Location": place}
        catalog.create_table(self._clients.glue, name, definition)

    def _count_rows(self) -> Steps:
        if self._plan.selection.is_set:
            yield from self._run({COUNT: self._statements.count()})
            if self.entry.found is None:
                found = parse_found(self._plan.selection.dynamic, self._answer(COUNT))
                rows = sum(partition.rows for partition in found)
                # Written down with the slices' queries; until then the answer can be read again.
                self.entry = replace(self.entry, state=State.STAGED, found=found, rows=rows)
            return
        written = None if self._plan.unloads else self._update_count(STAGE)
        if not written:  # nothing told, or nothing written: what rests on it is worth a look
            yield from self._run({ROWS: self._statements.rows()})
            written = int(self._answer(ROWS, max_rows=1)[0][0] or 0)
        self.entry = replace(self.entry, rows=written)

    def _refuse_few_rows(self) -> bool:
        request, rows = self._plan.request, self.entry.rows or 0
        what = f"{self._plan.selection.title} of table {request.table}"
        if rows == 0 and request.on_empty is OnEmpty.SKIP:
            log.info("The query gave no rows: %s stays as it was.", what)
            return False
        if rows == 0 and request.on_empty is OnEmpty.FAIL:
            raise AuditFailedError(f'The query gave no rows for {what}, and on_empty is "fail".')
        if request.min_rows is not None and rows < request.min_rows:
            raise AuditFailedError(
                f"The query gave {rows} rows for {what}; at least {request.min_rows} were wanted (min_rows)."
            )
        return True

    def _run_checks(self) -> Steps:
        names = self._plan.request.checks
        checks = {Role(RoleKind.CHECK, check=name): self._statements.check(name) for name in names}
        yield from self._run(checks)
        for role, sql in checks.items():
            rows = self._answer(role, max_rows=1)
            if not check_passes(rows):
                answer = rows[0] if rows else "no row"
                raise AuditFailedError(
                    f"Check {role.check!r} did not pass: it answered {answer}.\nThe check: {sql}"
                )
            log.info("Check %r passed.", role.check)

    def _write_slices(self) -> Steps:
        plan, statements = self._plan, self._statements
        definition = {DEFINE: statements.define(self._columns)} if plan.table is None else {}
        slices = cut_slices(plan.selection.dynamic, self.entry.found or (), plan.bucketing)
        yield from self._run(
            {
                **definition,
                **{
                    Role(RoleKind.SLICE, number): statements.slice(number, part, self._columns)
                    for number, part in enumerate(slices, start=1)
                },
            }
        )
        if definition:
            self.template = self._observe(DEFINE)
        keys = [listed.key for listed in list_objects(self._clients.s3, statements.folder)] if slices else []
        for number, part in enumerate(slices, start=1):
            self._accept_slice(number, part, keys)

    def _accept_slice(self, number: int, part: Sequence[Found], keys: Sequence[str]) -> None:
        """Take over a slice's partitions, after making sure that it holds what was counted."""
        root = self._statements.slice_place(number)
        written = None if self._plan.unloads else self._update_count(Role(RoleKind.SLICE, number))
        below = [key for key in keys if key.startswith(root.key)]
        places = find_places(root, self._plan.selection.dynamic, below)
        counted = sum(partition.rows for partition in part)
        if part and not below:
            raise StagedResultGone(
                f"Slice {root} was written, and is gone: a sweep, or somebody, took it. Nothing was "
                "published. Run the task again."
            )
        if {partition.values for partition in part} != places.keys() or written not in {None, counted}:
            raise ManualActionError(
                f"Slice {root} has {written} rows in the partitions {sorted(places)}; the staged rows have "
                f"{counted} in {[partition.values for partition in part]}. Nothing was published."
            )
        for partition in part:
            values = self._plan.selection.complete(partition.values)
            self.staged[values] = Staged(str(places[partition.values]), partition.rows)

    def _update_count(self, role: Role) -> int | None:
        """Return the rows that a CTAS says it wrote; Athena promises no such number for UNLOAD."""
        return read_update_count(self._clients.athena, self._statuses[role].query_execution_id)

    # ------------------------------------------------------------------------------------------- queries

    def _run(self, statements: Mapping[Role, str]) -> Steps:
        """Run statements side by side, as many at a time as the call allows."""
        for roles in in_batches(list(statements), self._plan.request.max_parallel_queries):
            if self._start({role: statements[role] for role in roles}):
                yield self._ids(roles)
            while self._look(roles):
                yield self._ids(roles)

    def _ids(self, roles: Sequence[Role]) -> tuple[str, ...]:
        return tuple(filter(None, map(self.entry.query_id, roles)))

    def _start(self, statements: Mapping[Role, str]) -> bool:
        """Start what has not been started; tell whether there was anything."""
        missing = [role for role in statements if self.entry.query_id(role) is None]
        started: list[Query] = []
        try:
            for role in missing:
                started.append(Query(role, self._start_one(statements[role])))
        finally:
            if started:  # also when one could not be started: the others are running
                state = State.SUBMITTED if self.entry.state is State.INTENDED else self.entry.state
                self._advance(state=state, queries=(*self.entry.queries, *started))
        return bool(missing)

    def _start_one(self, sql: str) -> str:
        request = self._plan.request
        return start_query(
            self._clients.athena,
            sql,
            database=request.database,
            workgroup=request.workgroup,
            token=self.entry.attempt.token(sql),
            kms_key_arn=request.kms_key_arn,
        )

    def _look(self, roles: Sequence[Role]) -> bool:
        """Tell whether any of the queries still runs. Raises QueryFailedError for those that failed."""
        waiting = [role for role in roles if role not in self._statuses]
        if not waiting:
            return False
        athena, ids = self._clients.athena, self._ids(waiting)
        statuses = ask(lambda: observe_queries(athena, ids), f"look at Athena query {', '.join(ids)}")
        failed = [status for status in statuses if status.state in UNSUCCESSFUL]
        if failed:
            raise build_failure(failed, region=athena.meta.region_name)
        done = {role: s for role, s in zip(waiting, statuses, strict=True) if s.state not in PENDING}
        self._statuses |= done
        return len(done) < len(waiting)

    def _answer(self, role: Role, max_rows: int = sys.maxsize) -> list[tuple[str | None, ...]]:
        query_execution_id = self._statuses[role].query_execution_id
        return read_rows(self._clients.athena, query_execution_id, max_rows=max_rows)[1]

    def _observe(self, role: Role) -> Table:
        name = self._statements.table(role)
        table = catalog.observe_table(self._clients.glue, name)
        if table is None:
            raise StagedResultGone(
                f"Query {self.entry.query_id(role)} succeeded, but its table {name} is gone: a sweep, or "
                "somebody, took it. Nothing was published. Run the task again."
            )
        return table

    def _advance(self, **changes: object) -> None:
        try:
            self.entry = self._journal.advance(self.entry, **changes)
        except JournalConflict as conflict:
            # A worker thought lost goes on with the same attempt: what it started is what we would start.
            found = conflict.found
            if found is None or found.attempt != self.entry.attempt or found.state not in UNFINISHED:
                raise
            self.entry = self._journal.advance(found, **changes)
