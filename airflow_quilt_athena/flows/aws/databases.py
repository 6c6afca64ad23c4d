"""The look at a Glue database before anything is made in it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.errors import error_code


def refuse_unusable_database(glue: GlueClient, name: TableName, table: Table | None) -> None:
    """Raise InvalidCallError when the database of a table is not there, or is a link to another one.

    :param table: the table as it was found; None is one to be made, whose database is looked at.
    """
    if table is not None:
        if table.name.database != name.database:
            raise _is_link(name, table.name.database, table.raw.get("CatalogId"))
        return
    database = _observe(glue, name)
    if database is None:
        raise InvalidCallError(
            f"There is no database {name.database} to make table {name} in. Run ProvisionQuiltAthenaOperator "
            "with that database first, or name one that is there."
        )
    target = database.get("TargetDatabase")
    if target:
        raise _is_link(name, target.get("DatabaseName"), target.get("CatalogId"))


def _observe(glue: GlueClient, name: TableName) -> dict[str, Any] | None:
    request = {"Name": name.database} | ({"CatalogId": name.catalog_id} if name.catalog_id else {})

    def look() -> dict[str, Any] | None:
        try:
            return dict(glue.get_database(**request)["Database"])
        except ClientError as error:
            if error_code(error) == "EntityNotFoundException":
                return None
            raise

    return ask(look, f"read database {name.database} from Glue")


def _is_link(name: TableName, database: object, account: object) -> InvalidCallError:
    of_account = f" of account {account}" if account else ""
    catalog = f" with catalog_id={str(account)!r}" if account else ""
    return InvalidCallError(
        f"Database {name.database} is a resource link to {database}{of_account}; nothing can be made "
        f"in a link. Name the table {database}.{name.table}{catalog}."
    )
