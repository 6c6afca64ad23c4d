"""Links from a task in the Airflow UI to where its work can be seen in AWS.

A task pushes the links when it knows their targets, before it waits, so that a deferred or failed task has
them as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_quilt_athena.core.glue.s3_uri import S3Uri

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


class _PushedLink(BaseOperatorLink):
    """A link whose address the task pushed as an XCom."""

    key: str

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing while there is none."""
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""


class AthenaQueryLink(_PushedLink):
    """The query in the Athena console."""

    name = "Athena query"
    key = "quilt_athena_query_url"


class S3DataLink(_PushedLink):
    """The data in the S3 console."""

    name = "Data in S3"
    key = "quilt_athena_data_url"


class QuiltPackageLink(_PushedLink):
    """The package in the Quilt Catalog."""

    name = "Package in Quilt"
    key = "quilt_athena_package_url"


def push_query_link(context: Any, region: str, query_execution_id: str) -> None:
    """Let the task's Athena link lead to this query."""
    from airflow_quilt_athena.core.athena.console import query_url

    context["ti"].xcom_push(key=AthenaQueryLink.key, value=query_url(region, query_execution_id))


def push_data_link(context: Any, region: str, folder: S3Uri) -> None:
    """Let the task's S3 link lead to this folder."""
    from airflow_quilt_athena.core.athena.console import folder_url

    context["ti"].xcom_push(key=S3DataLink.key, value=folder_url(region, folder))


def push_package_link(context: Any, url: str) -> None:
    """Let the task's package link lead to this page of the Catalog."""
    context["ti"].xcom_push(key=QuiltPackageLink.key, value=url)
