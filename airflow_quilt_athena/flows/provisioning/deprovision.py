"""Take away what provisioning made, and no more: observe, plan, apply. Knows no Airflow.

What provisioning made carries its mark. What was there before is left as it is, but for the one rule that
provisioning had added to somebody else's bucket. Nothing that holds data goes, unless told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from airflow_quilt_athena.core.plans import Difference, Plan, Step
from airflow_quilt_athena.core.quilt.drift import CREATED_BY, CREATED_BY_PARAMETER
from airflow_quilt_athena.exceptions import AccessError, ManualActionError
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.aws.objects import MAX_KEYS_PER_DELETE
from airflow_quilt_athena.flows.provisioning.policies import plan_policy_removals
from airflow_quilt_athena.flows.provisioning.provision import carry_out, observe_account
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change, is_ours
from airflow_quilt_athena.flows.provisioning.results_bucket import (
    LIFECYCLE_RULE_ID,
    WantedBucket,
    observe_results_bucket,
)
from airflow_quilt_athena.flows.provisioning.workgroup import plan_workgroup_removal
from airflow_quilt_athena.flows.quilt.bucket_views import observe_tables

_NOT_THERE = frozenset({"EntityNotFoundException"})
_NO_TAGS = frozenset({"NoSuchTagSet", "NoSuchTagSetError"})
_NO_BUCKET = frozenset({"NoSuchBucket"})


@dataclass(frozen=True, slots=True)
class DeprovisionRequest:
    """What is to go, by the names it was provisioned under."""

    results_bucket: str
    database: str = "quilt_query"
    workgroup: str = "quilt-query"
    policy_name: str = "AthenaQuiltAccess"
    delete_results: bool = False  # the objects in the results bucket, all of them


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
    found = ask_unless(
        _NOT_THERE, lambda: clients.glue.get_database(Name=name), f"look at database {name} in Glue"
    )
    if found is None:
        return Change(Step.converge("database", name, ()), _nothing)
    if (found["Database"].get("Parameters") or {}).get(CREATED_BY_PARAMETER) != CREATED_BY:
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
    if not _is_marked_as_ours(clients, bucket):
        return _plan_rule_removal(clients, bucket, found.lifecycle)
    count = sum(1 for _ in _versions(clients, bucket))
    if count and not delete_results:
        why = f"it holds {count} objects; delete_results=True deletes them with it"
        return Change(Step.keep("results bucket", bucket.name, why), _nothing)
    details = [Difference("objects", str(count), None)] if count else []
    step = Step.remove("results bucket", bucket.name, details)
    return Change(step, lambda: _delete_bucket(clients, bucket, delete_results=delete_results))


def _is_marked_as_ours(clients: AwsClients, bucket: WantedBucket) -> bool:
    answer = ask_unless(
        _NO_TAGS,
        lambda: clients.s3.get_bucket_tagging(**bucket.owned),
        f"read the tags of bucket {bucket.name}",
    )
    return is_ours((answer or {}).get("TagSet"))


def _plan_rule_removal(clients: AwsClients, bucket: WantedBucket, lifecycle: Any) -> Change:
    rules = lifecycle.get("Rules", [])
    others = [rule for rule in rules if rule.get("ID") != LIFECYCLE_RULE_ID]
    if len(others) == len(rules):
        return Change(Step.keep("results bucket", bucket.name, "somebody else made it"), _nothing)
    step = Step.converge(
        "results bucket", bucket.name, [Difference(f"lifecycle rule {LIFECYCLE_RULE_ID}", "ours", None)]
    )
    return Change(step, lambda: _put_rules(clients, bucket, others))


def _put_rules(clients: AwsClients, bucket: WantedBucket, rules: list[Any]) -> None:
    doing = f"take our lifecycle rule from bucket {bucket.name}"
    if rules:
        ask(
            lambda: clients.s3.put_bucket_lifecycle_configuration(
                **bucket.owned, LifecycleConfiguration={"Rules": rules}
            ),
            doing,
        )
    else:
        ask(lambda: clients.s3.delete_bucket_lifecycle(**bucket.owned), doing)


def _versions(clients: AwsClients, bucket: WantedBucket) -> Iterator[dict[str, str]]:
    """Yield every object of a bucket with its version; in one without versions there is one of each."""
    pages = clients.s3.get_paginator("list_object_versions").paginate(**bucket.owned)
    for page in ask(lambda: list(pages), f"list the objects of bucket {bucket.name}"):
        for item in chain(page.get("Versions", ()), page.get("DeleteMarkers", ())):
            yield {"Key": item["Key"], "VersionId": item["VersionId"]}


def _delete_bucket(clients: AwsClients, bucket: WantedBucket, *, delete_results: bool) -> None:
    if delete_results:
        _delete_objects(clients, bucket)
    # S3 refuses when there are objects, also those that came since the bucket was looked at.
    ask_unless(_NO_BUCKET, lambda: clients.s3.delete_bucket(**bucket.owned), f"delete bucket {bucket.name}")


def _delete_objects(clients: AwsClients, bucket: WantedBucket) -> None:
    for batch in in_batches(list(_versions(clients, bucket)), MAX_KEYS_PER_DELETE):
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
