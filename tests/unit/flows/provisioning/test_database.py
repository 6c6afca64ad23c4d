"""What a database of ours remembers of a results bucket that is about to be made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_quilt_athena.core.quilt.ownership import CREATED_BY, CREATED_BY_PARAMETER
from airflow_quilt_athena.flows.provisioning.database import is_begun, plan_database
from tests.unit.flows.provisioning.aws_fake import Service, clients

OURS = {CREATED_BY_PARAMETER: CREATED_BY, "team": "data"}


def database(**parameters: str) -> dict[str, Any]:
    return {
        "Name": "lake",
        "Description": "ours",
        "Parameters": parameters,
        "CreateTime": datetime(2026, 1, 1, tzinfo=UTC),
        "CatalogId": "123456789012",
    }


def test_a_database_of_ours_notes_the_bucket_to_be_made_and_keeps_what_others_noted() -> None:
    glue = Service(update_database=lambda **_: {})
    change = plan_database(clients(glue=glue), "lake", database(**OURS), bucket_to_make="acme-results")
    assert change.step.does_something
    change.apply()
    (request,) = glue.made("update_database")
    noted = {**OURS, "quilt_athena.makes_bucket": "acme-results"}
    assert request == {
        "Name": "lake",
        "DatabaseInput": {"Name": "lake", "Description": "ours", "Parameters": noted},
    }
    assert is_begun(database(**noted), "acme-results")


def test_a_database_that_noted_it_or_is_somebody_elses_is_left_as_it_is() -> None:
    noted = {**OURS, "quilt_athena.makes_bucket": "acme-results"}
    for parameters in (noted, {"team": "data"}):
        glue = Service()
        change = plan_database(
            clients(glue=glue), "lake", database(**parameters), bucket_to_make="acme-results"
        )
        change.apply()
        assert not change.step.does_something
        assert glue.calls == []
