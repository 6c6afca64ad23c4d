"""What making packages needs, and that no bucket's name widens it."""

from __future__ import annotations

import dataclasses

import pytest

from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.package_policy import build_package_statements
from airflow_quilt_athena.core.provisioning.policy import build_policies
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.core.provisioning.test_arns import GRANT

ACCOUNT = Account("aws", "eu-west-1", "123456789012")


def test_packages_are_written_where_they_are_made_and_objects_read_where_they_lie() -> None:
    found = {one["Sid"]: one for one in build_package_statements(ACCOUNT, ["registry"], ["source"])}
    assert found["WriteManifestsAndPointers"]["Resource"] == [
        "arn:aws:s3:::registry/.quilt/packages/*",
        "arn:aws:s3:::registry/.quilt/named_packages/*",
    ]
    assert found["ReadWorkflows"]["Resource"] == ["arn:aws:s3:::registry/.quilt/workflows/*"]
    assert found["LookAtTheObjectsOfPackages"]["Resource"] == ["arn:aws:s3:::source/*"]
    condition = found["FindRevisionsManifestsAndWorkflows"]["Condition"]
    assert condition["StringLike"]["s3:prefix"] == [
        ".quilt/packages/*",
        ".quilt/named_packages/*",
        ".quilt/workflows/*",
    ]


def test_what_is_named_is_in_the_policy_and_nothing_else_is() -> None:
    nothing = dataclasses.replace(
        GRANT, package_registries=(), package_sources=(), event_queue_arns=(), watched_buckets=()
    )
    (plain,), (whole,) = build_policies("P", nothing), build_policies("P", GRANT)
    more = [one for one in whole.statements if one not in plain.statements]
    assert [one["Sid"] for one in more] == [
        "FindRevisionsManifestsAndWorkflows",
        "WriteManifestsAndPointers",
        "ReadWorkflows",
        "LookAtTheObjectsOfPackages",
        "HearOfRevisions",
        "FindWhatWatchersTold",
        "KeepWhatWatchersTold",
    ]
    assert more[-3]["Resource"] == list(GRANT.event_queue_arns)
    assert more[-1]["Resource"] == ["arn:aws:s3:::acme-watched/.quilt-athena/watchers/*"]
    with pytest.raises(InvalidCallError, match="package_registries is not"):
        dataclasses.replace(GRANT, package_registries=())


@pytest.mark.parametrize("buckets", [(["*"], ["source"]), (["registry"], ["so?rce"]), (["$x"], [])])
def test_a_wildcard_in_a_buckets_name_is_refused(buckets: tuple[list[str], list[str]]) -> None:
    with pytest.raises(InvalidCallError, match="holds a wildcard"):
        build_package_statements(ACCOUNT, *buckets)
