"""Run statements on Athena, or submit them for the sensor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, any_text, count, flag, optional, several, whole
from airflow_quilt_athena.core.athena.parameters import to_literal
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.links import AthenaQueryLink, push_query_link
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import task_key_of
from airflow_quilt_athena.operators.query_memory import QueryMemory
from airflow_quilt_athena.operators.waiting import WAITING_ARGUMENTS, QuiltAthenaWaitingOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.core.athena.query_status import QueryStatus
    from airflow_quilt_athena.core.glue.s3_uri import S3Uri

# An XCom lies in Airflow's database, and each of its readers loads the whole of it.
MAX_ROWS_CHARACTERS = 48_000

# What a statement with rows of its own begins with; Athena writes them as CSV.
_WORDS_OF_ROWS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "(", "EXECUTE"})
_WORDS_OF_HEADERS = _WORDS_OF_ROWS | {"EXPLAIN"}
# Athena API reference, "ResultReuseByAgeConfiguration", read 2026-11: up to seven days.
MOST_REUSE_MINUTES = 10_080


@dataclass(frozen=True, slots=True)
class _Work:
    """What is asked for, checked, and what earlier tries did of it."""

    statements: tuple[str, ...]
    parameters: tuple[str, ...]
    result_file: S3Uri | None
    reuse_results_minutes: int | None
    memory: QueryMemory


class QuiltAthenaQueryOperator(QuiltAthenaWaitingOperator):
    """Run one statement, or several in order, each when the one before has succeeded.

    :param query: the SQL, statements separated by semicolons; a list of statements; or the name of a
        ``.sql`` file. (templated)
    :param database: where names without a database are looked up. (templated)
    :param workgroup: the Athena workgroup. (templated)
    :param parameters: values for the question marks of the query (one statement only). Text is sent as it is
        and has to be an SQL literal, as Athena wants it: ``"'O''Brien'"``, ``"DATE '2026-01-31'"``.
        Numbers, booleans, dates, datetimes and None are written as literals. (templated)
    :param max_rows: put up to this many rows of the last statement into the XCom; None puts none. Rows of
        more than 48,000 characters stay out of it: ``rows`` is None then, and ``rows_at`` is their file.
    :param result_file: where the rows of the last statement are put as a file besides: an S3 URI, e.g.
        ``s3://reports/daily.csv``. It is CSV with a header, as Athena writes it. The file that was there is
        replaced, whole. (templated)
    :param wait_for_completion: False returns as soon as the last statement is submitted; hand the XCom
        ``query_execution_ids`` to AthenaCompletionSensor.
    :param reuse_results_minutes: take the answer of an equal query that is not older than this.

    A try that follows a lost worker goes on with the query that is running, or done (Airflow 3.3, by its task
    state store). A retry after a failed query, and a task that was cleared, send all statements again.

    Its XCom: ``query_execution_ids``, ``state``, ``bytes_scanned``, ``estimated_cost_usd``,
    ``output_location``; with ``max_rows`` also ``columns`` and ``rows``, with ``result_file`` its URI. The
    ids are an XCom of their own as well, ``query_execution_ids``, from the moment they are known.

    .. code-block:: python

        submit = QuiltAthenaQueryOperator(task_id="submit", query="SELECT 1", wait_for_completion=False)
        AthenaCompletionSensor(task_id="done", query_execution_ids=submit.output["query_execution_ids"])
    """

    template_fields: Sequence[str] = (
        "query",
        "database",
        "workgroup",
        "parameters",
        "result_file",
        *AWS_TEMPLATE_FIELDS,
    )
    template_ext: Sequence[str] = (".sql",)
    file_field: ClassVar[str | None] = "query"
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **WAITING_ARGUMENTS,
        "query": several(any_text),
        "database": names.database,
        "workgroup": names.workgroup,
        "parameters": several(lambda name, value: to_literal(value, name), lone=False),
        "max_rows": optional(count()),
        "result_file": optional(names.file),
        "wait_for_completion": flag,
        "reuse_results_minutes": optional(whole(timedelta(minutes=1), "minutes", 1, MOST_REUSE_MINUTES)),
    }
    template_fields_renderers: ClassVar[dict[str, str]] = {"query": "sql", "parameters": "json"}
    operator_extra_links = (AthenaQueryLink(),)
    ui_color = "#e8eef3"

    def __init__(
        self,
        *,
        query: str | Sequence[str],
        database: str = "quilt_query",
        workgroup: str = "quilt-query",
        parameters: Sequence[Any] = (),
        max_rows: int | None = None,
        result_file: str | None = None,
        wait_for_completion: bool = True,
        reuse_results_minutes: int | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.database = database
        self.workgroup = workgroup
        self.parameters = parameters
        self.max_rows = max_rows
        self.result_file = result_file
        self.wait_for_completion = wait_for_completion
        self.reuse_results_minutes = reuse_results_minutes
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the statements, or go on with those that an earlier try started."""
        from airflow_quilt_athena.flows.athena.workgroups import look_at_workgroup, refuse_managed_results

        with errors_as_airflow_sees_them():
            work = self._read(context)
            if work.result_file is not None:
                workgroup = look_at_workgroup(self.hook.client("athena"), self.workgroup)
                refuse_managed_results(workgroup, "result_file has no file to copy")
            work.memory.forget_failures(self.hook.client("athena"))
            return self._run(context, work, [], [], self.find_deadline(context))

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when the statement that was deferred for is done, with those that follow it."""
        with errors_as_airflow_sees_them():
            (status,) = self.resume_wait(event)
            done = [*event["carry"]["done"], status.query_execution_id]
            scanned = [*event["carry"]["scanned"], status.bytes_scanned]
            return self._run(context, self._read(context), done, scanned, event["deadline"], status)

    def _read(self, context: Any) -> _Work:
        """Read what was asked for. Raises InvalidCallError before anything is started."""
        from airflow_quilt_athena.core.athena.sql import split_statements

        asked = self.judge_arguments()
        statements = tuple(statement for sql in asked["query"] for statement in split_statements(sql))
        if not statements:
            raise InvalidCallError("The query is empty.")
        parameters, result_file = asked["parameters"], asked["result_file"]
        if parameters and len(statements) > 1:
            raise InvalidCallError("parameters go with one statement; the query holds several.")
        if result_file is not None:
            _refuse_result_file(statements[-1], waits=self.wait_for_completion)
        task = [statements, parameters, self.database, self.workgroup]
        memory = QueryMemory(context, task_key_of(context["ti"]), task)
        return _Work(statements, parameters, result_file, asked["reuse_results_minutes"], memory)

    def _run(
        self,
        context: Any,
        work: _Work,
        done: list[str],
        scanned: list[int],
        deadline: float,
        status: QueryStatus | None = None,
    ) -> dict[str, Any]:
        for statement in work.statements[len(done) :]:
            query_execution_id = self._start(context, statement, work, done)
            if not self.wait_for_completion and len(done) + 1 == len(work.statements):
                self._running = []  # whoever waits for it stops it
                return {"query_execution_ids": [*done, query_execution_id], "state": "SUBMITTED"}
            (status,) = self.wait(
                [query_execution_id],
                deadline=deadline,
                carry={"done": done, "scanned": scanned},
            )
            done = [*done, query_execution_id]
            scanned = [*scanned, status.bytes_scanned]
        assert status is not None  # there is one statement at least
        return self._report(status, work, done, scanned)

    def _start(self, context: Any, statement: str, work: _Work, done: list[str]) -> str:
        from airflow_quilt_athena.flows.athena.queries import start_query

        self.log.info("::group::SQL\n%s", statement)
        self.log.info("::endgroup::")
        number = len(done)
        found = work.memory.find(number)
        query_execution_id = found or start_query(
            self.hook.client("athena"),
            statement,
            database=self.database,
            workgroup=self.workgroup,
            token=work.memory.find_token(number),
            parameters=work.parameters,
            reuse_results_minutes=work.reuse_results_minutes,
        )
        self._running = [query_execution_id]  # from here on, being killed stops it
        if found:
            self.log.info("An earlier try has started this statement; going on with its query.")
        else:
            work.memory.keep(number, query_execution_id)
        self.log.info("Athena query %s in workgroup %s", query_execution_id, self.workgroup)
        push_query_link(context, self.hook.client("athena").meta.region_name, query_execution_id)
        context["ti"].xcom_push(key="query_execution_ids", value=[*done, query_execution_id])
        return query_execution_id

    def _report(
        self, status: QueryStatus, work: _Work, done: list[str], scanned: list[int]
    ) -> dict[str, Any]:
        from airflow_quilt_athena.core.athena.prices import estimate_dollars
        from airflow_quilt_athena.flows.athena.results import copy_result

        facts: dict[str, Any] = {
            "query_execution_ids": done,
            "state": status.state.value,
            "bytes_scanned": sum(scanned),
            "estimated_cost_usd": sum(estimate_dollars(size) for size in scanned),
            "output_location": status.output_location,
        }
        if self.max_rows is not None:
            facts |= self._rows(status, work, self.max_rows)
        if work.result_file is not None:
            copy_result(self.hook.client("s3"), status, work.result_file)
            facts["result_file"] = str(work.result_file)
        return facts

    def _rows(self, status: QueryStatus, work: _Work, max_rows: int) -> dict[str, Any]:
        """Return the rows for the XCom; where there are too many for one, where they lie instead."""
        from airflow_quilt_athena.flows.athena.results import read_rows

        columns, rows = read_rows(
            self.hook.client("athena"),
            status.query_execution_id,
            max_rows=max_rows,
            has_header=_first_word(work.statements[-1]) in _WORDS_OF_HEADERS,
            max_characters=MAX_ROWS_CHARACTERS,
        )
        listed = [list(row) for row in rows]
        if len(json.dumps(listed)) <= MAX_ROWS_CHARACTERS:
            return {"columns": list(columns), "rows": listed}
        self.log.warning(
            "The rows are more than an XCom should hold (%d characters): it tells where they lie instead, in "
            "rows_at. Ask for fewer with max_rows, or for a file with result_file.",
            MAX_ROWS_CHARACTERS,
        )
        return {"columns": list(columns), "rows": None, "rows_at": status.output_location}


def _refuse_result_file(statement: str, *, waits: bool) -> None:
    if not waits:
        raise InvalidCallError("result_file wants the rows: it does not go with wait_for_completion=False.")
    word = _first_word(statement)
    if word not in _WORDS_OF_ROWS:
        raise InvalidCallError(
            f"result_file wants rows, and the last statement, {word} …, has none. Let a SELECT be the last."
        )


def _first_word(statement: str) -> str:
    from airflow_quilt_athena.core.athena.sql import SILENT, language_at, tokenize

    tokens = tokenize(statement, language_at(statement))
    return next(token.text.upper() for token in tokens if token.kind not in SILENT)
