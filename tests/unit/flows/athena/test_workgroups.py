"""The look at a workgroup: who can be served in it, known before a query is paid for."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.athena.workgroups import look_at_workgroup, refuse_managed_results


class Workgroups:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get_work_group(self, WorkGroup: str) -> dict[str, Any]:  # noqa: N803  # boto3's own name
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"WorkGroup": {"Name": WorkGroup, **self.answer}}


NOT_FOUND = ClientError(
    {"Error": {"Code": "InvalidRequestException", "Message": "WorkGroup wg is not found."}}, "GetWorkGroup"
)


def look(answer: Any) -> Any:
    return look_at_workgroup(Workgroups(answer), "wg")  # type: ignore[arg-type]


def test_a_plain_workgroup_serves() -> None:
    seen = look({"State": "ENABLED", "Configuration": {"EnforceWorkGroupConfiguration": True}})
    assert (seen.enforces_location, seen.manages_results) == (True, False)
    assert not look({}).enforces_location


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"State": "DISABLED"}, "disabled"),
        (
            {"Configuration": {"IdentityCenterConfiguration": {"EnableIdentityCenter": True}}},
            "Identity Center",
        ),
        (
            NOT_FOUND,
            "ProvisionQuiltAthenaOperator",
        ),
    ],
)
def test_what_cannot_serve_is_refused_by_name(answer: Any, words: str) -> None:
    with pytest.raises(InvalidCallError, match=rf"(?s)wg.*{words}"):
        look(answer)


def test_managed_results_are_no_place_for_a_table() -> None:
    seen = look({"Configuration": {"ManagedQueryResultsConfiguration": {"Enabled": True}}})
    with pytest.raises(InvalidCallError, match="managed query results"):
        refuse_managed_results(seen, "rows have no place")
    refuse_managed_results(look({"Configuration": {}}), "rows have no place")
