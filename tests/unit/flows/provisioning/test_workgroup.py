"""Workgroups as others left them: refused where queries would not do, mended where they would."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.provisioning.mark import OUR_TAG
from airflow_quilt_athena.exceptions import ManualActionError
from airflow_quilt_athena.flows.provisioning.workgroup import WantedWorkgroup, plan_workgroup
from tests.unit.flows.provisioning.aws_fake import ACCOUNT, Service, clients

WANTED = WantedWorkgroup("quilt", ACCOUNT, S3Uri("acme-results", "results/"))
AS_WANTED = {
    "ResultConfiguration": {"OutputLocation": "s3://acme-results/results/"},
    "EnforceWorkGroupConfiguration": False,
    "PublishCloudWatchMetricsEnabled": True,
    "EngineVersion": {"SelectedEngineVersion": "Athena engine version 3"},
}


def athena(tags: list[dict[str, str]], description: str = "ours", **configuration: Any) -> Service:
    found = {
        "Name": "quilt",
        "State": "ENABLED",
        "Description": description,
        "Configuration": {**AS_WANTED, **configuration},
    }
    return Service(
        get_work_group=lambda **_: {"WorkGroup": found},
        list_tags_for_resource=lambda **_: {"Tags": tags},
        update_work_group=lambda **_: {},
        tag_resource=lambda **_: {},
    )


def updates(service: Service) -> list[dict[str, Any]]:
    plan_workgroup(clients(athena=service), WANTED).apply()
    return [request["ConfigurationUpdates"] for request in service.made("update_work_group")]


def test_a_workgroup_whose_results_lie_in_no_bucket_is_refused() -> None:
    service = athena([OUR_TAG], ManagedQueryResultsConfiguration={"Enabled": True})
    with pytest.raises(ManualActionError, match="quilt has managed query results: they lie in no bucket"):
        updates(service)


def test_an_engine_too_old_is_replaced_and_one_that_will_do_stays() -> None:
    old = {"SelectedEngineVersion": "Athena engine version 2"}
    (sent,) = updates(athena([OUR_TAG], EngineVersion=old))
    assert sent["EngineVersion"] == {"SelectedEngineVersion": "Athena engine version 3"}
    (sent,) = updates(athena([OUR_TAG], PublishCloudWatchMetricsEnabled=False))
    assert "EngineVersion" not in sent


def test_a_workgroup_of_ours_that_lost_its_tag_is_tagged_and_mended_where_it_differs() -> None:
    ours = "Quilt packages, queried and written by airflow-quilt-athena"
    service = athena([], ours)
    assert updates(service) == []
    assert service.made("tag_resource")[0]["Tags"] == [OUR_TAG]
    service = athena([], ours, PublishCloudWatchMetricsEnabled=False)
    (sent,) = updates(service)
    assert sent["PublishCloudWatchMetricsEnabled"] is True
    assert [name for name, _ in service.calls][-2:] == ["tag_resource", "update_work_group"]
