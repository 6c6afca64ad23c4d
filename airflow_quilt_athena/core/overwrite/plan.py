"""What an overwrite stages and by which statements: refused or decided from what was seen. Runs nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_quilt_athena.core.athena.sql import MAX_QUERY_BYTES, is_in_code, replace_in_code
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Selection
from airflow_quilt_athena.core.glue.tables import (
    Bucketing,
    Columns,
    Table,
    TableName,
    refuse_unwritable,
)
from airflow_quilt_athena.core.overwrite.asked_partitions import plan_keys, plan_selection
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
    parse_query,
    render_check,
)
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, Found
from airflow_quilt_athena.core.overwrite.partition_changes import plan_folder
from airflow_quilt_athena.core.overwrite.request import (
    MAX_OPEN_WRITERS,
    OverwriteRequest,
    Writer,
    plan_format,
    refuse_other_location,
    refuse_unknown_columns,
)
from airflow_quilt_athena.core.overwrite.slices import build_count, build_slice
from airflow_quilt_athena.core.overwrite.table_input import refuse_unwritable_new
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.late import LateRevisions
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import (
    ENTRIES_TOKEN,
    REVISIONS_TOKEN,
    TOKENS,
    Revision,
    cut_revisions,
    fill_tokens,
)
from airflow_quilt_athena.exceptions import InvalidCallError

_SLICE = "slice-"
_READ = "read-"
_MAX_READ_BYTES = 200_000  # leaves room in the 262,144 bytes of a statement
_SCRATCH = "scratch/"  # below an attempt's folder: what only serves staging
_ROWS_ENCODING = Encoding(FileFormat.PARQUET)  # keeps every type, and is read by columns


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was to see before anything was decided."""

    table: Table | None  # None: to be created from the result
    default_location: S3Uri | None  # where its database puts a table that names no place
    enforced: bool  # the workgroup decides where results go
    revisions: tuple[Revision, ...] = ()  # those of the interval that the query asks for
    late: tuple[LateRevisions, ...] = ()  # of other intervals, since the table was written from them
    notes: Mapping[str, str] = field(default_factory=dict)  # parameters of what is published
    source: ManifestSource | None = None  # what the revisions' manifests are read by


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be overwritten, and how its rows are written."""

    request: OverwriteRequest
    table: Table | None
    selection: Selection
    base: S3Uri
    encoding: Encoding
    bucketing: Bucketing | None
    unloads: bool
    query: str = field(repr=False)  # as it was given, with its tokens
    revisions: tuple[Revision, ...] = ()
    late: tuple[LateRevisions, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    source: ManifestSource | None = None
    # The revisions in groups, where one statement cannot hold them all: each is read into a table first.
    reads: tuple[tuple[Revision, ...], ...] = ()

    @property
    def describes(self) -> bool:
        """Whether the result's columns must be known before it is written.

        Where the call names columns of a table that is not there yet, a wrong name is to cost nothing. Of
        one partition's buckets the engine says so itself before it reads; those of a set it meets with the
        slices only, when the rows have been read.
        """
        if self.table is not None:
            return self.unloads
        names_columns = bool(self.request.column_comments or (self.bucketing and self.selection.is_set))
        return self.unloads or names_columns or self.encoding.file_format is FileFormat.TEXTFILE

    @property
    def basis(self) -> str:
        """Equal where the same request would be carried out by the same statements."""
        world = (self.expected_columns, self.selection.keys, self.base, self.encoding, self.bucketing)
        return hashlib.sha256(repr((*world, self.unloads, self.revisions, self.source)).encode()).hexdigest()

    @property
    def expected_columns(self) -> Columns | None:
        """The columns that the staged result must have; None when the first result decides."""
        return None if self.table is None else (*self.table.columns, *self.selection.dynamic)


def plan_overwrite(seen: Seen, request: OverwriteRequest) -> Plan:
    """Return what to do.

    :raises InvalidCallError: for everything that can be known to fail, before anything is written.
    """
    query = parse_query(request.query)
    table = seen.table
    if table is not None:
        refuse_unwritable(table)
        refuse_other_location(table, request.location)
        refuse_unknown_columns(table, request)
    else:
        refuse_unwritable_new(request)
    selection = plan_selection(plan_keys(table, request), request)
    file_format = plan_format(table, request)
    unloads = seen.enforced if request.writer is Writer.AUTO else request.writer is Writer.UNLOAD
    plan = Plan(
        request,
        table,
        selection,
        base=table.base if table is not None else _new_base(seen, request),
        encoding=_plan_encoding(table, request, file_format),
        bucketing=_plan_bucketing(table, request),
        unloads=unloads,
        query=query,
        revisions=seen.revisions,
        late=seen.late,
        notes=seen.notes,
        source=seen.source,
    )
    _refuse_writer(plan, seen)
    _refuse_tokens(plan)
    return _plan_reads(plan)


def _new_base(seen: Seen, request: OverwriteRequest) -> S3Uri:
    base = request.location or seen.default_location
    if base is None:
        raise InvalidCallError(
            f"Table {request.table} does not exist, and database {request.table.database} has no location to "
            "put it in. Expected location, such as s3://bucket/warehouse/table/."
        )
    if not base.key.strip("/"):
        raise InvalidCallError(
            f"Table {request.table} would lie at the root of a bucket ({base}). Expected a folder of its own."
        )
    return base.folder


def _plan_encoding(table: Table | None, request: OverwriteRequest, file_format: FileFormat) -> Encoding:
    level, delimiter = request.compression_level, None
    compression = request.compression or (table.compression if table else None)
    if table is not None:
        if file_format is FileFormat.TEXTFILE:
            delimiter = table.serde_parameters.get("field.delim")
        if not request.compression and table.parameters.get("compression_level", "").isdigit():
            level = int(table.parameters["compression_level"])
    return Encoding(file_format, compression, level, delimiter)


def _plan_bucketing(table: Table | None, request: OverwriteRequest) -> Bucketing | None:
    asked = None
    if request.bucket_count is not None:
        asked = Bucketing(tuple(name.lower() for name in request.bucketed_by), request.bucket_count)
    if table is None:
        return asked
    if asked not in {None, table.bucketing}:
        raise InvalidCallError(
            f"The call asks for {asked}, but table {table.name} has {table.bucketing or 'no buckets'}. Leave "
            "bucketed_by and bucket_count out; the table's are taken."
        )
    return table.bucketing


def _refuse_writer(plan: Plan, seen: Seen) -> None:
    workgroup = plan.request.workgroup
    if seen.enforced and not plan.unloads:
        raise InvalidCallError(
            f'writer is "ctas", but Athena workgroup {workgroup} enforces its result location, so that a '
            'CTAS may not choose its own. Expected writer="unload" or "auto", or a workgroup that does not.'
        )
    if plan.unloads and plan.bucketing:
        why = f"workgroup {workgroup} enforces its location" if seen.enforced else 'writer is "unload"'
        raise InvalidCallError(
            f"Table {plan.request.table} is bucketed, and {why}: UNLOAD writes no buckets. Use a workgroup "
            'that does not enforce its result location, with writer="auto".'
        )
    if plan.bucketing and plan.bucketing.count > MAX_OPEN_WRITERS:
        raise InvalidCallError(
            f"Table {plan.request.table} has {plan.bucketing.count} buckets; a query of Athena writes at "
            f"most {MAX_OPEN_WRITERS}."
        )


def _refuse_tokens(plan: Plan) -> None:
    used = [token for token in TOKENS if is_in_code(plan.query, token)]
    if used and plan.request.quilt_revisions is None:
        raise InvalidCallError(
            f"The query uses {' and '.join(used)}, which quilt_revisions makes available. Expected "
            'quilt_revisions={"bucket": …, "start": …, "end": …}.'
        )
    if plan.request.quilt_revisions is not None and not used:
        raise InvalidCallError(
            f"quilt_revisions is given, but the query uses neither {REVISIONS_TOKEN} nor {ENTRIES_TOKEN}."
        )


def _plan_reads(plan: Plan) -> Plan:
    """Refuse a statement that is too long, and a check that is none, before there is anything to clean.

    A query that is too long for the revisions it names has them read into tables first.
    """
    size_bytes = _size_as_sent(plan)
    if size_bytes > MAX_QUERY_BYTES and plan.revisions:
        plan = replace(plan, reads=cut_revisions(plan.revisions, _MAX_READ_BYTES))
        size_bytes = _size_as_sent(plan)
    if size_bytes > MAX_QUERY_BYTES:
        raise InvalidCallError(
            f"The query is {size_bytes:,} bytes long as it would be sent; Athena takes {MAX_QUERY_BYTES:,}."
        )
    return plan


def _size_as_sent(plan: Plan) -> int:
    statements = Statements(plan, Attempt("0" * 12, 1, "0" * 8))
    for name in plan.request.checks:
        statements.check(name)
    return len(statements.stage(plan.expected_columns or ()).encode())


_SUFFIXES = {"stage": "", "describe": "_described", "define": "_defined"}


def temporary_table(attempt: Attempt, database: str, role: str) -> TableName:
    """Return the table that the statement of a role makes, such as ``stage`` or ``slice-1``."""
    return attempt.temporary_table(database, _SUFFIXES.get(role, "_" + role.replace("-", "_")))


def slice_role(number: int) -> str:
    """Return what the query that writes a slice is for."""
    return f"{_SLICE}{number}"


def _read_role(token: str, number: int) -> str:
    return f"{_READ}{token.strip('{}')}-{number}"


def temporary_tables(entry: Entry) -> tuple[TableName, ...]:
    """Return the tables that the statements known to the journal make."""
    roles = (query.role for query in entry.queries)
    makers = (role for role in roles if role in _SUFFIXES or role.startswith((_SLICE, _READ)))
    return tuple(temporary_table(entry.attempt, entry.database, role) for role in makers)


def scratch_folder(entry: Entry) -> S3Uri | None:
    """Return the folder of what only served staging, if the attempt made one."""
    reads = any(query.role.startswith(_READ) for query in entry.queries)
    if entry.folder is None or not (reads or entry.found is not None):
        return None
    return S3Uri.parse(entry.folder) / _SCRATCH


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
            return self.folder / f"{_SCRATCH}rows/"
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
        tables = (self.table(_read_role(token, number)) for number, _ in enumerate(self.plan.reads, start=1))
        parts = "\nUNION ALL\n".join(f"SELECT * FROM {table.trino}" for table in tables)
        return f"(\n{parts}\n)"

    @property
    def _source(self) -> ManifestSource:
        request = self.plan.request
        bucket = request.quilt_revisions.bucket if request.quilt_revisions else ""
        return self.plan.source or ManifestSource.of_bucket(BucketNames.of(bucket), request.database)

    def reads(self) -> dict[str, str]:
        """Return the statements that read the revisions into tables, by their roles."""
        interval = self.plan.request.quilt_revisions
        if interval is None:
            return {}
        statements: dict[str, str] = {}
        for number, group in enumerate(self.plan.reads, start=1):
            for token in (token for token in TOKENS if is_in_code(self.plan.query, token)):
                role = _read_role(token, number)
                query = fill_tokens(f"SELECT * FROM {token}", self._source, interval.bucket, group)
                # Where the workgroup enforces its location the rows lie, and expire, among its results.
                place = None if self.plan.unloads else self.folder / f"{_SCRATCH}{role}/"
                statements[role] = build_ctas(self.table(role), query, _ROWS_ENCODING, location=place)
        return statements

    @property
    def database(self) -> str:
        """Where the temporary tables are: beside the table, or in the caller's own catalog."""
        request = self.plan.request
        return request.database if request.table.catalog_id else request.table.database

    def table(self, role: str) -> TableName:
        """Return the temporary table that the statement of a role makes."""
        return temporary_table(self.attempt, self.database, role)

    def slice_place(self, number: int) -> S3Uri:
        """Return where a slice is written."""
        return self.folder / f"s{number}/"

    def describe(self) -> str:
        """Return the statement that makes a table of the result's columns, without rows."""
        return build_description(
            self.table("describe"), self._result(()), self._rows_encoding, self._rows_bucketing
        )

    def stage(self, columns: Columns) -> str:
        """Return the statement that writes the result. ``columns`` are the result's, where they are known."""
        query, encoding = self._result(columns), self._rows_encoding
        if self.plan.unloads:
            return build_unload(query, encoding, location=self.rows_place)
        return build_ctas(
            self.table("stage"), query, encoding, location=self.rows_place, bucketing=self._rows_bucketing
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
        return f"SELECT count(*) FROM {self.table('stage').trino}"

    def count(self) -> str:
        """Return the query that counts the rows of each partition."""
        return build_count(self.table("stage"), self.plan.selection.dynamic)

    def check(self, name: str) -> str:
        """Return a check of the user's over the staged rows."""
        return render_check(self.plan.request.checks[name], self.table("stage"))

    def define(self, columns: Columns) -> str:
        """Return the statement that makes a table such as a new one is to be, from the staged columns."""
        query = build_slice(self.table("stage"), self._data_columns(columns), self.plan.selection.dynamic, ())
        return build_description(self.table("define"), query, self.plan.encoding, self.plan.bucketing)

    def slice(self, number: int, part: Sequence[Found], columns: Columns) -> str:
        """Return the statement that writes some partitions of the staged rows."""
        plan, keys = self.plan, self.plan.selection.dynamic
        data = self._data_columns(columns)
        query = self._guarded(build_slice(self.table("stage"), data, keys, part), data, keys)
        names, place = [name for name, _ in keys], self.slice_place(number)
        if plan.unloads:
            return build_unload(query, plan.encoding, location=place, partitioned_by=names)
        return build_ctas(
            self.table(slice_role(number)),
            query,
            plan.encoding,
            location=place,
            partitioned_by=names,
            bucketing=plan.bucketing,
        )

    def _data_columns(self, columns: Columns) -> Columns:
        keys = dict(self.plan.selection.keys)
        return tuple((name, hive_type) for name, hive_type in columns if name not in keys)
