"""Provision Athena for Quilt: observe, plan, apply. Knows no Airflow; clients are handed in.

Everything is looked at before anything is changed, so a role that does not exist or a bucket of somebody
else's stops the run while all is as it was. Run again, it changes nothing; stopped half-way and run again,
it does the rest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.overwrite.partition_changes import location_of
from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.core.provisioning.arns import Account, parse_role
from airflow_quilt_athena.core.provisioning.policy import RESULTS_PREFIX, Grant, build_policies
from airflow_quilt_athena.core.provisioning.results_bucket import FoundBucket, WantedBucket, is_rule, our_rule
from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, ManualActionError
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.side_by_side import side_by_side
from airflow_quilt_athena.flows.provisioning.among_results import (
    any_table,
    find_rows_among,
    list_databases,
    no_table,
)
from airflow_quilt_athena.flows.provisioning.database import is_begun, observe_database, plan_database
from airflow_quilt_athena.flows.provisioning.policies import find_narrowing, plan_policies
from airflow_quilt_athena.flows.provisioning.quilt_buckets import refuse_buckets_without_packages
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change
from airflow_quilt_athena.flows.provisioning.results_bucket import observe_results_bucket, plan_results_bucket
from airflow_quilt_athena.flows.provisioning.workgroup import WantedWorkgroup, plan_workgroup

log = logging.getLogger(__name__)

_DATABASE = re.compile(r"[a-z0-9_-]{1,255}")
_WORKGROUP = re.compile(r"[a-zA-Z0-9._-]{1,128}")


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
    lake_formation: bool = False
    catalog_kms_key_arn: str | None = None
    quilt_kms_key_arns: tuple[str, ...] = ()
    package_registries: tuple[str, ...] = ()
    package_sources: tuple[str, ...] = ()
    event_queue_arns: tuple[str, ...] = ()
    watched_buckets: tuple[str, ...] = ()
    allow_narrowing: bool = False  # of a policy that grants more than is wanted now
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
    """Bring everything to what is wanted; return the plan, carried out unless ``dry_run``.

    :raises ManualActionError: when the policy would grant less than it does, and ``allow_narrowing`` is not
        set; nothing is changed then.
    """
    changes = plan_provisioning(clients, request)
    lost = find_narrowing(changes)
    if lost and not request.allow_narrowing:
        carry_out("Provisioning", changes, dry_run=True)
        said = (
            f"The policy {request.policy_name} grants more than is wanted now, and whoever holds it would "
            "lose that. Nothing was changed. Name these as well, choose another policy_name, or set "
            "allow_narrowing=True.\n" + "\n".join(lost)
        )
        if not dry_run:
            raise ManualActionError(said)
        log.warning("%s", said)
        return Plan(tuple(change.step for change in changes))
    return carry_out("Provisioning", changes, dry_run=dry_run)


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
    grant = _grant(request, account)
    build_policies(request.policy_name, grant)  # refuses what no policy can say, before anything is asked
    for role in request.attach_to_roles:
        parse_role(role, account)
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
    refuse_buckets_without_packages(clients, request.quilt_buckets)
    database = observe_database(clients, request.database)
    _refuse_missing_source(clients, request.source_database)
    found = observe_results_bucket(clients, bucket)
    refuse_data_among_results(clients, request, bucket, found, database_exists=database is not None)
    if found is not None and request.kms_key_arn is None:
        grant = replace(grant, kms_key_arn=found.key_arn(account, bucket.name))
    return (
        plan_database(clients, request.database, database, bucket_to_make=None if found else bucket.name),
        plan_results_bucket(clients, bucket, found, begun=is_begun(database, bucket.name)),
        plan_workgroup(clients, workgroup),
        *plan_policies(clients, account, request.policy_name, grant, request.attach_to_roles),
    )


def _grant(request: ProvisionRequest, account: Account) -> Grant:
    return Grant(
        account=account,
        results=S3Uri(request.results_bucket, RESULTS_PREFIX),
        quilt_buckets=request.quilt_buckets,
        database=request.database,
        workgroup=request.workgroup,
        warehouse=request.warehouse,
        source_database=request.source_database,
        kms_key_arn=request.kms_key_arn,
        lake_formation=request.lake_formation,
        catalog_kms_key_arn=request.catalog_kms_key_arn,
        quilt_kms_key_arns=request.quilt_kms_key_arns,
        package_registries=request.package_registries,
        package_sources=request.package_sources,
        event_queue_arns=request.event_queue_arns,
        watched_buckets=request.watched_buckets,
    )


def _refuse_missing_source(clients: AwsClients, name: str | None) -> None:
    if name is not None and observe_database(clients, name) is None:
        raise InvalidCallError(
            f"source_database is {name!r}, and Glue has no database of that name in this account and region. "
            "Nothing was changed. Expected the Quilt platform's (its stack's output UserAthenaDatabaseName)."
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


def refuse_data_among_results(
    clients: AwsClients,
    request: ProvisionRequest,
    bucket: WantedBucket,
    found: FoundBucket | None,
    *,
    database_exists: bool,
) -> None:
    """Raise InvalidCallError when rows lie, or would lie, where results are expired.

    Before the rule is there, every table of every database is looked at, and the partitions of those in our
    database or in the results' bucket; what may not be read is said. Afterwards the tables of ours are, as
    they may have been made since.
    """
    if bucket.expire_after_days is None:
        return
    if request.warehouse is not None and bucket.results.contains(request.warehouse):
        raise InvalidCallError(
            f"The warehouse {request.warehouse} lies among Athena's results ({bucket.results}), which are "
            f"deleted after {bucket.expire_after_days} days. Expected a place of its own."
        )
    if found is not None and is_rule(our_rule(found), bucket.lifecycle_rule):
        if database_exists:
            _refuse_rows_among(clients, bucket, request.database, no_table)
        return

    def look_into(database: str) -> None:
        is_ours = database == request.database
        looked_into = any_table if is_ours else partial(_lies_in, bucket.name)
        try:
            _refuse_rows_among(clients, bucket, database, looked_into)
        except AccessError as error:
            if is_ours:
                raise
            log.warning("Whether rows of %s lie among the results is not known: %s", database, error)

    side_by_side(look_into, list_databases(clients))


def _lies_in(bucket: str, table: Mapping[str, Any]) -> bool:
    return (location_of(table) or "").startswith(f"s3://{bucket}/")


def _refuse_rows_among(
    clients: AwsClients,
    bucket: WantedBucket,
    database: str,
    has_to_be_looked_into: Callable[[Mapping[str, Any]], bool],
) -> None:
    """Raise InvalidCallError when rows of a database lie where results are expired."""
    for what, place in find_rows_among(clients, bucket.results, [database], has_to_be_looked_into):
        if f"{place}/".startswith(str(bucket.results)):
            raise InvalidCallError(
                f"{what} lies among Athena's results ({place}), which would be deleted after "
                f"{bucket.expire_after_days} days. Move it, name another results_bucket, or keep results for "
                "ever with results_expire_after_days=None."
            )
