"""Policies that others make, change or take away in the same moment."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_quilt_athena.core.provisioning.mark import OUR_TAG
from airflow_quilt_athena.core.provisioning.policy import PolicyDocument
from airflow_quilt_athena.exceptions import ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws import deadline
from airflow_quilt_athena.flows.provisioning.managed_policies import (
    OWNER_TAG,
    FoundPolicy,
    converge_policy,
    create_policy,
    observe_policies,
)
from tests.unit.flows.provisioning.aws_fake import ACCOUNT, Service, clients, refusal

ARN = "arn:aws:iam::123456789012:policy/Access"
WANTED = PolicyDocument(
    "Access", ({"Sid": "Look", "Effect": "Allow", "Action": ["glue:GetTable"], "Resource": ["*"]},)
)
OURS = [OUR_TAG, {"Key": OWNER_TAG, "Value": "Access"}]
OUR_POLICY = FoundPolicy(1, "Access", ARN, "Access", marked=True, seeds=False, version="v1")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_FIRST_PAUSE_SECONDS", 0.0)


def policy(tags: list[dict[str, str]]) -> dict[str, Any]:
    return {"Policy": {"PolicyName": "Access", "Arn": ARN, "Tags": tags, "DefaultVersionId": "v1"}}


def versions(count: int) -> dict[str, Any]:
    return {
        "Versions": [
            {
                "VersionId": f"v{number}",
                "IsDefaultVersion": number == count,
                "CreateDate": datetime(2026, 1, number, tzinfo=UTC),
            }
            for number in range(1, count + 1)
        ]
    }


def test_a_policy_that_goes_between_two_looks_is_not_there() -> None:
    listed = {"Policies": [{"PolicyName": "Access", "Arn": ARN}]}
    iam = Service(list_policies=[listed], get_policy=[refusal("NoSuchEntity")])
    assert observe_policies(clients(iam=iam), ACCOUNT, "Access") == ()


def test_a_policy_somebody_else_makes_meanwhile_is_left_as_it_is() -> None:
    iam = Service(
        create_policy=[refusal("EntityAlreadyExists")],
        get_policy=lambda **_: policy([{"Key": "team", "Value": "other"}]),
    )
    with pytest.raises(ManualActionError, match="was made by somebody else since it was looked at"):
        create_policy(clients(iam=iam), ACCOUNT, "Access", WANTED)
    assert [name for name, _ in iam.calls] == ["create_policy", "get_policy", "get_policy"]


def test_a_policy_an_earlier_try_made_with_another_document_gets_the_one_wanted() -> None:
    other = {"Version": "2012-10-17", "Statement": []}
    iam = Service(
        create_policy=[refusal("EntityAlreadyExists")],
        get_policy=lambda **_: policy(OURS),
        get_policy_version=[{"PolicyVersion": {"Document": other}}],
        list_policy_versions=[versions(1)],
        create_policy_version=[{}],
    )
    create_policy(clients(iam=iam), ACCOUNT, "Access", WANTED)
    (request,) = iam.made("create_policy_version")
    assert (request["PolicyArn"], request["SetAsDefault"]) == (ARN, True)
    assert json.loads(request["PolicyDocument"])["Statement"][0]["Action"] == ["glue:GetTable"]


def test_a_policy_an_earlier_try_made_as_wanted_is_not_written_again() -> None:
    iam = Service(
        create_policy=[refusal("EntityAlreadyExists")],
        get_policy=lambda **_: policy(OURS),
        get_policy_version=[{"PolicyVersion": {"Document": WANTED.document}}],
    )
    create_policy(clients(iam=iam), ACCOUNT, "Access", WANTED)
    assert iam.calls[-1][0] == "get_policy_version"


def test_a_version_that_a_sister_adds_meanwhile_makes_room_once_more() -> None:
    iam = Service(
        list_policy_versions=[versions(4), versions(5)],
        create_policy_version=[refusal("LimitExceeded"), {}],
        delete_policy_version=[{}],
    )
    converge_policy(clients(iam=iam), "Access", OUR_POLICY, WANTED, rewrite=True)
    assert iam.made("delete_policy_version") == [{"PolicyArn": ARN, "VersionId": "v1"}]
    assert len(iam.made("create_policy_version")) == 2


def test_a_policy_that_is_never_at_rest_is_left_to_a_later_run() -> None:
    iam = Service(
        list_policy_versions=lambda **_: versions(4),
        create_policy_version=[refusal("LimitExceeded") for _ in range(3)],
    )
    with pytest.raises(RetryableError, match="is being changed by others without pause"):
        converge_policy(clients(iam=iam), "Access", OUR_POLICY, WANTED, rewrite=True)
