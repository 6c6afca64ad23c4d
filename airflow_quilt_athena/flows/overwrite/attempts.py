"""Which attempt a task is at: the newest is joined while it can still succeed, else a next one begins."""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow_quilt_athena.core.athena.query_status import PENDING, UNSUCCESSFUL
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt, digest_of
from airflow_quilt_athena.core.overwrite.history import was_published
from airflow_quilt_athena.core.overwrite.journal_entry import UNFINISHED, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.plan import Plan
from airflow_quilt_athena.core.overwrite.request import MIN_RETAIN
from airflow_quilt_athena.core.overwrite.statements import Statements
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.athena.looks import observe_queries
from airflow_quilt_athena.flows.athena.queries import stop_queries
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.overwrite.journal import Journal, new_nonce

log = logging.getLogger(__name__)


def begin_attempt(athena: AthenaClient, journal: Journal, plan: Plan, task_key: str) -> Entry:
    """Return the entry of the attempt to work on, which is in the journal before any query starts."""
    digest, number = digest_of(task_key), 1
    while True:
        entry = _new_entry(journal, plan, task_key, Attempt(digest, number, new_nonce()))
        if journal.create(entry):
            return entry
        newest, latest = journal.latest(digest)
        if latest is None:
            number = newest + 1  # a sweep was there between the two looks, or the entry cannot be read
        elif _can_be_joined(athena, latest, plan):
            log.info("Going on with attempt %s, which is %s.", latest.attempt.name, latest.state.value)
            return latest
        else:
            _settle(athena, journal, latest)
            number = latest.attempt.number + 1


def resume_attempt(athena: AthenaClient, journal: Journal, plan: Plan, task_key: str, name: str) -> Entry:
    """Return the entry of an attempt that this task has begun; of a new one, where that would send otherwise.

    A table that was altered meanwhile, or a revision that came into the interval, changes what is sent: part
    of it would be of before, and part of now.
    """
    entry = journal.read(name)
    if entry is None:
        raise RetryableError(f"Journal entry {journal.place(name)} is gone. Run the task again.")
    if entry.state in UNFINISHED and (entry.fingerprint, entry.basis) != _wanted(plan):
        return begin_attempt(athena, journal, plan, task_key)
    return entry


def _new_entry(journal: Journal, plan: Plan, task_key: str, attempt: Attempt) -> Entry:
    statements, now = Statements(plan, attempt), journal.now()
    return Entry(
        attempt=attempt,
        task_key=task_key,
        table=str(plan.request.table),
        database=statements.database,
        kind=Kind.OVERWRITE,
        state=State.INTENDED,
        fingerprint=plan.request.fingerprint,
        basis=plan.basis,
        retain_seconds=plan.request.retain.total_seconds(),
        created_at=now,
        updated_at=now,
        base=str(plan.base.folder),
        folder=str(statements.folder),
        notes=plan.notes,
        partition_notes=plan.request.partition_notes,
    )


def _can_be_joined(athena: AthenaClient, entry: Entry, plan: Plan) -> bool:
    if is_done(entry, plan):
        return True
    if entry.state is State.PUBLISHING:
        return entry.claimed_by is None
    if entry.state not in UNFINISHED or (entry.fingerprint, entry.basis) != _wanted(plan):
        return False
    ids = [query.query_execution_id for query in entry.queries]
    statuses = (
        ask(lambda: observe_queries(athena, ids), "look at the queries of the last attempt") if ids else ()
    )
    return not any(status.state in UNSUCCESSFUL for status in statuses)


def is_done(entry: Entry, plan: Plan) -> bool:
    """Whether the same was asked for and was published: the worker was lost before it could say so."""
    return was_published(entry) and entry.fingerprint == plan.request.fingerprint


def _wanted(plan: Plan) -> tuple[str, str]:
    return plan.request.fingerprint, plan.basis


def _settle(athena: AthenaClient, journal: Journal, entry: Entry) -> None:
    """End an attempt that the next one does not go on with."""
    if entry.state in UNFINISHED:
        abort_attempt(athena, journal, entry, "a later attempt began anew", keep=MIN_RETAIN)


def abort_attempt(
    athena: AthenaClient, journal: Journal, entry: Entry, reason: str, *, keep: timedelta
) -> Entry:
    """Stop the attempt's queries and mark it as never published.

    :param keep: how long its files stay: a query that was stopped may still be writing some.
    """
    ids = [query.query_execution_id for query in entry.queries]
    if ids:
        statuses = ask(lambda: observe_queries(athena, ids), f"look at the queries of {entry.attempt.name}")
        stop_queries(athena, [s.query_execution_id for s in statuses if s.state in PENDING])
    keep_until = journal.now() + keep
    return journal.advance(entry, state=State.ABORTED, reason=reason, keep_until=keep_until)
