"""Create and refresh the tables and views of Quilt buckets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, flag, one_of, optional, several
from airflow_quilt_athena.exceptions import ManualActionError, QueryFailedError, QuiltAthenaError
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.waiting import WAITING_ARGUMENTS, QuiltAthenaWaitingOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.core.quilt.completeness import Finding
    from airflow_quilt_athena.core.quilt.views import ViewDefinition
    from airflow_quilt_athena.flows.quilt.refresh_plan import Refresh, RefreshRequest

_MAX_ROUNDS = 5  # of looking again after another refresh at the same time
_PARALLEL_BUCKETS = 4  # each lists a few namespaces at once

Found = TypeVar("Found")


class CreateBucketViewsOperator(QuiltAthenaWaitingOperator):
    """Bring the tables and views over the manifests of one or many Quilt buckets to what is wanted.

    For a bucket with identifier ``id``: tables ``{id}_quilt_manifests`` and ``{id}_quilt_packages``; views
    ``{id}_quilt_revisions``, ``{id}_quilt_entries``, ``{id}_quilt_current`` and ``{id}_quilt_tags``; and,
    with the columns of Quilt's documentation of 2022, ``{id}_quilt_packages_view`` and
    ``{id}_quilt_objects_view``.

    What is as wanted costs no Athena query. What somebody changed by hand is put right, and the log says what
    differed. A view is replaced in one step: nobody sees it missing. A table of our name over other files is
    refused.

    :param bucket: one bucket, or many; the name only, without ``s3://``. (templated)
    :param database: the Glue database of the tables and views. (templated)
    :param workgroup: the Athena workgroup the views are made in. (templated)
    :param source: what the views are built on: ``manifests``, tables of our own; ``quilt_tables``, those a
        Quilt platform keeps in ``source_database``, and the plan, the log and the XCom say what they lose;
        ``auto``, the platform's where there are any that lose nothing.
    :param source_database: the platform's database. (templated)
    :param find_hidden: tell of packages whose names begin with ``_``, which Quilt allows and Athena does not
        show; costs a listing of the bucket's namespaces, and one or two of each.
    :param check_completeness: tell of all that a listing of the registry shows and the views do not, or not
        as it is: hidden packages and tags, pointers that are none, manifests that are missing or torn, sizes
        that are none. Costs a listing of the registry, and one query: over everything the first time, later
        over what is new, and none where nothing changed. None is what ``find_hidden`` says.
    :param materialized: have the clean views stand on the tables that ``MaterializeQuiltTablesOperator``
        keeps. What is rolled back or deleted is seen at once.
    :param always_fresh: of ``materialized``: the views find out themselves what the tables do not keep, and
        read it from its manifests, so that a push is seen at once as well. Whether Athena then leaves the
        other manifests closed is not documented. With False, what the tables do not keep when the views are
        refreshed is named in them: a question about one package, or some days, costs those for certain, and
        a later push is seen after the next refresh of tables or views.
    :param fail_on_incomplete: fail when there is such a thing, once the views are as wanted.

    Its XCom: ``changed``, and ``resources``, for each its ``resource``, ``name``, ``action`` (created,
    changed or unchanged) and ``details``; ``hidden_packages``, by bucket; and ``incomplete``, by bucket, for
    each ``reason`` its ``text``, ``count``, the first ``names``, and whether it ``loses_rows``.

    .. code-block:: python

        CreateBucketViewsOperator.partial(task_id="views", map_index_template="{{ task.bucket }}").expand(
            bucket=["acme-screens", "acme-images"]
        )
    """

    template_fields: Sequence[str] = (
        "bucket",
        "database",
        "workgroup",
        "source_database",
        *AWS_TEMPLATE_FIELDS,
    )
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **WAITING_ARGUMENTS,
        "bucket": several(names.bucket),
        "database": names.database,
        "workgroup": names.workgroup,
        "source": one_of("auto", "manifests", "quilt_tables", "iceberg"),
        "source_database": optional(names.database),
        "find_hidden": flag,
        "check_completeness": optional(flag),
        "fail_on_incomplete": flag,
        "materialized": flag,
        "always_fresh": flag,
    }
    ui_color = "#e8eef3"

    def __init__(
        self,
        *,
        bucket: str | Sequence[str],
        database: str = "quilt_query",
        workgroup: str = "quilt-query",
        source: str = "auto",
        source_database: str | None = None,
        find_hidden: bool = True,
        check_completeness: bool | None = None,
        fail_on_incomplete: bool = False,
        materialized: bool = False,
        always_fresh: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket = bucket
        self.database = database
        self.workgroup = workgroup
        self.source = source
        self.source_database = source_database
        self.find_hidden = find_hidden
        self.check_completeness = check_completeness
        self.fail_on_incomplete = fail_on_incomplete
        self.materialized = materialized
        self.always_fresh = always_fresh
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan, show the plan, carry it out."""
        from airflow_quilt_athena.flows.athena.workgroups import look_at_workgroup
        from airflow_quilt_athena.flows.quilt.registries import refuse_missing_registries

        with errors_as_airflow_sees_them():
            request = self._request
            refresh = self._plan()
            if refresh.plan.changed:
                refuse_missing_registries(self.hook.client("s3"), request.buckets)
                look_at_workgroup(self.hook.client("athena"), request.workgroup)
            self._show(refresh)
            return self._apply(refresh, refresh.plan.to_xcom(), self.find_deadline(context))

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on after a deferral: mark the views just made, and make those that are left."""
        from airflow_quilt_athena.flows.quilt.bucket_views import mark_views

        with errors_as_airflow_sees_them():
            report, digests = event["carry"]["report"], event["carry"]["digests"]
            glue = self.hook.client("glue")
            try:
                self.resume_wait(event)
                mark_views(glue, self._request.database, digests)
            except QueryFailedError as error:
                self._look_again_after(error)
            return self._apply(self._plan(), report, float(event["deadline"]))

    def _look_again_after(self, error: QueryFailedError) -> None:
        """Raise the error, unless another refresh at the same time is all there was."""
        from airflow_quilt_athena.flows.quilt.bucket_views import is_overtaken

        if not is_overtaken(error):
            raise error
        self.log.info("Somebody else made one of the views at the same time; looking again. %s", error)

    @property
    def _request(self) -> RefreshRequest:
        from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
        from airflow_quilt_athena.flows.quilt.sources import parse_source

        asked = self.judge_arguments()
        return RefreshRequest(
            buckets=asked["bucket"],
            database=asked["database"].lower(),  # as Glue keeps it
            workgroup=asked["workgroup"],
            source=parse_source(asked["source"], asked["source_database"]),
            source_database=asked["source_database"],
            materialized=self.materialized,
            always_fresh=self.always_fresh,
        )

    def _plan(self) -> Refresh:
        from airflow_quilt_athena.flows.quilt.refresh_plan import plan_refresh

        names_newer = self.materialized and not self.always_fresh
        s3 = self.hook.client("s3") if names_newer else None
        return plan_refresh(self.hook.client("glue"), self._request, s3)

    def _apply(self, refresh: Refresh, report: dict[str, Any], deadline: float) -> dict[str, Any]:
        from airflow_quilt_athena.flows.quilt.bucket_views import apply_tables, apply_views

        def wait(query_execution_ids: Sequence[str], views: Sequence[ViewDefinition]) -> None:
            digests = {view.name: view.digest for view in views}
            self.wait(
                query_execution_ids,
                deadline=deadline,
                carry={"report": report, "digests": digests},
            )

        glue = self.hook.client("glue")
        started = time.monotonic()
        apply_tables(glue, self.database, refresh)
        views = refresh.views
        for remaining in reversed(range(_MAX_ROUNDS)):
            try:
                apply_views(self.hook.client("athena"), glue, self._request, views, wait=wait)
                break
            except QueryFailedError as error:
                if not remaining:
                    raise
                self._look_again_after(error)
                views = self._plan().views
        self.log.info("Done in %.1f s.", time.monotonic() - started)
        return {**report, **self._look_for_gaps(refresh, deadline)}

    def _look_for_gaps(self, refresh: Refresh, deadline: float) -> dict[str, Any]:
        """Tell what the views do not show, or not as it is; the views are there, whatever comes of it."""
        wanted = self.find_hidden if self.check_completeness is None else self.check_completeness
        if not wanted:
            self._refuse_gaps({}, unknown=list(self._request.buckets))
            return {"hidden_packages": self._find_hidden()}
        from airflow_quilt_athena.core.quilt.completeness import Reason, report_findings

        found = self._of_each_bucket(lambda bucket: self._check(refresh, bucket, deadline))
        hidden = {
            bucket: sorted({f.name for f in findings if f.reason is Reason.HIDDEN_PACKAGES})
            for bucket, findings in found.items()
            if findings is not None
        }
        reports = {b: report_findings(findings) for b, findings in found.items() if findings}
        for bucket, gaps in reports.items():
            for gap in gaps:
                self._tell(bucket, gap)
        self._refuse_gaps(reports, unknown=[b for b, findings in found.items() if findings is None])
        return {
            "hidden_packages": {bucket: names for bucket, names in hidden.items() if names},
            "incomplete": reports,
        }

    def _check(self, refresh: Refresh, bucket: str, deadline: float) -> tuple[Finding, ...] | None:
        from airflow_quilt_athena.flows.quilt.completeness import Place, check_completeness

        request = self._request
        athena, glue, s3 = (self.hook.client(name) for name in ("athena", "glue", "s3"))
        place = Place(request.database, request.workgroup, refresh.sources[bucket])
        seconds = max(1.0, deadline - time.time())
        try:
            return check_completeness(athena, glue, s3, bucket, place, timeout_seconds=seconds)
        except QuiltAthenaError as error:
            # The views need no more than Glue and Athena; only this look does.
            self.log.warning(
                "Whether bucket %s has hidden packages could not be told, nor what else its views lack: %s",
                bucket,
                error,
            )
            return None

    def _tell(self, bucket: str, gap: Mapping[str, Any]) -> None:
        told = self.log.warning if gap["loses_rows"] else self.log.info
        more = "" if gap["count"] <= len(gap["names"]) else ", …"
        told("Bucket %s has %d %s: %s%s", bucket, gap["count"], gap["text"], ", ".join(gap["names"]), more)

    def _refuse_gaps(self, reports: Mapping[str, Sequence[Mapping[str, Any]]], unknown: list[str]) -> None:
        if not self.fail_on_incomplete:
            return
        lines = [
            f"{bucket}: {gap['count']} {gap['text']}"
            for bucket, gaps in reports.items()
            for gap in gaps
            if gap["loses_rows"]
        ]
        lines += [f"{bucket}: could not be told" for bucket in unknown]
        if lines:
            raise ManualActionError(
                "The views are as wanted, but they do not show all that is in the buckets, and "
                "fail_on_incomplete is set:\n" + "\n".join(lines)
            )

    def _find_hidden(self) -> dict[str, list[str]]:
        """Tell of packages that the views cannot show; by bucket, where there are any."""
        found = self._of_each_bucket(self._hidden_in) if self.find_hidden else {}
        hidden = {bucket: list(packages) for bucket, packages in found.items() if packages}
        for bucket, packages in hidden.items():
            self.log.warning(
                "Bucket %s has %d packages that no query sees, because Athena skips folders that begin "
                "with _ or a dot: %s",
                bucket,
                len(packages),
                ", ".join(packages),
            )
        return hidden

    def _of_each_bucket(self, look: Callable[[str], Found]) -> dict[str, Found]:
        buckets = tuple(dict.fromkeys(self._request.buckets))
        with ThreadPoolExecutor(_PARALLEL_BUCKETS, thread_name_prefix="buckets") as pool:
            return dict(zip(buckets, pool.map(look, buckets), strict=True))

    def _hidden_in(self, bucket: str) -> tuple[str, ...]:
        from airflow_quilt_athena.flows.quilt.hidden_packages import find_hidden_packages

        try:
            return find_hidden_packages(self.hook.client("s3"), bucket)
        except QuiltAthenaError as error:
            # The views need no more than Glue and Athena; only this look does.
            self.log.warning("Whether bucket %s has hidden packages could not be told: %s", bucket, error)
            return ()

    def _show(self, refresh: Refresh) -> None:
        self.log.info("Tables and views:\n%s", refresh.plan.render(applied=False))
        statements = refresh.statements(self._request.database)
        if statements:
            self.log.info("::group::The same as SQL\n%s", ";\n\n".join(statements))
            self.log.info("::endgroup::")
