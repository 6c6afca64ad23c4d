"""Take away again what provisioning made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_quilt_athena.arguments import AWS_ARGUMENTS
from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, flag
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.operators.base import (
    QuiltAthenaBaseOperator,
    errors_as_airflow_sees_them,
    provisioning_clients,
)


class DeprovisionQuiltAthenaOperator(QuiltAthenaBaseOperator):
    """Take away what ``ProvisionQuiltAthenaOperator`` made, by the same names, and no more.

    The policies go, from whoever holds them; the workgroup with its history; the database, when it holds no
    table; the results bucket, when nothing is left in it. What somebody else had
    made stays as it is, but for the lifecycle rule that provisioning had added to it. Each that stays is
    listed with the reason.

    :param results_bucket: the bucket of Athena's results. (templated)
    :param database: the Glue database. (templated)
    :param workgroup: the Athena workgroup. (templated)
    :param policy_name: the IAM policy. (templated)
    :param delete_results: delete the results in the results bucket, too: what lies below ``results/``, and
        nothing beside it. Refused when a table lies there.
    :param dry_run: plan only.

    Its XCom: ``changed``, and ``resources``, for each its ``resource``, ``name``, ``action`` (removed,
    changed or unchanged) and ``details``.
    """

    template_fields: Sequence[str] = (
        "results_bucket",
        "database",
        "workgroup",
        "policy_name",
        *AWS_TEMPLATE_FIELDS,
    )
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        "results_bucket": names.bucket,
        "database": names.database,
        "workgroup": names.workgroup,
        "policy_name": names.policy,
        "delete_results": flag,
        "dry_run": flag,
    }
    ui_color = "#f3efe4"

    def __init__(
        self,
        *,
        results_bucket: str,
        database: str = "quilt_query",
        workgroup: str = "quilt-query",
        policy_name: str = "AthenaQuiltAccess",
        delete_results: bool = False,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.results_bucket = results_bucket
        self.database = database
        self.workgroup = workgroup
        self.policy_name = policy_name
        self.delete_results = delete_results
        self.plan_only = dry_run  # BaseOperator has a method dry_run
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan, show the plan, carry it out unless it is a dry run."""
        from airflow_quilt_athena.flows.provisioning.deprovision import DeprovisionRequest, deprovision

        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            request = DeprovisionRequest(
                results_bucket=asked["results_bucket"],
                database=asked["database"],
                workgroup=asked["workgroup"],
                policy_name=asked["policy_name"],
                delete_results=asked["delete_results"],
            )
            clients = provisioning_clients(self.hook)
            return deprovision(clients, request, dry_run=self.plan_only).to_xcom()
