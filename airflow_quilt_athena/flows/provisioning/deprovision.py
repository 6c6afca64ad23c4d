"""Take away what provisioning made, and no more: observe, plan, apply. Knows no Airflow.

What provisioning made carries its mark. What was there before is left as it is, but for the one rule that
provisioning had added to somebody else's bucket. Nothing that holds data goes, unless told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from airflow_quilt_athena.core.plans import Difference, Plan, Step
from airflow_quilt_athena.core.provisioning.results_bucket import LIFECYCLE_RULE_ID, FoundBucket, WantedBucket
from airflow_quilt_athena.exceptions import AccessError, ManualActionError
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.aws.objects import MAX_KEYS_PER_DELETE
from airflow_quilt_athena.flows.provisioning.among_results import any_table, find_rows_among, list_databases
from airflow_quilt_athena.flows.provisioning.database import is_ours, observe_database
from airflow_quilt_athena.flows.provisioning.policies import plan_policy_removals
from airflow_quilt_athena.flows.provisioning.provision import carry_out, observe_account
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change
from airflow_quilt_athena.flows.provisioning.results_bucket import observe_results_bucket, replace_our_rule
from airflow_quilt_athena.flows.provisioning.workgroup import plan_workgroup_removal
from airflow_quilt_athena.flows.quilt.refresh_plan import observe_tables

_NOT_THERE = frozenset({"EntityNotFoundException"})
_NO_BUCKET = frozenset({"NoSuchBucket"})


@dataclass(frozen=True, slots=True)
class DeprovisionRequest:
    """What is to go, by the names it was provisioned under."""

    results_bucket: str
    database: str = "quilt_query"
    workgroup: str = "quilt-query"
    policy_name: str = "AthenaQuiltAccess"
    delete_results: bool = False  # the results in the results bucket, and nothing beside them


def deprovision(clients: AwsClients, request: DeprovisionRequest, *, dry_run: bool = False) -> Plan:
    """Take away what is ours; return the plan, carried out unless ``dry_run``."""
    account = observe_account(clients)
    bucket = WantedBucket(request.results_bucket, account.region, account.account_id, None, None)
    changes = (
        *plan_policy_removals(clients, account, request.policy_name),
        plan_workgroup_removal(clients, account, request.workgroup),
        _plan_database_removal(clients, request.database),
        _plan_bucket_removal(clients, bucket, delete_results=request.delete_results),
    )
    return carry_out("Taking away", changes, dry_run=dry_run)


def _nothing() -> None:
    """Leave it as it is."""


def _plan_database_removal(clients: AwsClients, name: str) -> Change:
    found = observe_database(clients, name)
    if found is None:
        return Change(Step.converge("database", name, ()), _nothing)
    if not is_ours(found):
        return Change(Step.keep("database", name, "somebody else made it"), _nothing)
    tables = observe_tables(clients.glue, name)
    if tables:
        why = f"it holds {len(tables)} tables and views; drop them first"
        return Change(Step.keep("database", name, why), _nothing)
    return Change(Step.remove("database", name), lambda: _delete_database(clients, name))


def _delete_database(clients: AwsClients, name: str) -> None:
    # Glue drops a database with all that is in it, and knows no condition.
    if observe_tables(clients.glue, name):
        raise ManualActionError(
            f"Database {name} holds tables or views that were made since it was looked at. It was not "
            "deleted: drop them, or keep it."
        )
    ask_unless(
        _NOT_THERE, lambda: clients.glue.delete_database(Name=name), f"delete database {name} from Glue"
    )


# ------------------------------------------------------------------------------------------- bucket


def _plan_bucket_removal(clients: AwsClients, bucket: WantedBucket, *, delete_results: bool) -> Change:
    found = observe_results_bucket(clients, bucket)
    if found is None:
        return Change(Step.converge("results bucket", bucket.name, ()), _nothing)
    if not found.marked:
        return _plan_rule_removal(clients, bucket, found)
    results, others = 0, 0
    for item in _versions(clients, bucket):
        is_result = item["Key"].startswith(bucket.results.key)
        results, others = results + is_result, others + (not is_result)
    if not results and not others:
        return Change(Step.remove("results bucket", bucket.name), lambda: _delete_bucket(clients, bucket))
    if not delete_results or not results:
        why = f"it holds {results + others} objects"
        why += f", {others} of them beside {bucket.results}" if others else ""
        why += "; delete_results=True deletes them with it" if not others else ""
        return Change(Step.keep("results bucket", bucket.name, why), _nothing)
    _refuse_tables_among_results(clients, bucket)
    details = [Difference("objects", str(results), None)]
    if others:
        details.append(Difference("kept", None, f"it holds {others} objects beside {bucket.results}"))
        step = Step.converge("results bucket", bucket.name, details)
        return Change(step, lambda: _delete_results(clients, bucket))

    def delete() -> None:
        _delete_results(clients, bucket)
        _delete_bucket(clients, bucket)

    return Change(Step.remove("results bucket", bucket.name, details), delete)


def _refuse_tables_among_results(clients: AwsClients, bucket: WantedBucket) -> None:
    """Raise ManualActionError when rows of a table of any database that may be read lie among the results."""
    for what, place in find_rows_among(clients, bucket.results, list_databases(clients), any_table):
        raise ManualActionError(
            f"{what} lies among Athena's results ({place}), which delete_results=True deletes. Nothing "
            "was changed. Move or drop it, or leave delete_results out."
        )


def _plan_rule_removal(clients: AwsClients, bucket: WantedBucket, found: FoundBucket) -> Change:
    rules = found.lifecycle.get("Rules", [])
    if all(rule.get("ID") != LIFECYCLE_RULE_ID for rule in rules):
        return Change(Step.keep("results bucket", bucket.name, "somebody else made it"), _nothing)
    step = Step.converge(
        "results bucket", bucket.name, [Difference(f"lifecycle rule {LIFECYCLE_RULE_ID}", "ours", None)]
    )
    doing = f"take our lifecycle rule from bucket {bucket.name}"
    return Change(step, lambda: replace_our_rule(clients, bucket, None, doing))


def _versions(
    clients: AwsClients, bucket: WantedBucket, *, results_only: bool = False
) -> Iterator[dict[str, str]]:
    """Yield every object of a bucket with its version; in one without versions there is one of each."""
    place = {**bucket.owned, "Prefix": bucket.results.key if results_only else ""}
    pages = clients.s3.get_paginator("list_object_versions").paginate(**place)
    for page in ask(lambda: list(pages), f"list the objects of bucket {bucket.name}"):
        for item in chain(page.get("Versions", ()), page.get("DeleteMarkers", ())):
            yield {"Key": item["Key"], "VersionId": item["VersionId"]}


def _delete_bucket(clients: AwsClients, bucket: WantedBucket) -> None:
    # S3 refuses when there are objects, also those that came since the bucket was looked at.
    ask_unless(_NO_BUCKET, lambda: clients.s3.delete_bucket(**bucket.owned), f"delete bucket {bucket.name}")


def _delete_results(clients: AwsClients, bucket: WantedBucket) -> None:
    _refuse_tables_among_results(clients, bucket)
    for batch in in_batches(list(_versions(clients, bucket, results_only=True)), MAX_KEYS_PER_DELETE):
        request = {"Objects": list(batch), "Quiet": True}
        doing = f"delete {len(batch)} objects of bucket {bucket.name}"
        answer = ask(
            lambda sent=request: clients.s3.delete_objects(**bucket.owned, Delete=sent),  # type: ignore[misc]
            doing,
        )
        for error in answer.get("Errors", ()):  # the answer to the call as a whole is a success
            raise AccessError(
                f"Cannot {doing}: {error['Key']}: {error['Code']}: {error.get('Message')}. Grant the caller "
                "s3:DeleteObjectVersion, or see what else keeps them."
            )
