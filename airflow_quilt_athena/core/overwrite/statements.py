"""The statements of an attempt, and where they write. Text only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_quilt_athena.core.athena.sql import is_in_code, replace_in_code
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Bucketing, Columns, TableName
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.ctas import (
    DEFAULT_TEXT_DELIMITER,
    Encoding,
    build_coerced_query,
    build_ctas,
    build_description,
    build_description_query,
    build_guarded_query,
    build_text_guard,
    build_unload,
    render_check,
)
from airflow_quilt_athena.core.overwrite.journal_entry import Found
from airflow_quilt_athena.core.overwrite.partition_changes import plan_folder
from airflow_quilt_athena.core.overwrite.plan import SCRATCH, Plan, temporary_table
from airflow_quilt_athena.core.overwrite.query_role import DEFINE, DESCRIBE, STAGE, Role, RoleKind
from airflow_quilt_athena.core.overwrite.slices import build_count, build_slice
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import ENTRIES_TOKEN, REVISIONS_TOKEN, TOKENS, fill_tokens

_ROWS_ENCODING = Encoding(FileFormat.PARQUET)  # keeps every type, and is read by columns
_READERS = {REVISIONS_TOKEN: RoleKind.READ_REVISIONS, ENTRIES_TOKEN: RoleKind.READ_ENTRIES}


@dataclass(frozen=True, slots=True)
class Statements:
    """The text of an attempt's statements, and the places and tables that they make."""

    plan: Plan
    attempt: Attempt

    @property
    def folder(self) -> S3Uri:
        """The folder below which all is staged."""
        return plan_folder(
            self.plan.base, self.plan.selection, self.attempt, self.plan.request.generations_location
        )

    @property
    def rows_place(self) -> S3Uri:
        """Where the query's rows are written first."""
        if self.plan.selection.is_set:
            return self.folder / f"{SCRATCH}rows/"
        return self.folder / "data/" if self.plan.reads else self.folder

    @property
    def query(self) -> str:
        """The query with its tokens replaced."""
        plan, interval = self.plan, self.plan.request.quilt_revisions
        if interval is None:
            return plan.query
        if not plan.reads:
            return fill_tokens(plan.query, self._source, interval.bucket, plan.revisions)
        return replace_in_code(plan.query, {token: self._read_rows(token) for token in TOKENS})

    def _read_rows(self, token: str) -> str:
        tables = (
            self.table(Role(_READERS[token], number)) for number, _ in enumerate(self.plan.reads, start=1)
        )
        parts = "\nUNION ALL\n".join(f"SELECT * FROM {table.trino}" for table in tables)
        return f"(\n{parts}\n)"

    @property
    def _source(self) -> ManifestSource:
        request = self.plan.request
        bucket = request.quilt_revisions.bucket if request.quilt_revisions else ""
        return self.plan.source or ManifestSource.of_bucket(BucketNames.of(bucket), request.database)

    def reads(self) -> dict[Role, str]:
        """Return the statements that read the revisions into tables, by their roles."""
        interval = self.plan.request.quilt_revisions
        if interval is None:
            return {}
        statements: dict[Role, str] = {}
        for number, group in enumerate(self.plan.reads, start=1):
            for token in (token for token in TOKENS if is_in_code(self.plan.query, token)):
                role = Role(_READERS[token], number)
                query = fill_tokens(f"SELECT * FROM {token}", self._source, interval.bucket, group)
                # Where the workgroup enforces its location the rows lie, and expire, among its results.
                place = None if self.plan.unloads else self.folder / f"{SCRATCH}{role.text}/"
                statements[role] = build_ctas(self.table(role), query, _ROWS_ENCODING, location=place)
        return statements

    @property
    def database(self) -> str:
        """Where the temporary tables are: beside the table, or in the caller's own catalog."""
        request = self.plan.request
        return request.database if request.table.catalog_id else request.table.database

    def table(self, role: Role) -> TableName:
        """Return the temporary table that the statement of a role makes."""
        return temporary_table(self.attempt, self.database, role)

    def slice_place(self, number: int) -> S3Uri:
        """Return where a slice is written."""
        return self.folder / f"s{number}/"

    def describe(self) -> str:
        """Return the statement that makes a table of the result's columns, without rows."""
        return build_description(
            self.table(DESCRIBE), self._result(()), self._rows_encoding, self._rows_bucketing
        )

    def stage(self, columns: Columns) -> str:
        """Return the statement that writes the result. ``columns`` are the result's, where they are known."""
        query, encoding = self._result(columns), self._rows_encoding
        if self.plan.unloads:
            return build_unload(query, encoding, location=self.rows_place)
        return build_ctas(
            self.table(STAGE), query, encoding, location=self.rows_place, bucketing=self._rows_bucketing
        )

    def _result(self, columns: Columns) -> str:
        plan = self.plan
        expected = plan.expected_columns
        if expected is not None:
            query = build_coerced_query(self.query, expected)
        else:
            given = tuple((name, kind) for name, kind in plan.selection.keys if name in plan.selection.fixed)
            query = build_guarded_query(self.query, given)
        return query if plan.selection.is_set or not columns else self._guarded(query, columns, ())

    def _guarded(self, query: str, columns: Columns, keys: Columns) -> str:
        encoding = self.plan.encoding
        if encoding.file_format is not FileFormat.TEXTFILE:
            return query
        delimiter = encoding.field_delimiter or DEFAULT_TEXT_DELIMITER
        return build_text_guard(query, columns, keys, field_delimiter=delimiter)

    @property
    def _rows_encoding(self) -> Encoding:
        return _ROWS_ENCODING if self.plan.selection.is_set else self.plan.encoding

    @property
    def _rows_bucketing(self) -> Bucketing | None:
        return None if self.plan.selection.is_set else self.plan.bucketing

    def names(self) -> str:
        """Return a query of the result's column names alone, to say what does not fit."""
        return build_description_query(self.query)

    def rows(self) -> str:
        """Return a query that counts the staged rows."""
        return f"SELECT count(*) FROM {self.table(STAGE).trino}"

    def count(self) -> str:
        """Return the query that counts the rows of each partition."""
        return build_count(self.table(STAGE), self.plan.selection.dynamic)

    def check(self, name: str) -> str:
        """Return a check of the user's over the staged rows."""
        return render_check(self.plan.request.checks[name], self.table(STAGE))

    def define(self, columns: Columns) -> str:
        """Return the statement that makes a table such as a new one is to be, from the staged columns."""
        query = build_slice(self.table(STAGE), self._data_columns(columns), self.plan.selection.dynamic, ())
        return build_description(self.table(DEFINE), query, self.plan.encoding, self.plan.bucketing)

    def slice(self, number: int, part: Sequence[Found], columns: Columns) -> str:
        """Return the statement that writes some partitions of the staged rows."""
        plan, keys = self.plan, self.plan.selection.dynamic
        data = self._data_columns(columns)
        query = self._guarded(build_slice(self.table(STAGE), data, keys, part), data, keys)
        names, place = [name for name, _ in keys], self.slice_place(number)
        if plan.unloads:
            return build_unload(query, plan.encoding, location=place, partitioned_by=names)
        return build_ctas(
            self.table(Role(RoleKind.SLICE, number)),
            query,
            plan.encoding,
            location=place,
            partitioned_by=names,
            bucketing=plan.bucketing,
        )

    def _data_columns(self, columns: Columns) -> Columns:
        keys = dict(self.plan.selection.keys)
        return tuple((name, hive_type) for name, hive_type in columns if name not in keys)
