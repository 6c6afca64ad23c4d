"""The managed policies of those who run our operators: found by listing, told by their mark, kept whole.

Rights are given before they are taken: new documents are made and attached, then documents grow, then they
shrink, then those that nobody needs go. Stopped anywhere in between, nobody has less than was granted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.plans import Difference, Step
from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.policy import (
    Grant,
    PolicyDocument,
    buckets_of,
    build_policies,
    check_policy_name,
    number_of,
)
from airflow_quilt_athena.core.provisioning.policy_diff import compare_documents, narrowed
from airflow_quilt_athena.exceptions import ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_settling, ask_unless, unless
from airflow_quilt_athena.flows.provisioning.attachments import detach_all, plan_attachments
from airflow_quilt_athena.flows.provisioning.resources import OUR_TAG, AwsClients, Change, is_ours

MAX_VERSIONS = 5  # IAM user guide, "IAM and AWS STS quotas", read 2026-11
OWNER_TAG = "quilt-athena:policy"  # whose documents these are: the policy_name they were provisioned under
_DESCRIPTION = "Run the operators of airflow-quilt-athena"
# What Quilt's documentation of 2022 makes, "Athena", step II.A.
_SEEDS_DESCRIPTION = "Minimal Athena Access policy for Quilt"
_NOT_THERE = frozenset({"NoSuchEntity"})
_CAME_FIRST = frozenset({"EntityAlreadyExists"})
_FULL = frozenset({"LimitExceeded"})
_STILL_HELD = frozenset({"DeleteConflict"})
_MAX_TRIES = 3
_MAX_SHOWN = 5

NARROWING = "takes away what nothing else grants"


@dataclass(frozen=True, slots=True)
class FoundPolicy:
    """A managed policy whose name is one of ours."""

    number: int
    name: str
    arn: str
    owner: str | None  # the policy_name it was provisioned under; None when somebody else made it
    marked: bool  # whether its owner is written down with it
    seeds: bool  # whether it was made as Quilt's documentation says
    version: str

    def is_of(self, name: str) -> bool:
        """Whether it was provisioned under this name."""
        return self.owner == name


def observe_policies(clients: AwsClients, account: Account, name: str) -> tuple[FoundPolicy, ...]:
    """Return every policy of the account whose name is ``name``, or that and a number.

    Raises ManualActionError when the name itself is taken in another case or under another path.
    """
    check_policy_name(name)
    pages = clients.iam.get_paginator("list_policies").paginate(Scope="Local")
    found = []
    for page in ask(lambda: list(pages), "list the policies of the account"):
        for policy in page["Policies"]:
            number = number_of(policy["PolicyName"], name)
            if number == 1 and policy["Arn"] != account.policy_arn(name):
                raise ManualActionError(
                    f"Policy {name} cannot be made: there is {policy['Arn']}, and IAM takes no two names "
                    "that differ by case or path alone. Nothing was changed. Choose another policy_name, or "
                    "delete that policy."
                )
            if number is not None:
                found.append(_look(clients, number, policy["Arn"]))
    return tuple(sorted((policy for policy in found if policy), key=lambda policy: policy.number))


def _look(clients: AwsClients, number: int, arn: str) -> FoundPolicy | None:
    answer = ask_unless(_NOT_THERE, lambda: clients.iam.get_policy(PolicyArn=arn), f"look at policy {arn}")
    if answer is None:  # gone since it was listed
        return None
    policy = answer["Policy"]
    tags = policy.get("Tags") or []
    owner = next((tag["Value"] for tag in tags if tag["Key"] == OWNER_TAG), None)
    return FoundPolicy(
        number=number,
        name=policy["PolicyName"],
        arn=arn,
        # One without the tag was made before there was one, or has lost it. Nobody can change a description.
        owner=owner or (policy["PolicyName"] if is_ours(tags) or _is_first_of_ours(policy, number) else None),
        marked=owner is not None and is_ours(tags),
        seeds=not is_ours(tags) and policy.get("Description") == _SEEDS_DESCRIPTION,
        version=policy["DefaultVersionId"],
    )


def _is_first_of_ours(policy: Mapping[str, Any], number: int) -> bool:
    # A further document without its tags may be the first of another provisioning: only the tag tells.
    return number == 1 and policy.get("Description") == _DESCRIPTION


def _read(clients: AwsClients, policy: FoundPolicy) -> Mapping[str, Any]:
    answer = ask(
        lambda: clients.iam.get_policy_version(PolicyArn=policy.arn, VersionId=policy.version),
        f"read policy {policy.arn}",
    )
    document: Mapping[str, Any] = answer["PolicyVersion"]["Document"]
    return document


def _tags(name: str) -> list[dict[str, str]]:
    return [OUR_TAG, {"Key": OWNER_TAG, "Value": name}]


# --------------------------------------------------------------------------------------------- plan


def plan_policies(
    clients: AwsClients, account: Account, name: str, grant: Grant, roles: Sequence[str]
) -> list[Change]:
    """Return what has to be done for the grant to be held by the roles, in the order to do it."""
    found = observe_policies(clients, account, name)
    _refuse_foreign(name, found)
    ours = [policy for policy in found if policy.is_of(name) or (policy.number == 1 and policy.seeds)]
    documents = {policy.number: _read(clients, policy) for policy in ours}
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
    return Change(step, lambda: _create(clients, account, name, wanted))


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
    return Change(step, lambda: _converge(clients, name, policy, wanted, rewrite=bool(rewritten)))


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
    return Change(step, lambda: _remove(clients, policy.arn))


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
            changes.append(Change(step, lambda arn=policy.arn: _remove(clients, arn)))  # type: ignore[misc]
        elif policy.number == 1:
            why = "somebody else made it" + ("; what it grants stays granted" if policy.seeds else "")
            changes.append(Change(Step.keep("policy", policy.name, why), lambda: None))
    return changes


# -------------------------------------------------------------------------------------------- apply


def _create(clients: AwsClients, account: Account, name: str, wanted: PolicyDocument) -> None:
    created = ask_unless(
        _CAME_FIRST,
        lambda: clients.iam.create_policy(
            PolicyName=wanted.name,
            PolicyDocument=json.dumps(wanted.document),
            Description=_DESCRIPTION,
            Tags=_tags(name),
        ),
        f"create policy {wanted.name}",
    )
    if created is not None:
        return
    # By an earlier try, whose answer was lost, or by a sister's. IAM may not show it to everybody yet.
    arn = account.policy_arn(wanted.name)
    ask_settling(_NOT_THERE, lambda: clients.iam.get_policy(PolicyArn=arn), f"look at policy {arn}")
    policy = _look(clients, number_of(wanted.name, name) or 1, arn)
    if policy is None or not policy.is_of(name):
        raise ManualActionError(
            f"Policy {arn} was made by somebody else since it was looked at. It was left as it is. "
            "Run the task again to see what is there now."
        )
    if compare_documents(_read(clients, policy), wanted.document):
        _add_version(clients, arn, wanted)


def _converge(
    clients: AwsClients, name: str, policy: FoundPolicy, wanted: PolicyDocument, *, rewrite: bool
) -> None:
    if policy.owner and not policy.marked:
        ask(
            lambda: clients.iam.tag_policy(PolicyArn=policy.arn, Tags=_tags(name)), f"tag policy {policy.arn}"
        )
    if rewrite:
        _add_version(clients, policy.arn, wanted)


def _add_version(clients: AwsClients, arn: str, wanted: PolicyDocument) -> None:
    """Make the document the policy's default version. Attachments stay; the oldest version goes for room."""
    for _ in range(_MAX_TRIES):
        versions = list(_versions(clients, arn))
        if len(versions) >= MAX_VERSIONS:
            oldest = min(
                (version for version in versions if not version["IsDefaultVersion"]),
                key=lambda version: (version["CreateDate"], int(version["VersionId"].lstrip("v"))),
            )
            _delete_version(clients, arn, oldest["VersionId"])
        create = unless(
            _FULL,  # a sister added one meanwhile
            lambda: clients.iam.create_policy_version(
                PolicyArn=arn, PolicyDocument=json.dumps(wanted.document), SetAsDefault=True
            ),
        )
        made = ask_settling(_NOT_THERE, create, f"change policy {arn}")
        if made is not None:
            return
    raise RetryableError(f"Policy {arn} is being changed by others without pause. Run the task again.")


def _versions(clients: AwsClients, arn: str) -> Iterator[Mapping[str, Any]]:
    pages = clients.iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn)
    for page in ask(lambda: list(pages), f"list the versions of policy {arn}"):
        yield from page["Versions"]


def _delete_version(clients: AwsClients, arn: str, version_id: str) -> None:
    ask_unless(
        _NOT_THERE,
        lambda: clients.iam.delete_policy_version(PolicyArn=arn, VersionId=version_id),
        f"delete version {version_id} of policy {arn}",
    )


def _remove(clients: AwsClients, arn: str) -> None:
    detach_all(clients, arn)
    for version in _versions(clients, arn):
        if not version["IsDefaultVersion"]:
            _delete_version(clients, arn, version["VersionId"])
    delete = unless(_NOT_THERE, lambda: clients.iam.delete_policy(PolicyArn=arn))
    ask_settling(_STILL_HELD, delete, f"delete policy {arn}")
