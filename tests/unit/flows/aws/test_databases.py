"""The look at a database: nothing can be made in one that is not there, or is a link."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.glue.tables import TableName, parse_table
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.databases import refuse_unusable_database
from tests.unit.athena_fake import client_error


class Databases:
    def __init__(self, database: dict[str, Any] | None) -> None:
        self.database = database
        self.asked: list[dict[str, Any]] = []

    def get_database(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if self.database is None:
            raise client_error("EntityNotFoundException")
        return {"Database": self.database}


def look(database: dict[str, Any] | None, table: Any = None, catalog_id: str | None = None) -> Databases:
    glue = Databases(database)
    refuse_unusable_database(glue, TableName("sales", "orders", catalog_id), table)  # type: ignore[arg-type]
    return glue


def test_a_database_that_is_there_serves_and_is_asked_for_in_its_catalog() -> None:
    assert look({"Name": "sales"}).asked == [{"Name": "sales"}]
    assert look({"Name": "sales"}, catalog_id="111122223333").asked == [
        {"Name": "sales", "CatalogId": "111122223333"}
    ]


def test_one_that_is_not_there_is_refused_with_what_to_run_first() -> None:
    with pytest.raises(InvalidCallError, match=r"no database sales.*ProvisionQuiltAthenaOperator"):
        look(None)


def test_a_link_is_refused_with_the_name_of_what_it_links_to() -> None:
    target = {"CatalogId": "111122223333", "DatabaseName": "theirs"}
    with pytest.raises(
        InvalidCallError, match=r"resource link.*theirs\.orders with catalog_id='111122223333'"
    ):
        look({"Name": "sales", "TargetDatabase": target})


def test_a_table_behind_a_link_is_noticed_without_a_call() -> None:
    there = parse_table({"Name": "orders", "DatabaseName": "theirs", "CatalogId": "111122223333"})
    with pytest.raises(InvalidCallError, match="resource link"):
        look({"Name": "sales"}, there)
    assert look({"Name": "sales"}, parse_table({"Name": "orders", "DatabaseName": "sales"})).asked == []
