"""The look at a workgroup before a query is paid for: what it decides, and whether it can serve us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.athena.remedies import remedy_for
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.flows.aws.deadline import ask


@dataclass(frozen=True, slots=True)
class SeenWorkgroup:
    """What of a workgroup matters to who runs queries in it."""

    name: str
    enforces_location: bool
    manages_results: bool  # Athena keeps results itself, for 24 hours: no query chooses or has a place


def look_at_workgroup(
    athena: AthenaClient, name: str, learn: Callable[[dict[str, Any]], object] | None = None
) -> SeenWorkgroup:
    """Look. Raises InvalidCallError when there is none, it is disabled, or it is for people alone.

    :param learn: is given Athena's answer, which tells the time.
    """
    try:
        response = ask(lambda: athena.get_work_group(WorkGroup=name), f"read Athena workgroup {name}")
    except InvalidCallError as error:
        raise InvalidCallError(f"{error}{remedy_for(str(error))}") from error
    if learn is not None:
        learn(response)
    described = response["WorkGroup"]
    if described.get("State") == "DISABLED":
        raise InvalidCallError(f"Athena workgroup {name} is disabled. Enable it, or name another.")
    configuration = described.get("Configuration") or {}
    if (configuration.get("IdentityCenterConfiguration") or {}).get("EnableIdentityCenter"):
        raise InvalidCallError(
            f"Athena workgroup {name} is for people who sign in by IAM Identity Center; a task has no such "
            "identity. Name a workgroup that authenticates by IAM."
        )
    managed = (configuration.get("ManagedQueryResultsConfiguration") or {}).get("Enabled")
    return SeenWorkgroup(name, bool(configuration.get("EnforceWorkGroupConfiguration")), bool(managed))


def refuse_managed_results(workgroup: SeenWorkgroup, what: str) -> None:
    """Raise InvalidCallError when Athena keeps the workgroup's results, so that ``what`` has no place."""
    if workgroup.manages_results:
        raise InvalidCallError(
            f"Athena workgroup {workgroup.name} has managed query results: Athena keeps them, and {what}. "
            "Name a workgroup with a result location of its own; ProvisionQuiltAthenaOperator makes one."
        )
