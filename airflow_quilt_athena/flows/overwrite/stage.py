"""Stage a result and audit it: queries started, waited for and read, one phase after the other.

A phase is what it sends, and what it makes of the answers; each is safe to repeat. A step takes how far the
staging is, as a value, and returns how far it is then, and which queries have to be waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.glue.tables import Table, table_input
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.ctas import check_passes
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, Found, State
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
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.objects import list_objects
from airflow_quilt_athena.flows.overwrite.attempt_queries import AttemptQueries, Progress
from airflow_quilt_athena.flows.overwrite.column_mismatch import refuse_misfits
from airflow_quilt_athena.flows.overwrite.journal import Journal

log = logging.getLogger(__name__)


class StagedResultGone(ManualActionError):
    """The files or the table of a query that succeeded are not there."""


# What a phase sends, and what it makes of the answers once all have succeeded.
Phase = tuple[Callable[[Progress], Mapping[Role, str]], Callable[[Progress], Progress]]


class Stager:
    """Carries out the staging of one attempt, a phase after the other. Keeps nothing of how far it is.

    A step raises QueryFailedError when a query failed, InvalidCallError when the result's columns or
    partition values do not fit, and AuditFailedError when a check does not pass.
    """

    def __init__(self, clients: LakeClients, journal: Journal, plan: Plan, attempt: Attempt) -> None:
        self._clients = clients
        self._queries = AttemptQueries(clients.athena, journal, plan.request)
        self._plan = plan
        self._statements = Statements(plan, attempt)
        self._phases: tuple[Phase, ...] = (
            (lambda _: self._statements.reads(), lambda progress: progress),
            (self._description, self._accept_description),
            (self._rows, self._accept_rows),
            (self._counts, self._accept_counts),
            (self._recount, self._accept_recount),
            (lambda _: {}, self._judge_rows),
            (self._checks, self._accept_checks),
            (self._slices, self._accept_slices),
        )

    def begin(self, entry: Entry) -> Progress:
        """Return the progress of an attempt that this process has just begun or joined."""
        return Progress(entry, self._plan.expected_columns or ())

    def is_over(self, progress: Progress) -> bool:
        """Whether all is staged and audited, or there is nothing to publish."""
        return not progress.publishes or progress.phase == len(self._phases)

    def step(self, progress: Progress) -> tuple[Progress, tuple[str, ...]]:
        """Take one step; return the ids of queries that have to be done before the next, if there are any."""
        queries, accept = self._phases[progress.phase]
        progress, waiting = self._queries.run(progress, queries(progress))
        if waiting or progress.trouble is not None:
            return progress, waiting
        return replace(accept(progress), phase=progress.phase + 1), ()

    # -------------------------------------------------------------------------------------------- phases

    def _description(self, progress: Progress) -> dict[Role, str]:
        if not self._plan.describes:
            return {}
        if self._plan.table is None:
            return {DESCRIBE: self._statements.describe()}
        # Where the columns are known, the description only makes sure of them, and need not come first.
        return {DESCRIBE: self._statements.describe(), **self._rows(progress)}

    def _accept_description(self, progress: Progress) -> Progress:
        if not self._plan.describes:
            return progress
        return self._accept(progress, self._observe(progress, DESCRIBE))

    def _rows(self, progress: Progress) -> dict[Role, str]:
        return {STAGE: self._statements.stage(progress.columns)}

    def _accept_rows(self, progress: Progress) -> Progress:
        if self._plan.unloads:
            self._point_at_rows(self._observe(progress, DESCRIBE))
            return progress
        return self._accept(progress, self._observe(progress, STAGE))

    def _accept(self, progress: Progress, table: Table) -> Progress:
        refuse_misfits(self._clients.athena, self._plan, self._statements, table)
        return replace(progress, columns=table.columns, template=progress.template or table)

    def _point_at_rows(self, described: Table) -> None:
        """Make the table that an UNLOAD does not make, for counts and checks."""
        name = self._statements.table(STAGE)
        definition = {**table_input(described), "Name": name.table}
        place = str(self._statements.rows_place)
        definition["StorageDescriptor"] = {**definition["StorageDescriptor"], "Location": place}
        catalog.create_table(self._clients.glue, name, definition)

    def _counts(self, _: Progress) -> dict[Role, str]:
        return {COUNT: self._statements.count()} if self._plan.selection.is_set else {}

    def _accept_counts(self, progress: Progress) -> Progress:
        entry = progress.entry
        if not self._plan.selection.is_set:
            written = None if self._plan.unloads else self._queries.update_count(progress, STAGE)
            return replace(progress, entry=replace(entry, rows=written))
        if entry.found is not None:
            return progress
        found = parse_found(self._plan.selection.dynamic, self._queries.answer(progress, COUNT))
        rows = sum(partition.rows for partition in found)
        # Written down with the slices' queries; until then the answer can be read again.
        return replace(progress, entry=replace(entry, state=State.STAGED, found=found, rows=rows))

    def _recount(self, progress: Progress) -> dict[Role, str]:
        if self._plan.selection.is_set or progress.entry.rows:
            return {}
        # Nothing told, or nothing written: what rests on it is worth a look.
        return {ROWS: self._statements.rows()}

    def _accept_recount(self, progress: Progress) -> Progress:
        if not self._recount(progress):
            return progress
        rows = int(self._queries.answer(progress, ROWS, max_rows=1)[0][0] or 0)
        return replace(progress, entry=replace(progress.entry, rows=rows))

    def _judge_rows(self, progress: Progress) -> Progress:
        request, rows = self._plan.request, progress.entry.rows or 0
        what = f"{self._plan.selection.title} of table {request.table}"
        if rows == 0 and request.on_empty is OnEmpty.SKIP:
            log.info("The query gave no rows: %s stays as it was.", what)
            return replace(progress, publishes=False)
        if rows == 0 and request.on_empty is OnEmpty.FAIL:
            raise AuditFailedError(f'The query gave no rows for {what}, and on_empty is "fail".')
        if request.min_rows is not None and rows < request.min_rows:
            raise AuditFailedError(
                f"The query gave {rows} rows for {what}; at least {request.min_rows} were wanted (min_rows)."
            )
        return progress

    def _checks(self, _: Progress) -> dict[Role, str]:
        names = self._plan.request.checks
        return {Role(RoleKind.CHECK, check=name): self._statements.check(name) for name in names}

    def _accept_checks(self, progress: Progress) -> Progress:
        for role, sql in self._checks(progress).items():
            rows = self._queries.answer(progress, role, max_rows=1)
            if not check_passes(rows):
                answer = rows[0] if rows else "no row"
                raise AuditFailedError(
                    f"Check {role.check!r} did not pass: it answered {answer}.\nThe check: {sql}"
                )
            log.info("Check %r passed.", role.check)
        return progress

    def _parts(self, progress: Progress) -> list[tuple[int, tuple[Found, ...]]]:
        """Return the slices of a set, by their numbers."""
        if not self._plan.selection.is_set:
            return []
        found = progress.entry.found or ()
        slices = cut_slices(self._plan.selection.dynamic, found, self._plan.bucketing)
        return list(enumerate(slices, start=1))

    @property
    def _defines(self) -> bool:
        """Whether a table is made with the columns that a new one is to have."""
        return self._plan.selection.is_set and self._plan.table is None

    def _slices(self, progress: Progress) -> dict[Role, str]:
        definition = {DEFINE: self._statements.define(progress.columns)} if self._defines else {}
        slices = {
            Role(RoleKind.SLICE, number): self._statements.slice(number, part, progress.columns)
            for number, part in self._parts(progress)
        }
        return {**definition, **slices}

    def _accept_slices(self, progress: Progress) -> Progress:
        if not self._plan.selection.is_set:
            whole = Staged(str(self._statements.rows_place), progress.entry.rows or 0)
            return replace(progress, staged={self._plan.selection.values: whole})
        template = self._observe(progress, DEFINE) if self._defines else progress.template
        parts = self._parts(progress)
        below = list_objects(self._clients.s3, self._statements.folder) if parts else ()
        keys = [listed.key for listed in below]
        staged: dict[Values, Staged] = {}
        for number, part in parts:
            staged |= self._accept_slice(progress, number, part, keys)
        return replace(progress, template=template, staged=staged)

    def _accept_slice(
        self, progress: Progress, number: int, part: Sequence[Found], keys: Sequence[str]
    ) -> dict[Values, Staged]:
        """Take over a slice's partitions, after making sure that it holds what was counted."""
        root = self._statements.slice_place(number)
        role = Role(RoleKind.SLICE, number)
        written = None if self._plan.unloads else self._queries.update_count(progress, role)
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
        return {
            self._plan.selection.complete(partition.values): Staged(
                str(places[partition.values]), partition.rows
            )
            for partition in part
        }

    def _observe(self, progress: Progress, role: Role) -> Table:
        name = self._statements.table(role)
        table = catalog.observe_table(self._clients.glue, name)
        if table is None:
            raise StagedResultGone(
                f"Query {progress.entry.query_id(role)} succeeded, but its table {name} is gone: a sweep, or "
                "somebody, took it. Nothing was published. Run the task again."
            )
        return table
