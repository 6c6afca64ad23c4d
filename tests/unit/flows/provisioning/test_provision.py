"""Whose rows lie where results are to expire: asked before the rule is there."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.provisioning.results_bucket import WantedBucket
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, refuse_data_among_results
from tests.unit.flows.provisioning.aws_fake import Service, clients, refusal

BUCKET = WantedBucket("acme-results", "eu-west-1", "123456789012", None, 30)
REQUEST = ProvisionRequest("acme-results", (), database="lake")


def check(tables: dict[str, str], *, hidden: str = "") -> None:
    """Look at databases, each with a table that lies somewhere; one may not be read."""

    def get_tables(**request: Any) -> dict[str, Any]:
        database = request["DatabaseName"]
        if database == hidden:
            raise refusal("AccessDeniedException")
        table = {"Name": "rows", "StorageDescriptor": {"Location": tables[database]}}
        return {"TableList": [table]}

    glue = Service(
        get_databases=lambda **_: {"DatabaseList": [{"Name": name} for name in tables]}, get_tables=get_tables
    )
    refuse_data_among_results(clients(glue=glue), REQUEST, BUCKET, None, database_exists=True)


def test_rows_beside_the_results_do_not_expire_with_them() -> None:
    check({"lake": "s3://acme-results", "other": "s3://acme-results/tables/rows"})


def test_rows_among_the_results_of_anybodys_database_are_refused() -> None:
    with pytest.raises(InvalidCallError, match=r"other.*rows.*lies among Athena\'s results"):
        check({"lake": "s3://acme-results", "other": "s3://acme-results/results/rows"})


def test_a_database_that_may_not_be_read_is_told_unless_it_is_the_one_that_is_provisioned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tables = {"lake": "s3://lake/rows", "other": "s3://acme-results/results/rows"}
    check(tables, hidden="other")
    assert "Whether rows of other lie among the results is not known" in caplog.text
    with pytest.raises(AccessError, match="lake"):
        check(tables, hidden="lake")
