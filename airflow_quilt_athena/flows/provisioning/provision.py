"""Provision Athena for Quilt: observe, plan, apply. Knows no Airflow; clients are handed in.

Everything is looked at before anything is changed, so a role that does not exist or a bucket of somebody
else's stops the run while all is as it was. Run again, it changes nothing; stopped half-way and run again,
it does the rest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.overwrite.attempt_names import TEMPORARY_PREFIX
from airflow_quilt_athena.core.plans import Plan, Step
from airflow_quilt_athena.core.provisioning.policy import Account, Grant, build_policies
from airflow_quilt_athena.core.quilt.drift import CREATED_BY, CREATED_BY_PARAMETER
from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.provisioning.policies import plan_attachments, plan_policies
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change
from airflow_quilt_athena.flows.provisioning.results_bucket import WantedBucket, plan_results_bucket
from airflow_quilt_athena.flows.provisioning.workgroup import WantedWorkgroup, plan_workgroup
from airflow_quilt_athena.flows.quilt.bucket_views import observe_tables

log = logging.getLogger(__name__)

_DATABASE = re.compile(r"[a-z0-9_-]{1,255}")
_WORKGROUP = re.compile(r"[a-zA-Z0-9._-]{1,128}")
_NOT_THERE = frozenset({"EntityNotFoundException"})
_CAME_FIRST = frozenset({"AlreadyExistsException"})


@dataclass(frozen=True, slots=True)
class ProvisionRequest:
    """What is wanted, as the caller says it."""

    results_bucket: str
    quilt_buckets: tuple[str, ...]
    database: str = "quilt_query"
    workgroup: str = "quilt-query"
    warehouse: S3Uri | None = None
    source_database: str | None = None
    policy_name: str = "AthenaQuiltAccess"
    attach_to_roles: tuple[str, ...] = ()
    kms_key_arn: str | None = None
    scan_cutoff_bytes: int | None = None
    results_expire_after_days: int | None = 30

    def __post_init__(self) -> None:
        for bucket in (self.results_bucket, *self.quilt_buckets):
            check_bucket_name(bucket)
        if not _DATABASE.fullmatch(self.database):
            raise InvalidCallError(
                f"Not a name for a Glue database: {self.database!r}. Expected a-z 0-9 _ and no upper case."
            )
        if not _WORKGROUP.fullmatch(self.workgroup):
            raise InvalidCallError(
                f"Not a name for an Athena workgroup: {self.workgroup!r}. "
                "Expected up to 128 of a-z A-Z 0-9 . _ -"
            )
        days = self.results_expire_after_days
        if days is not None and days < 1:
            raise InvalidCallError(f"results_expire_after_days is {days}. Expected 1 or more, or None.")


def provision(clients: AwsClients, request: ProvisionRequest, *, dry_run: bool = False) -> Plan:
    """Bring everything to what is wanted; return the plan, carried out unless ``dry_run``."""
    return carry_out("Provisioning", plan_provisioning(clients, request), dry_run=dry_run)


def carry_out(what: str, changes: Sequence[Change], *, dry_run: bool) -> Plan:
    """Show the plan of these changes, and make them unless ``dry_run``; return the plan."""
    plan = Plan(tuple(change.step for change in changes))
    log.info("%s:\n%s", what, plan.render(applied=False))
    if dry_run:
        log.info("Dry run: nothing was changed.")
    else:
        apply_changes(changes)
    return plan


def plan_provisioning(clients: AwsClients, request: ProvisionRequest) -> tuple[Change, ...]:
    """Look at everything and return what has to be done, in the order to do it. Changes nothing."""
    account = observe_account(clients)
    bucket = WantedBucket(
        name=request.results_bucket,
        region=account.region,
        account_id=account.account_id,
        kms_key_arn=request.kms_key_arn,
        expire_after_days=request.results_expire_after_days,
    )
    workgroup = WantedWorkgroup(
        name=request.workgroup,
        account=account,
        results=bucket.results,
        kms_key_arn=request.kms_key_arn,
        scan_cutoff_bytes=request.scan_cutoff_bytes,
    )
    grant = Grant(
        account=account,
        results=bucket.results,
        quilt_buckets=request.quilt_buckets,
        database=request.database,
        workgroup=request.workgroup,
        warehouse=request.warehouse,
        source_database=request.source_database,
        kms_key_arn=request.kms_key_arn,
    )
    policies = build_policies(request.policy_name, grant)
    database = plan_database(clients, request.database)
    refuse_data_among_results(clients, request, bucket, database_exists=not database.step.does_something)
    return (
        plan_results_bucket(clients, bucket),
        plan_workgroup(clients, workgroup),
        database,
        *plan_policies(clients, account, request.policy_name, policies),
        *plan_attachments(clients, account, request.attach_to_roles, policies),
    )


def apply_changes(changes: Iterable[Change]) -> None:
    """Carry out the changes that do something, in their order."""
    for change in changes:
        if change.step.does_something:
            change.apply()
            log.info("%s %s: %s", change.step.resource, change.step.name, change.step.action.value)


def observe_account(clients: AwsClients) -> Account:
    """Return whose account this is, and where."""
    identity = ask(clients.sts.get_caller_identity, "ask whose credentials these are")
    return Account(
        partition=identity["Arn"].split(":")[1],
        region=clients.athena.meta.region_name,
        account_id=identity["Account"],
    )


def plan_database(clients: AwsClients, name: str) -> Change:
    """Look at the Glue database and return what has to be done."""
    found = ask_unless(
        _NOT_THERE, lambda: clients.glue.get_database(Name=name), f"look at database {name} in Glue"
    )
    if found is not None:
        return Change(Step.converge("database", name, ()), lambda: None)
    definition = {
        "Name": name,
        "Description": "Quilt packages",
        "Parameters": {CREATED_BY_PARAMETER: CREATED_BY},
    }
    return Change(
        Step.create("database", name),
        lambda: ask_unless(
            _CAME_FIRST,
            lambda: clients.glue.create_database(DatabaseInput=definition),
            f"create database {name} in Glue",
        ),
    )


def refuse_data_among_results(
    clients: AwsClients, request: ProvisionRequest, bucket: WantedBucket, *, database_exists: bool
) -> None:
    """Raise InvalidCallError when tables lie, or would lie, where results are expired."""
    if bucket.expire_after_days is None:
        return
    if request.warehouse is not None and bucket.results.contains(request.warehouse):
        raise InvalidCallError(
            f"The warehouse {request.warehouse} lies among Athena's results ({bucket.results}), which are "
            f"deleted after {bucket.expire_after_days} days. Expected a place of its own."
        )
    tables = observe_tables(clients.glue, request.database) if database_exists else {}
    for name, table in sorted(tables.items()):
        if name.startswith(TEMPORARY_PREFIX):
            continue  # of an overwrite under way; where the workgroup decides, it lies among the results
        location = (table.get("StorageDescriptor") or {}).get("Location") or ""
        if f"{location}/".startswith(str(bucket.results)):
            raise InvalidCallError(
                f"Table {request.database}.{name} lies among Athena's results ({location}), which would be "
                f"deleted after {bucket.expire_after_days} days. Move the table, name another "
                "results_bucket, or keep results for ever with results_expire_after_days=None."
            )
