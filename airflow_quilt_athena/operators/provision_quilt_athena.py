"""Provision Athena for Quilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow_quilt_athena.arguments import AWS_ARGUMENTS
from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, count, flag, optional, several, whole
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.operators.base import (
    QuiltAthenaBaseOperator,
    errors_as_airflow_sees_them,
    provisioning_clients,
)

# Athena API reference, "WorkGroupConfiguration" (BytesScannedCutoffPerQuery), read 2026-11.
LEAST_SCAN_CUTOFF_BYTES = 10_000_000


class ProvisionQuiltAthenaOperator(QuiltAthenaBaseOperator):
    """Bring results bucket, workgroup, Glue database, IAM policy and its attachments to what is wanted.

    Everything is looked at before anything is changed. What differs is listed with its old and new value, and
    only that is changed; a second run changes nothing. What is not ours to change is refused with what to do:
    a bucket of another account or region, a workgroup or policy of somebody else's, a role that does not
    exist. What Quilt's documentation of 2022 makes is adopted, and the plan says so. Rights are
    given before others are taken, and a policy that would grant less than it does needs ``allow_narrowing``.

    The policy holds what our operators use, for the buckets, database, workgroup and warehouse named. When it
    does not fit one document, ``<policy_name>-2`` and so on hold the other buckets.

    :param results_bucket: the bucket of Athena's results; made when there is none. Results go to
        ``s3://<results_bucket>/results/``. (templated)
    :param quilt_buckets: one bucket, or many, whose manifests may be read. (templated)
    :param database: the Glue database of tables and views. (templated)
    :param workgroup: the Athena workgroup. (templated)
    :param warehouse: the folder that tables may be written to, as an S3 URI; None lets nobody write any.
        (templated)
    :param policy_name: the IAM policy. (templated)
    :param attach_to_roles: names or ARNs of the roles to attach the policy to. (templated)
    :param dry_run: plan only.
    :param source_database: a Quilt platform's Glue database, to be readable as well. (templated)
    :param kms_key_arn: encrypt results with this key instead of S3's own; the policy allows its use.
        (templated)
    :param lake_formation: allow what Lake Formation grants to be read, too.
    :param catalog_kms_key_arn: the key of an encrypted Data Catalog, to be used as well. (templated)
    :param quilt_kms_key_arns: keys of Quilt buckets, to be used for reading them. (templated)
    :param package_registries: one bucket, or many, in which ``CreateQuiltPackageOperator`` may make packages.
        (templated)
    :param package_sources: the buckets whose objects those packages may name; a registry is one only when it
        is named here as well. (templated)
    :param event_queue_arns: the queues of SQS that ``QuiltPackageTrigger`` hears of new revisions by.
        (templated)
    :param watched_buckets: the buckets in which ``QuiltPackageTrigger`` keeps what it told, below
        ``.quilt-athena/watchers/``: before Airflow 3.3, or when several assets share a trigger.
        (templated)
    :param allow_narrowing: let the policy lose rights that nothing else grants, such as those on a bucket
        that is not named any more. Without it such a plan is shown and refused.
    :param scan_cutoff_bytes: cancel a query that scans more; None leaves the workgroup's own.
    :param results_expire_after_days: delete results after so many days; None keeps them for ever.

    Its XCom: ``changed``, and ``resources``, for each its ``resource``, ``name``, ``action`` (created,
    changed or unchanged) and ``details``.

    .. code-block:: python

        ProvisionQuiltAthenaOperator(
            task_id="provision",
            results_bucket="acme-quilt-query-results",
            quilt_buckets=["acme-screens", "acme-images"],
            warehouse="s3://acme-lake/tables/",
            attach_to_roles=["airflow-worker"],
        )
    """

    template_fields: Sequence[str] = (
        "results_bucket",
        "quilt_buckets",
        "database",
        "workgroup",
        "warehouse",
        "policy_name",
        "attach_to_roles",
        "source_database",
        "kms_key_arn",
        "catalog_kms_key_arn",
        "quilt_kms_key_arns",
        "package_registries",
        "package_sources",
        "event_queue_arns",
        "watched_buckets",
        *AWS_TEMPLATE_FIELDS,
    )
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        "results_bucket": names.bucket,
        "quilt_buckets": several(names.bucket),
        "database": names.database,
        "workgroup": names.workgroup,
        "warehouse": optional(names.folder),
        "policy_name": names.policy,
        "attach_to_roles": several(names.role),
        "dry_run": flag,
        "source_database": optional(names.database),
        "kms_key_arn": optional(names.own_key_arn),
        "lake_formation": flag,
        "catalog_kms_key_arn": optional(names.own_key_arn),
        "quilt_kms_key_arns": several(names.own_key_arn),
        "package_registries": several(names.bucket),
        "package_sources": several(names.bucket),
        "event_queue_arns": several(names.queue_arn),
        "watched_buckets": several(names.bucket),
        "allow_narrowing": flag,
        "scan_cutoff_bytes": optional(count(LEAST_SCAN_CUTOFF_BYTES)),
        "results_expire_after_days": optional(whole(timedelta(days=1), "days", 1)),
    }
    ui_color = "#f3efe4"

    def __init__(
        self,
        *,
        results_bucket: str,
        quilt_buckets: str | Sequence[str],
        database: str = "quilt_query",
        workgroup: str = "quilt-query",
        warehouse: str | None = None,
        policy_name: str = "AthenaQuiltAccess",
        attach_to_roles: str | Sequence[str] = (),
        dry_run: bool = False,
        source_database: str | None = None,
        kms_key_arn: str | None = None,
        lake_formation: bool = False,
        catalog_kms_key_arn: str | None = None,
        quilt_kms_key_arns: str | Sequence[str] = (),
        package_registries: str | Sequence[str] = (),
        package_sources: str | Sequence[str] = (),
        event_queue_arns: str | Sequence[str] = (),
        watched_buckets: str | Sequence[str] = (),
        allow_narrowing: bool = False,
        scan_cutoff_bytes: int | None = None,
        results_expire_after_days: int | timedelta | None = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.results_bucket = results_bucket
        self.quilt_buckets = quilt_buckets
        self.database = database
        self.workgroup = workgroup
        self.warehouse = warehouse
        self.policy_name = policy_name
        self.attach_to_roles = attach_to_roles
        self.plan_only = dry_run  # BaseOperator has a method dry_run
        self.source_database = source_database
        self.kms_key_arn = kms_key_arn
        self.lake_formation = lake_formation
        self.catalog_kms_key_arn = catalog_kms_key_arn
        self.quilt_kms_key_arns = quilt_kms_key_arns
        self.package_registries = package_registries
        self.package_sources = package_sources
        self.event_queue_arns = event_queue_arns
        self.watched_buckets = watched_buckets
        self.allow_narrowing = allow_narrowing
        self.scan_cutoff_bytes = scan_cutoff_bytes
        self.results_expire_after_days = results_expire_after_days
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan, show the plan, carry it out unless it is a dry run."""
        from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision

        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            request = ProvisionRequest(
                results_bucket=asked["results_bucket"],
                quilt_buckets=asked["quilt_buckets"],
                database=asked["database"],
                workgroup=asked["workgroup"],
                warehouse=asked["warehouse"],
                source_database=asked["source_database"],
                policy_name=asked["policy_name"],
                attach_to_roles=asked["attach_to_roles"],
                kms_key_arn=asked["kms_key_arn"],
                lake_formation=asked["lake_formation"],
                catalog_kms_key_arn=asked["catalog_kms_key_arn"],
                quilt_kms_key_arns=asked["quilt_kms_key_arns"],
                package_registries=asked["package_registries"],
                package_sources=asked["package_sources"],
                event_queue_arns=asked["event_queue_arns"],
                watched_buckets=asked["watched_buckets"],
                allow_narrowing=asked["allow_narrowing"],
                scan_cutoff_bytes=asked["scan_cutoff_bytes"],
                results_expire_after_days=asked["results_expire_after_days"],
            )
            return provision(provisioning_clients(self.hook), request, dry_run=self.plan_only).to_xcom()
