"""Make a Quilt package out of rows: a query's, a partition's, or given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import EllipsisType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException, Asset

from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import (
    Judge,
    any_text,
    choice,
    flag,
    matching,
    optional,
    several,
    text,
)
from airflow_quilt_athena.core.quilt.package_request import (
    OnEmpty,
    OnUnusable,
    OnUnversioned,
    check_package_name,
    parse_registry,
)
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.links import AthenaQueryLink, QuiltPackageLink, push_package_link, push_query_link
from airflow_quilt_athena.operators import package_arguments
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import task_key_of
from airflow_quilt_athena.operators.partition_of_run import Partition, resolve_partition
from airflow_quilt_athena.operators.query_memory import QueryMemory
from airflow_quilt_athena.operators.waiting import WAITING_ARGUMENTS, QuiltAthenaWaitingOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.core.athena.query_status import QueryStatus
    from airflow_quilt_athena.core.quilt.package_request import PackageRequest
    from airflow_quilt_athena.flows.quilt.packages import PackageRevision

_SOURCES = ("query", "query_execution_id", "table", "rows")


class CreateQuiltPackageOperator(QuiltAthenaWaitingOperator):
    """Make a revision of a Quilt package out of rows that name files. No object is copied.

    A row has ``logical_key``, ``physical_key`` (or ``physical_keys``) and ``size``, and may have ``hash`` (a
    struct, or ``hash_type`` and ``hash_value``), ``meta`` (as in a manifest, or what is to be said of the
    file, as JSON) and ``version_id``: the columns of the entries view, and those that the Quilt Catalog makes
    packages from. Other columns are left out. An object is read only where its row has no hash.

    The same rows, message and metadata make the same top hash. When it is the package's ``latest`` already,
    no second revision is made, and the XCom tells of the one there is; so does a retry. Keep what changes
    from run to run, such as a run's id, out of message and metadata.

    A top hash does not cover where files lie. When there is a manifest of the same top hash that names other
    objects, the task fails, and nothing is changed.

    :param registry: the bucket, as its name or ``s3://bucket``. (templated)
    :param package: the package's name, ``team/package``. (templated)
    :param query: one SELECT, or the name of a ``.sql`` file. One of ``query``, ``query_execution_id``,
        ``table`` and ``rows`` is given. (templated)
    :param query_execution_id: a query that was started elsewhere, or the XCom of the task that did. It is
        waited for. (templated)
    :param table: a table whose rows are to be taken: ``table``, or ``database.table``. (templated)
    :param partition: with ``table``, its partition, as CtasInsertOverwriteOperator takes it: None is the
        run's, ``{}`` the whole table. (templated)
    :param rows: the rows: a list of mappings, or the XCom of QuiltAthenaQueryOperator with ``max_rows``.
        (templated)
    :param message: the revision's message. (templated)
    :param metadata: the package's metadata: a mapping, or text; text that is a JSON object is taken as that.
        (templated)
    :param workflow: a workflow of the registry, which quilt3 checks; None is none. Left out, it is the
        registry's default. (templated)
    :param tags: names of pointers to be moved to the revision beside ``latest``. (templated)
    :param dedupe: False makes a revision even of content that is ``latest`` already (a retry does not).
    :param on_unusable: what to do when rows cannot be entries: ``fail``, before anything is changed, or
        ``skip`` them. Each is logged with its reason.
    :param on_unversioned: what to do with rows that name no version: ``resolve``, ask S3 for it; ``refuse``,
        count them as unusable; ``keep`` them so, which lets the package show whatever the object becomes.
    :param on_empty: what to do when there is no entry: ``fail``, ``skip`` the task, or ``publish`` an empty
        revision.
    :param check_objects: ask S3 for every object, whether it is there and has the size that its row says, and
        not only for one of each bucket and those without a version.
    :param catalog_url: the Quilt Catalog, e.g. ``https://quilt.example.com``; the task then has a link to the
        package. (templated)
    :param database: where names without a database are looked up. (templated)
    :param workgroup: the Athena workgroup. (templated)

    Its XCom: ``package``, ``registry``, ``top_hash``, ``revision`` (the pointer's name, seconds since 1970),
    ``revision_at``, ``created``, ``entries``, ``size_bytes``, ``message``, ``tags``, ``manifest``,
    ``unusable`` (``count``, and some ``examples`` with ``reason``), ``query_execution_id`` and ``url``.

    Needs ``airflow-quilt-athena[quilt]`` where rows have no hash or the registry has workflows.

    .. code-block:: python

        CreateQuiltPackageOperator(
            task_id="package",
            registry="acme-data",
            package="assays/selected",
            query="SELECT logical_key, physical_key, size, hash_type, hash_value, meta FROM acme_data_quilt_entries …",
            message="Selected on {{ ds }}",
        )
    """  # noqa: E501

    template_fields: Sequence[str] = (
        "registry",
        "package",
        "query",
        "query_execution_id",
        "table",
        "partition",
        "rows",
        "message",
        "metadata",
        "workflow",
        "tags",
        "catalog_url",
        "database",
        "workgroup",
        *AWS_TEMPLATE_FIELDS,
    )
    template_ext: Sequence[str] = (".sql",)
    file_field: ClassVar[str | None] = "query"
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **WAITING_ARGUMENTS,
        "registry": package_arguments.read_by(parse_registry, "a bucket, as its name or s3://bucket"),
        "package": package_arguments.read_by(check_package_name, "a package's name: team/package"),
        "query": optional(text),
        "query_execution_id": optional(package_arguments.query_execution_id),
        "table": optional(names.table),
        "partition": optional(names.partition),
        "rows": optional(package_arguments.rows),
        "message": optional(any_text),
        "metadata": optional(package_arguments.metadata),
        "workflow": package_arguments.workflow,
        "tags": several(package_arguments.tag),
        "dedupe": flag,
        "on_unusable": choice(OnUnusable),
        "on_unversioned": choice(OnUnversioned),
        "on_empty": choice(OnEmpty),
        "check_objects": flag,
        "catalog_url": optional(matching(r"https?://[^\s{}]+", "a URL, such as https://quilt.example.com")),
        "database": names.database,
        "workgroup": names.workgroup,
        "partition_format": names.date_format,
    }
    template_fields_renderers: ClassVar[dict[str, str]] = {"query": "sql", "metadata": "json", "rows": "json"}
    operator_extra_links = (QuiltPackageLink(), AthenaQueryLink())
    ui_color = "#efe8f3"

    def __init__(
        self,
        *,
        registry: str,
        package: str,
        query: str | None = None,
        query_execution_id: Any = None,
        table: str | None = None,
        partition: Partition | None = None,
        rows: Any = None,
        message: str | None = None,
        metadata: Any = None,
        workflow: str | EllipsisType | None = ...,
        tags: str | Sequence[str] = (),
        dedupe: bool = True,
        on_unusable: str = "fail",
        on_unversioned: str = "resolve",
        on_empty: str = "fail",
        check_objects: bool = False,
        catalog_url: str | None = None,
        database: str = "quilt_query",
        workgroup: str = "quilt-query",
        partition_format: str = "%Y-%m-%d",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.registry = registry
        self.package = package
        self.query = query
        self.query_execution_id = query_execution_id
        self.table = table
        self.partition = partition
        self.rows = rows
        self.message = message
        self.metadata = metadata
        self.workflow = workflow
        self.tags = tags
        self.dedupe = dedupe
        self.on_unusable = on_unusable
        self.on_unversioned = on_unversioned
        self.on_empty = on_empty
        self.check_objects = check_objects
        self.catalog_url = catalog_url
        self.database = database
        self.workgroup = workgroup
        self.partition_format = partition_format
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidCallError(
                f"A package is made from one of {', '.join(_SOURCES)}; given: {', '.join(given) or 'none'}."
            )
        if partition is not None and table is None:
            raise InvalidCallError("partition goes with table, which is not given.")
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Check what is asked for, get the rows, make the package."""
        from airflow_quilt_athena.core.quilt.package_request import parse_rows

        with errors_as_airflow_sees_them():
            request = self._read(context)
            if self.rows is not None:
                return self._create(context, request, parse_rows(self.rows))
            (status,) = self.wait([self._find_query(context)], deadline=self.find_deadline(context), carry={})
            return self._create_from(context, request, status)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the query that was deferred for is done."""
        with errors_as_airflow_sees_them():
            (status,) = self.resume_wait(event)
            return self._create_from(context, self._read(context), status)

    def _read(self, context: Any) -> PackageRequest:
        from airflow_quilt_athena.core.quilt.package_request import PackageRequest, parse_metadata, parse_tags

        asked = self.judge_arguments()
        self.rows = asked["rows"]
        attempt = f"{task_key_of(context['ti'])}/{self.package}"
        return PackageRequest(
            registry=asked["registry"],
            package=asked["package"],
            message=asked["message"],
            metadata=parse_metadata(asked["metadata"]),
            workflow=asked["workflow"],
            tags=parse_tags(asked["tags"]),
            dedupe=asked["dedupe"],
            on_unusable=asked["on_unusable"],
            on_unversioned=asked["on_unversioned"],
            on_empty=asked["on_empty"],
            check_objects=asked["check_objects"],
            attempt=hashlib.sha256(attempt.encode()).hexdigest(),
        )

    # ------------------------------------------------------------------------------------- rows

    def _find_query(self, context: Any) -> str:
        """Return the id of the query whose rows are wanted, started if it has to be."""
        region = self.hook.client("athena").meta.region_name
        if self.query_execution_id is not None:
            query_execution_id = package_arguments.parse_query_execution_id(self.query_execution_id)
        else:
            query_execution_id = self._start(context, self.query or self._partition_query(context))
        context["ti"].xcom_push(key="query_execution_id", value=query_execution_id)
        push_query_link(context, region, query_execution_id)
        return query_execution_id

    def _start(self, context: Any, sql: str) -> str:
        from airflow_quilt_athena.flows.athena.queries import start_query

        athena = self.hook.client("athena")
        memory = QueryMemory(context, task_key_of(context["ti"]), [sql, self.database, self.workgroup])
        memory.forget_failures(athena)
        found = memory.find(0)
        if found:
            self.log.info("An earlier try has started query %s; going on with it.", found)
            return found
        self.log.info("::group::SQL\n%s", sql)
        self.log.info("::endgroup::")
        query_execution_id = start_query(
            athena, sql, database=self.database, workgroup=self.workgroup, token=memory.find_token(0)
        )
        self._running = [query_execution_id]  # from here on, being killed stops it
        memory.keep(0, query_execution_id)
        self.log.info("Athena query %s in workgroup %s", query_execution_id, self.workgroup)
        return query_execution_id

    def _partition_query(self, context: Any) -> str:
        from airflow_quilt_athena.core.glue.selection import fixed_values
        from airflow_quilt_athena.core.glue.tables import TableName
        from airflow_quilt_athena.core.quilt.package_request import build_partition_query
        from airflow_quilt_athena.flows.aws.glue import observe_table

        name = TableName.parse(str(self.table), self.database)
        table = observe_table(self.hook.client("glue"), name)
        if table is None:
            raise InvalidCallError(f"There is no table {name} to make a package from.")
        keys, partition = table.partition_keys, self.partition
        if keys and partition != {}:
            partition = resolve_partition(partition, context, date_format=self.partition_format)
        elif partition:
            raise InvalidCallError(f"partition is {partition!r}, and table {name} has no partitions.")
        return build_partition_query(name, keys, fixed_values(keys, partition or {}))

    def _create_from(self, context: Any, request: PackageRequest, status: QueryStatus) -> dict[str, Any]:
        from airflow_quilt_athena.flows.athena.result_rows import read_all_rows

        rows = read_all_rows(self.hook.client("athena"), self.hook.client("s3"), status)
        return self._create(context, request, _with_columns(rows), status.query_execution_id)

    # ---------------------------------------------------------------------------------- package

    def _create(
        self,
        context: Any,
        request: PackageRequest,
        rows: Iterable[Mapping[str, Any]],
        query_execution_id: str | None = None,
    ) -> dict[str, Any]:
        from airflow_quilt_athena.flows.quilt.packages import create_package

        revision = create_package(self.hook.client("s3"), request, rows)
        facts = {**revision.as_dict(), "query_execution_id": query_execution_id, "url": self._url(revision)}
        if revision.top_hash is None:
            # A skipped task returns nothing; what it found is worth an XCom all the same.
            context["ti"].xcom_push(key="return_value", value=facts)
            raise AirflowSkipException(f"There is no entry; package {request.title} stays as it was.")
        if facts["url"]:
            push_package_link(context, facts["url"])
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(facts)
        return facts

    def _url(self, revision: PackageRevision) -> str | None:
        if not self.catalog_url or revision.top_hash is None:
            return None
        place = f"b/{revision.request.registry}/packages/{revision.request.package}/tree/{revision.top_hash}"
        return f"{self.catalog_url.rstrip('/')}/{place}"


def _with_columns(rows: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Refuse rows whose columns cannot tell of files, before the first is looked at."""
    from airflow_quilt_athena.core.quilt.package_request import check_columns

    first = next(rows, None)
    if first is None:
        return iter(())
    check_columns(first)
    return chain([first], rows)
