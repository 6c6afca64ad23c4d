"""Roles that cannot hold one more policy, and roles that can."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.provisioning.attachments import plan_attachments
from tests.unit.flows.provisioning.aws_fake import ACCOUNT, Service, clients


def iam(*, attached: int = 0, quota: int = 10, path: str = "/") -> Service:
    def get_role(RoleName: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        arn = f"arn:aws:iam::123456789012:role{path}{RoleName}"
        return {"Role": {"RoleName": RoleName, "Path": path, "Arn": arn}}

    policies = [{"PolicyArn": f"arn:aws:iam::123456789012:policy/other-{n}"} for n in range(attached)]
    return Service(
        get_role=get_role,
        list_attached_role_policies=lambda **_: {"AttachedPolicies": policies},
        get_account_summary=lambda: {"SummaryMap": {"AttachedPoliciesPerRoleQuota": quota}},
        attach_role_policy=lambda **_: {},
    )


def plan(service: Service) -> list[Any]:
    wanted = [("Access", None), ("Access-2", None)]
    return plan_attachments(clients(iam=service), ACCOUNT, ["worker"], wanted, first=None)


def test_a_role_of_a_service_of_aws_is_refused_before_anything_is_changed() -> None:
    service = iam(path="/aws-service-role/ecs.amazonaws.com/")
    with pytest.raises(InvalidCallError, match="belongs to a service of AWS"):
        plan(service)
    assert [name for name, _ in service.calls] == ["get_role"]


def test_a_role_that_holds_many_policies_gets_ours_where_the_account_allows_more() -> None:
    service = iam(attached=9, quota=20)
    (change,) = plan(service)
    change.apply()
    assert [request["PolicyArn"] for request in service.made("attach_role_policy")] == [
        "arn:aws:iam::123456789012:policy/Access",
        "arn:aws:iam::123456789012:policy/Access-2",
    ]


def test_a_role_that_can_hold_no_more_policies_is_named_with_the_numbers() -> None:
    with pytest.raises(InvalidCallError, match="worker holds 9 managed policies and would need 2 more"):
        plan(iam(attached=9))
