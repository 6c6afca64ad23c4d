"""Workgroups: what they prescribe for their queries, and the store that keeps them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local_athena.athena.paging import take_page
from local_athena.data.s3_uri import InvalidUri, S3Uri
from local_athena.errors import ApiError

PRIMARY = "primary"
ENGINE_VERSION = "Athena engine version 3"
AUTO = "AUTO"
# Engines of workgroups that are kept and told of, and run nothing here: Spark, and what may come.
_KEPT_ENGINES = re.compile(
    r"PySpark engine version \d+|Apache Spark version [\d.]+|Athena engine version [4-9]"
)

# Members of ResultConfiguration and the switch of ResultConfigurationUpdates that removes each.
_RESULT_REMOVALS = {
    "OutputLocation": "RemoveOutputLocation",
    "EncryptionConfiguration": "RemoveEncryptionConfiguration",
    "ExpectedBucketOwner": "RemoveExpectedBucketOwner",
    "AclConfiguration": "RemoveAclConfiguration",
}
_REMOVALS = {
    "BytesScannedCutoffPerQuery": "RemoveBytesScannedCutoffPerQuery",
    "CustomerContentEncryptionConfiguration": "RemoveCustomerContentEncryptionConfiguration",
}
_PLAIN_SETTINGS = (
    "EnforceWorkGroupConfiguration",
    "PublishCloudWatchMetricsEnabled",
    "RequesterPaysEnabled",
    "AdditionalConfiguration",
    "ExecutionRole",
    "EnableMinimumEncryptionConfiguration",
    "BytesScannedCutoffPerQuery",
    "CustomerContentEncryptionConfiguration",
    "ManagedQueryResultsConfiguration",
    "IdentityCenterConfiguration",
)
# Settings that would change where results go or who may see them, in ways nothing here acts out.
_NOT_OFFERED = (("QueryResultsS3AccessGrantsConfiguration", "EnableS3AccessGrants"),)


@dataclass(frozen=True, slots=True)
class WorkGroup:
    """A workgroup as it is at one moment."""

    name: str
    configuration: Mapping[str, Any]
    created: float
    description: str = ""
    state: str = "ENABLED"
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def enforced(self) -> bool:
        """Whether its settings override those of a call."""
        return bool(self.configuration["EnforceWorkGroupConfiguration"])

    @property
    def result_configuration(self) -> Mapping[str, Any]:
        """Where and how results are written, as far as the workgroup says."""
        result: Mapping[str, Any] = self.configuration["ResultConfiguration"]
        return result

    @property
    def scan_cutoff_bytes(self) -> int | None:
        """The most a query may read."""
        return self.configuration.get("BytesScannedCutoffPerQuery")

    @property
    def runs_here(self) -> bool:
        """Whether queries of it can be run: kept are others too, for those who have to tell them apart."""
        managed = self.configuration.get("ManagedQueryResultsConfiguration") or {}
        identities = self.configuration.get("IdentityCenterConfiguration") or {}
        engine = self.engine_version["EffectiveEngineVersion"]
        return engine == ENGINE_VERSION and not (
            managed.get("Enabled") or identities.get("EnableIdentityCenter")
        )

    @property
    def engine_version(self) -> dict[str, str]:
        """The engine version chosen and the one that is used."""
        return dict(self.configuration["EngineVersion"])

    def describe(self) -> dict[str, Any]:
        """Return it as GetWorkGroup does."""
        described: dict[str, Any] = {
            "Name": self.name,
            "State": self.state,
            "Configuration": dict(self.configuration),
            "CreationTime": self.created,
        }
        return described | ({"Description": self.description} if self.description else {})

    def summarize(self) -> dict[str, Any]:
        """Return it as ListWorkGroups does."""
        return {
            "Name": self.name,
            "State": self.state,
            "Description": self.description,
            "CreationTime": self.created,
            "EngineVersion": self.engine_version,
        }


def check_output_location(location: str) -> S3Uri:
    """Return the folder results go to. Raises ApiError when ``location`` is not an S3 path."""
    try:
        uri = S3Uri.parse(location)
    except InvalidUri as error:
        raise _refused("outputLocation is not a valid S3 path.") from error
    return uri.folder


def check_engine_version(requested: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the engine version a workgroup gets when it asks for ``requested``."""
    selected = (requested or {}).get("SelectedEngineVersion", AUTO)
    if selected == AUTO:
        return {"SelectedEngineVersion": AUTO, "EffectiveEngineVersion": ENGINE_VERSION}
    if selected != ENGINE_VERSION and not _KEPT_ENGINES.fullmatch(selected):
        raise _refused(f"Engine version {selected} is not supported. Use {AUTO} or {ENGINE_VERSION}.")
    return {"SelectedEngineVersion": selected, "EffectiveEngineVersion": selected}


def build_configuration(requested: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a new workgroup: what was asked for, and AWS's defaults."""
    _refuse_what_is_not_offered(requested)
    results = dict(requested.get("ResultConfiguration") or {})
    if (requested.get("ManagedQueryResultsConfiguration") or {}).get("Enabled") and results:
        raise _refused("ResultConfiguration and ManagedQueryResultsConfiguration cannot be set together.")
    if "OutputLocation" in results:
        check_output_location(results["OutputLocation"])
    return {
        # AWS's default: a workgroup made without a word enforces its settings.
        "EnforceWorkGroupConfiguration": True,
        "PublishCloudWatchMetricsEnabled": False,
        "RequesterPaysEnabled": False,
        "EnableMinimumEncryptionConfiguration": False,
        **{name: requested[name] for name in _PLAIN_SETTINGS if requested.get(name) is not None},
        "ResultConfiguration": results,
        "EngineVersion": check_engine_version(requested.get("EngineVersion")),
    }


def update_configuration(current: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``current`` after UpdateWorkGroup's ConfigurationUpdates."""
    _refuse_what_is_not_offered(updates)
    changed = dict(current) | {
        name: updates[name] for name in _PLAIN_SETTINGS if updates.get(name) is not None
    }
    managed = updates.get("ManagedQueryResultsConfigurationUpdates")
    if managed is not None:
        changed["ManagedQueryResultsConfiguration"] = {"Enabled": bool(managed.get("Enabled"))}
    for name, switch in _REMOVALS.items():
        if updates.get(switch):
            changed.pop(name, None)
    if updates.get("EngineVersion"):
        changed["EngineVersion"] = check_engine_version(updates["EngineVersion"])
    changed["ResultConfiguration"] = _update_results(
        current["ResultConfiguration"], updates.get("ResultConfigurationUpdates") or {}
    )
    return changed


def _update_results(current: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(current)
    for name, switch in _RESULT_REMOVALS.items():
        if updates.get(switch):
            changed.pop(name, None)
        elif updates.get(name) is not None:
            changed[name] = updates[name]
    if "OutputLocation" in changed:
        check_output_location(changed["OutputLocation"])
    return changed


def _refuse_what_is_not_offered(configuration: Mapping[str, Any]) -> None:
    for name, switch in _NOT_OFFERED:
        if (configuration.get(name) or {}).get(switch):
            raise _refused(f"The local Athena does not offer {name}.")


class WorkGroups:
    """All workgroups of the account. Safe under concurrent calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        primary = build_configuration({"EnforceWorkGroupConfiguration": False})
        self._groups = {PRIMARY: WorkGroup(PRIMARY, primary, created=round(time.time(), 3))}

    def get(self, name: str) -> WorkGroup:
        """Return the workgroup named. Raises ApiError when there is none."""
        with self._lock:
            return self._get(name)

    def create(self, request: Mapping[str, Any]) -> None:
        """Add a workgroup."""
        group = WorkGroup(
            name=request["Name"],
            configuration=build_configuration(request.get("Configuration") or {}),
            created=round(time.time(), 3),
            description=request.get("Description") or "",
            tags={tag["Key"]: tag.get("Value", "") for tag in request.get("Tags") or ()},
        )
        with self._lock:
            if group.name in self._groups:
                raise _refused("WorkGroup is already created")
            self._groups[group.name] = group

    def update(self, request: Mapping[str, Any]) -> None:
        """Change what UpdateWorkGroup names and leave the rest as it is."""
        with self._lock:
            group = self._get(request["WorkGroup"])
            updates = request.get("ConfigurationUpdates") or {}
            description = request.get("Description")
            self._groups[group.name] = replace(
                group,
                configuration=update_configuration(group.configuration, updates),
                description=group.description if description is None else description,
                state=request.get("State") or group.state,
            )

    def page(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a page of workgroups in the order of their names."""
        with self._lock:
            groups = sorted(self._groups.values(), key=lambda group: group.name)
        page, more = take_page(groups, request, scope="workgroups", position=lambda group: group.name)
        return {"WorkGroups": [group.summarize() for group in page], **more}

    def delete(self, name: str) -> None:
        """Remove a workgroup whose contents are gone already."""
        with self._lock:
            self._get(name)
            if name == PRIMARY:
                raise _refused("The primary workgroup cannot be deleted.")
            del self._groups[name]

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        with self._lock:
            group = self._get(name)
            self._groups[name] = replace(group, tags={**group.tags, **tags})

    def remove_tags(self, name: str, keys: Collection[str]) -> None:
        """Remove the tags with the keys named."""
        with self._lock:
            group = self._get(name)
            kept = {key: value for key, value in group.tags.items() if key not in keys}
            self._groups[name] = replace(group, tags=kept)

    def _get(self, name: str) -> WorkGroup:
        group = self._groups.get(name)
        if group is None:
            raise _refused(f"WorkGroup {name} is not found.")
        return group


def _refused(message: str) -> ApiError:
    return ApiError("InvalidRequestException", message)
