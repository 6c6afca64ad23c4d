"""Runs queries in a bounded pool of threads, each as its caller, and writes their result files."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from local_athena.athena.execution_store import Executions
from local_athena.athena.executions import CANCELLED_BY_USER, Execution, Outputs, Submission
from local_athena.athena.prepared import Deallocate, Prepare, PreparedStatements, parse_command
from local_athena.athena.query_faults import QueryKnobs, failure_of
from local_athena.athena.query_states import QueryState
from local_athena.athena.result_files import (
    announce_columns,
    encode_csv,
    encode_manifest,
    encode_metadata,
    encode_text,
    has_header,
)
from local_athena.athena.submissions import StatementRunner
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Clients, Encryption, Outcome, ScanCutoff, Session
from local_athena.errors import ApiError, QueryCancelled, QueryFailed

DEFAULT_REUSE_MINUTES = 60
SYSTEM_CATEGORY, ENGINE_ERROR = 1, 200
_ALGORITHMS = {"SSE_S3": "AES256", "SSE_KMS": "aws:kms"}


# Why the caller may not write an object when Athena does it for them: (caller, bucket, key) -> reason.
WriteRefusal = Callable[[Any, str, str], str | None]


class QueryRuns:
    """The pool. Queries beyond its size wait QUEUED."""

    def __init__(
        self,
        statements: StatementRunner,
        clients_for: Callable[[Any], Clients],
        executions: Executions,
        prepared: PreparedStatements,
        *,
        knobs: QueryKnobs | None,
        write_refusal: WriteRefusal | None,
        max_running: int,
    ) -> None:
        self._statements = statements
        self._clients_for = clients_for
        self._executions = executions
        self._prepared = prepared
        self._knobs = knobs
        self._write_refusal = write_refusal
        self._pool = ThreadPoolExecutor(max_running, thread_name_prefix="athena-query")

    def submit(self, execution: Execution) -> None:
        """Have the query run as soon as there is room."""
        self._pool.submit(self._run, execution)

    def close(self) -> None:
        """Stop what runs and take no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for execution in self._executions.unfinished():
            execution.stop(grace_seconds=0)

    def _run(self, execution: Execution) -> None:
        if not execution.begin():
            return
        session: Session | None = None
        try:
            session = self._open_session(execution)
            execution.succeed(self._work(execution, session))
        except QueryCancelled:
            execution.cancel(CANCELLED_BY_USER)
        except ScanCutoff as cutoff:
            execution.cancel(cutoff.reason)
        except Exception as error:  # a thread of a pool has nobody above it: the query must end all the same
            if session is not None and session.cancelled.is_set():
                execution.cancel(CANCELLED_BY_USER)  # engines have many words for being interrupted
            else:
                self._fail(execution, error, session)

    def _open_session(self, execution: Execution) -> Session:
        submission = execution.submission
        session = Session(
            query_execution_id=execution.id,
            database=submission.database,
            clients=self._clients_for(submission.caller),
            output_prefix=str(submission.place.folder),
            parameters=submission.parameters,
            enforced=submission.enforced,
            scan_cutoff_bytes=submission.scan_cutoff_bytes,
            encryption=_encryption(submission),
        )
        execution.attach(session)
        return session

    def _work(self, execution: Execution, session: Session) -> Outputs:
        submission = execution.submission
        self._check_output(submission, session)
        self._turn_knobs(submission, session)
        session.check()
        if submission.refusal is not None:
            raise submission.refusal
        reused = self._reuse(submission, session)
        if reused is not None:
            return reused
        outcome = self._execute(submission, session)
        session.check_late()
        execution.engine_done()
        return self._write(submission, session, outcome)

    def _turn_knobs(self, submission: Submission, session: Session) -> None:
        """Wait and fail as tests ask; a failure that is due once files are written is left to the session."""
        if self._knobs is None:
            return
        session.cancelled.wait(self._knobs.query_latency())
        fault = self._knobs.query_fault(submission.query)
        if fault is None:
            return
        if fault.when == "before":
            raise failure_of(fault)
        session.late_failure = failure_of(fault)

    def _execute(self, submission: Submission, session: Session) -> Outcome:
        command = parse_command(submission.query)
        if isinstance(command, Prepare):
            self._prepared.create(submission.workgroup, command.name, command.statement)
        elif isinstance(command, Deallocate):
            self._prepared.delete(submission.workgroup, command.name)
        else:
            return self._statements.execute(submission.statement, session)
        return Outcome(submission.statement_type, submission.substatement_type)

    def _check_output(self, submission: Submission, session: Session) -> None:
        """Ask whether the results may be written before anything else is, as nothing can be undone later."""
        place = submission.place
        target = place.output if place.is_csv or place.is_text else place.manifest
        owner = submission.result_configuration.get("ExpectedBucketOwner")
        if owner is not None and owner != session.clients.account_id:
            raise _no_access(target, f"the bucket is expected to be owned by {owner}")
        if self._write_refusal is not None:
            reason = self._write_refusal(submission.caller, target.bucket, target.key)
            if reason is not None:
                raise _no_access(target, reason)

    def _write(self, submission: Submission, session: Session, outcome: Outcome) -> Outputs:
        kind, place = submission.substatement_type, submission.place
        columns = announce_columns(kind, outcome.columns)
        told = outcome.update_count
        if self._knobs is not None:
            told = self._knobs.update_count(kind, told)
        outputs = Outputs(columns, told)
        if place.is_csv:
            body, outputs.rows = encode_csv(columns, outcome.rows, session.check)
            outputs.size_bytes = len(body)
            _put(session, place.output, body)
        elif place.is_text:
            body, outputs.rows = encode_text(columns if has_header(kind) else (), outcome.rows)
            outputs.size_bytes = len(body)
            _put(session, place.output, body)
        else:
            outputs.rows = outcome.update_count or 0
            outputs.manifest = place.manifest
            _put(session, place.manifest, encode_manifest(outcome.manifest))
        if columns:
            metadata = encode_metadata(submission.query_execution_id, kind, columns, told)
            _put(session, place.metadata, metadata)
        return outputs

    def _reuse(self, submission: Submission, session: Session) -> Outputs | None:
        """Copy the result of an equal SELECT that is young enough, when the call allows it."""
        wish = submission.reuse.get("ResultReuseByAgeConfiguration") or {}
        if not wish.get("Enabled") or submission.substatement_type != "SELECT":
            return None
        minutes = wish.get("MaxAgeInMinutes", DEFAULT_REUSE_MINUTES)
        source = self._executions.newest(
            lambda found: _answers(found, submission) and _age_seconds(found) <= minutes * 60
        )
        if source is None:
            return None
        output = source.submission.place.output
        try:
            body = session.clients.objects.read(output.bucket, output.key)
        except QueryFailed:
            return None  # the file is gone, or is not this caller's to read: the query runs
        _put(session, submission.place.output, body)
        columns = source.outputs.columns
        metadata = encode_metadata(submission.query_execution_id, "SELECT", columns, None)
        _put(session, submission.place.metadata, metadata)
        return Outputs(columns, rows=source.outputs.rows, size_bytes=len(body), reused=True)

    def _fail(self, execution: Execution, error: Exception, session: Session | None) -> None:
        failure = _as_failure(error)
        outputs = Outputs()
        try:
            if session is not None:
                outputs.manifest = _leave_behind(execution.submission, session, failure)
        except QueryFailed as unwritten:
            print(f"{execution.id}: {unwritten.reason}", file=sys.stderr)  # the first reason counts
        execution.fail(failure, outputs)


def _leave_behind(submission: Submission, session: Session, failure: QueryFailed) -> S3Uri | None:
    """Write what Athena leaves of a failed query; return the manifest, if there is one.

    The reason of a DDL statement stands where its result would be. The data files that a query wrote, or
    was about to, are in its manifest, so that they can be found and deleted.
    """
    place = submission.place
    if place.is_text and submission.substatement_type != "EXPLAIN":
        _put(session, place.output, failure.reason.encode())
    if not session.files:
        return None
    _put(session, place.manifest, encode_manifest(session.files))
    return place.manifest


def _encryption(submission: Submission) -> Encryption | None:
    """Tell how S3 is to encrypt the query's files. CSE_KMS, Athena's own encryption, is not acted out."""
    wish = submission.result_configuration.get("EncryptionConfiguration") or {}
    algorithm = _ALGORITHMS.get(wish.get("EncryptionOption", ""))
    return None if algorithm is None else Encryption(algorithm, wish.get("KmsKey"))


def _as_failure(error: Exception) -> QueryFailed:
    if isinstance(error, QueryFailed):
        return error
    if isinstance(error, ApiError):  # a prepared statement that is there already, or is not
        return QueryFailed(error.message)
    traceback.print_exception(error, file=sys.stderr)
    return QueryFailed(
        f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}",
        category=SYSTEM_CATEGORY,
        error_type=ENGINE_ERROR,
    )


def _put(session: Session, target: S3Uri, body: bytes) -> None:
    try:
        session.clients.objects.write(target.bucket, target.key, body, session.encryption)
    except QueryFailed as error:
        raise _no_access(target, error.reason) from error


def _no_access(target: S3Uri, cause: str) -> QueryFailed:
    return QueryFailed(
        f"Access denied when writing output to url: {target} . Please ensure you are allowed to access "
        "the S3 bucket. If you are encrypting query results with KMS key, please ensure you are allowed to "
        f"access your KMS key ({cause})",
        error_type=401,
    )


def _answers(found: Execution, wanted: Submission) -> bool:
    had = found.submission
    return (
        found.state is QueryState.SUCCEEDED
        and not found.outputs.reused
        and had.substatement_type == "SELECT"
        and (had.statement, had.parameters, had.workgroup, had.database)
        == (wanted.statement, wanted.parameters, wanted.workgroup, wanted.database)
    )


def _age_seconds(found: Execution) -> float:
    return time.time() - (found.completed_at or 0.0)
