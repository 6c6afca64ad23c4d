"""Run statements on Athena, or submit them for the sensor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from airflow_quilt_athena.core.overwrite import estimate_dollars
from airflow_quilt_athena.core.query_states import QueryStatus
from airflow_quilt_athena.core.sql import Dialect, SqlTextError, split_statements
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.completion import start_query
from airflow_quilt_athena.flows.query_results import read_rows
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.links import AthenaQueryLink, push_query_link
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.waiting import QuiltAthenaWaitingOperator


class QuiltAthenaQueryOperator(QuiltAthenaWaitingOperator):
    """Run one statement, or several in order, each when the one before has succeeded.

    :param query: the SQL, statements separated by semicolons; a list of statements; or the name of a
        ``.sql`` file. (templated)
    :param database: where names without a database are looked up. (templated)
    :param workgroup: the Athena workgroup. (templated)
    :param parameters: values for the question marks of the query (one statement only). Text is sent as it is
        and has to be an SQL literal, as Athena wants it: ``"'O''Brien'"``, ``"DATE '2026-01-31'"``.
        Numbers, booleans, dates, datetimes and None are written as literals. (templated)
    :param max_rows: put up to this many rows of the last statement into the XCom; None puts none.
    :param wait_for_completion: False returns as soon as the last statement is submitted; hand the XCom
        ``query_execution_ids`` to AthenaCompletionSensor.
    :param reuse_results_minutes: take the answer of an equal query that is not older than this.

    Its XCom: ``query_execution_ids``, ``state``, ``bytes_scanned``, ``estimated_cost_usd``,
    ``output_location`` and, with ``max_rows``, ``columns`` and ``rows``. The ids are an XCom of their own as
    well, ``query_execution_ids``, from the moment they are known.

    .. code-block:: python

        submit = QuiltAthenaQueryOperator(task_id="submit", query="SELECT 1", wait_for_completion=False)
        AthenaCompletionSensor(task_id="done", query_execution_ids=submit.output["query_execution_ids"])
    """

    template_fields: Sequence[str] = ("query", "database", "workgroup", "parameters", *AWS_TEMPLATE_FIELDS)
    template_ext: Sequence[str] = (".sql",)
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
        wait_for_completion: bool = True,
        reuse_results_minutes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.database = database
        self.workgroup = workgroup
        self.parameters = parameters
        self.max_rows = max_rows
        self.wait_for_completion = wait_for_completion
        self.reuse_results_minutes = reuse_results_minutes

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the statements."""
        with errors_as_airflow_sees_them():
            return self._run(context, [], [], self.find_deadline(context))

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when the statement that was deferred for is done, with those that follow it."""
        with errors_as_airflow_sees_them():
            (status,) = self.resume_wait(event)
            done = [*event["carry"]["done"], status.query_execution_id]
            scanned = [*event["carry"]["scanned"], status.bytes_scanned]
            return self._run(context, done, scanned, event["deadline"], status)

    def _run(
        self,
        context: Any,
        done: list[str],
        scanned: list[int],
        deadline: float,
        status: QueryStatus | None = None,
    ) -> dict[str, Any]:
        statements = self._statements()
        parameters = tuple(to_literal(value) for value in self.parameters)
        if parameters and len(statements) > 1:
            raise InvalidCallError("parameters go with one statement; the query holds several.")
        for statement in statements[len(done) :]:
            query_execution_id = self._start(context, statement, parameters, done)
            if not self.wait_for_completion and len(done) + 1 == len(statements):
                self._running = []  # whoever waits for it stops it
                return {"query_execution_ids": [*done, query_execution_id], "state": "SUBMITTED"}
            (status,) = self.wait(
                [query_execution_id],
                deadline=deadline,
                carry={"done": done, "scanned": scanned},
            )
            done = [*done, query_execution_id]
            scanned = [*scanned, status.bytes_scanned]
        assert status is not None  # _statements returns one at least
        return self._report(status, done, scanned)

    def _statements(self) -> tuple[str, ...]:
        texts = (self.query,) if isinstance(self.query, str) else tuple(self.query)
        statements = tuple(statement for text in texts for statement in _split(text))
        if not statements:
            raise InvalidCallError("The query is empty.")
        return statements

    def _start(self, context: Any, statement: str, parameters: tuple[str, ...], done: list[str]) -> str:
        self.log.info("::group::SQL\n%s", statement)
        self.log.info("::endgroup::")
        query_execution_id = start_query(
            self.hook.client("athena"),
            statement,
            database=self.database,
            workgroup=self.workgroup,
            parameters=parameters,
            reuse_results_minutes=self.reuse_results_minutes,
        )
        self._running = [query_execution_id]
        self.log.info("Athena query %s in workgroup %s", query_execution_id, self.workgroup)
        push_query_link(context, self.hook.client("athena").meta.region_name, query_execution_id)
        context["ti"].xcom_push(key="query_execution_ids", value=[*done, query_execution_id])
        return query_execution_id

    def _report(self, status: QueryStatus, done: list[str], scanned: list[int]) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "query_execution_ids": done,
            "state": status.state.value,
            "bytes_scanned": sum(scanned),
            "estimated_cost_usd": sum(estimate_dollars(size) for size in scanned),
            "output_location": status.output_location,
        }
        if self.max_rows is not None:
            columns, rows = read_rows(
                self.hook.client("athena"), status.query_execution_id, max_rows=self.max_rows
            )
            facts |= {"columns": list(columns), "rows": [list(row) for row in rows]}
        return facts


def _split(text: str) -> tuple[str, ...]:
    try:
        return split_statements(text)
    except SqlTextError:
        return split_statements(text, Dialect.HIVE)  # DDL, where a backslash escapes a quote


def to_literal(value: object) -> str:
    """Return an execution parameter; text is taken to be a literal already.

    >>> from datetime import date
    >>> [to_literal(value) for value in ("'x'", 3, True, None, date(2026, 1, 31))]
    ["'x'", '3', 'true', 'NULL', "DATE '2026-01-31'"]
    """
    match value:
        case str():
            return value
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case int() | float() | Decimal():
            return repr(value) if isinstance(value, float) else str(value)
        case datetime():
            return f"TIMESTAMP '{value.isoformat(' ')}'"
        case date():
            return f"DATE '{value.isoformat()}'"
    raise InvalidCallError(
        f"No execution parameter can be made of {value!r}. Expected an SQL literal as text."
    )
