"""What has to be done for the policies of those who run our operators to grant what they are to.

Rights are given before they are taken: new documents are made and attached, then documents grow, then they
shrink, then those that nobody needs go. Stopped anywhere in between, nobody has less than was granted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_quilt_athena.core.plans import Difference, Step
from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.policy import Grant, PolicyDocument, buckets_of, build_policies
from airflow_quilt_athena.core.provisioning.policy_diff import compare_documents, narrowed
from airflow_quilt_athena.exceptions import ManualActionError
from airflow_quilt_athena.flows.provisioning.attachments import plan_attachments
from airflow_quilt_athena.flows.provisioning.managed_policies import (
    OWNER_TAG,
    FoundPolicy,
    converge_policy,
    create_policy,
    observe_policies,
    read_document,
    remove_policy,
)
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change

_MAX_SHOWN = 5

NARROWING = "takes away what nothing else grants"


def plan_policies(
    clients: AwsClients, account: Account, name: str, grant: Grant, roles: Sequence[str]
) -> list[Change]:
    """Return what has to be done for the grant to be held by the roles, in the order to do it."""
    found = observe_policies(clients, account, name)
    _refuse_foreign(name, found)
    ours = [policy for policy in found if policy.is_of(name) or (policy.number == 1 and policy.seeds)]
    documents = {policy.number: read_document(clients, policy) for policy in ours}
    wanted = build_policies(
        name,
        grant,
        {number: buckets_of(document) for number, document in documents.items()},
        taken={policy.number for policy in found if policy not in ours},
    )
    by_name = {policy.name: policy for policy in ours}
    new = [document for document in wanted if document.name not in by_name]
    kept = [document for document in wanted if document.name in by_name]
    unneeded = [policy for policy in ours if policy.name not in {document.name for document in kept}]
    first = by_name.get(name)
    attached = [(one.name, by_name[one.name].arn if one in kept else None) for one in wanted]
    granted = [document.document for document in wanted]
    lost = {number: narrowed([document], granted) for number, document in documents.items()}
    return [
        *(_plan_creation(clients, account, name, document) for document in new),
        *plan_attachments(clients, account, roles, attached, first=first.arn if first else None),
        *_plan_changes(clients, name, [(by_name[one.name], one) for one in kept], documents, lost),
        *(_plan_removal(clients, policy, lost[policy.number]) for policy in reversed(unneeded)),
    ]


def _refuse_foreign(name: str, found: Sequence[FoundPolicy]) -> None:
    for policy in found:
        if policy.number == 1 and not policy.is_of(name) and not policy.seeds:
            whose = f"of the provisioning of {policy.owner}" if policy.owner else "made by somebody else"
            raise ManualActionError(
                f"Policy {policy.arn} is {whose}: it does not carry the tag {OWNER_TAG}={name}. Its holders "
                "would lose what it grants. Nothing was changed. Choose another policy_name, or delete it."
            )


def _plan_creation(clients: AwsClients, account: Account, name: str, wanted: PolicyDocument) -> Change:
    step = Step.create("policy", wanted.name, compare_documents({}, wanted.document))
    return Change(step, lambda: create_policy(clients, account, name, wanted))


def _plan_changes(
    clients: AwsClients,
    name: str,
    kept: Sequence[tuple[FoundPolicy, PolicyDocument]],
    documents: Mapping[int, Mapping[str, Any]],
    lost: Mapping[int, Sequence[Difference]],
) -> list[Change]:
    """Return the steps of the documents that are there: those that only grow, then those that shrink.

    The first comes last: where a bucket has to move, it moves out of the first.
    """

    def order(pair: tuple[FoundPolicy, PolicyDocument]) -> tuple[bool, int]:
        policy, wanted = pair
        return bool(narrowed([documents[policy.number]], [wanted.document])), -policy.number

    return [
        _plan_change(clients, name, policy, wanted, documents[policy.number], lost[policy.number])
        for policy, wanted in sorted(kept, key=order)
    ]


def _plan_change(
    clients: AwsClients,
    name: str,
    policy: FoundPolicy,
    wanted: PolicyDocument,
    was: Mapping[str, Any],
    lost: Sequence[Difference],
) -> Change:
    rewritten = compare_documents(was, wanted.document)
    differences = [*rewritten, *_told(lost)]
    if rewritten and policy.seeds:
        differences.insert(0, Difference("adopt", "made as Quilt's documentation says", "changed by us"))
    if policy.owner and not policy.marked:
        differences.append(Difference(f"tag {OWNER_TAG}", None, name))
    step = Step.converge("policy", wanted.name, differences)
    return Change(step, lambda: converge_policy(clients, name, policy, wanted, rewrite=bool(rewritten)))


def _told(lost: Sequence[Difference]) -> tuple[Difference, ...]:
    if not lost:
        return ()
    shown = "; ".join(f"{one.setting} {one.was}" for one in lost[:_MAX_SHOWN])
    more = f"; and {len(lost) - _MAX_SHOWN} more" if len(lost) > _MAX_SHOWN else ""
    return (Difference(NARROWING, shown + more, None),)


def _plan_removal(clients: AwsClients, policy: FoundPolicy, lost: Sequence[Difference]) -> Change:
    # What it grants is granted by the other documents, or not wanted any more.
    details = [Difference("policy", "holds buckets that are in other documents or not named now", None)]
    step = Step.converge("policy", policy.name, [*details, *_told(lost)])
    return Change(step, lambda: remove_policy(clients, policy.arn))


def find_narrowing(changes: Sequence[Change]) -> tuple[str, ...]:
    """Return what a plan takes away that nothing else grants, a line for each document."""
    return tuple(
        f"{change.step.name}: {detail.was}"
        for change in changes
        for detail in change.step.details
        if detail.setting == NARROWING
    )


def plan_policy_removals(clients: AwsClients, account: Account, name: str) -> list[Change]:
    """Return what has to be done for no document of this name's to be left, from the last to the first."""
    changes: list[Change] = []
    for policy in reversed(observe_policies(clients, account, name)):
        if policy.is_of(name):
            step = Step.remove("policy", policy.name)
            changes.append(Change(step, lambda arn=policy.arn: remove_policy(clients, arn)))  # type: ignore[misc]
        elif policy.number == 1:
            why = "somebody else made it" + ("; what it grants stays granted" if policy.seeds else "")
            changes.append(Change(Step.keep("policy", policy.name, why), lambda: None))
    return changes
