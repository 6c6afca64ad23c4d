"""The Athena workgroup: where results go, which engine, what a query may cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Difference, Step, compare
from airflow_quilt_athena.core.provisioning.policy import Account
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.errors import error_code, error_message
from airflow_quilt_athena.flows.provisioning.resources import OUR_TAG, AwsClients, Change, is_ours

ENGINE_VERSION = "Athena engine version 3"
_DESCRIPTION = "Quilt packages, queried and written by airflow-quilt-athena"
MIN_SCAN_CUTOFF_BYTES = 10_000_000  # Athena API Reference, "WorkGroupConfiguration", read 2026-11


@dataclass(frozen=True, slots=True)
class WantedWorkgroup:
    """What the workgroup is to be."""

    name: str
    account: Account
    results: S3Uri
    kms_key_arn: str | None = None
    scan_cutoff_bytes: int | None = None  # None leaves it as it is

    def __post_init__(self) -> None:
        cutoff = self.scan_cutoff_bytes
        if cutoff is not None and cutoff < MIN_SCAN_CUTOFF_BYTES:
            raise InvalidCallError(
                f"scan_cutoff_bytes is {cutoff:,}; Athena takes at least {MIN_SCAN_CUTOFF_BYTES:,}."
            )

    @property
    def encryption(self) -> dict[str, str] | None:
        """How results are encrypted; None leaves it to the bucket."""
        return {"EncryptionOption": "SSE_KMS", "KmsKey": self.kms_key_arn} if self.kms_key_arn else None

    @property
    def settings(self) -> tuple[tuple[str, object], ...]:
        """What is looked at, in the words of a plan."""
        settings: list[tuple[str, object]] = [
            ("result location", str(self.results)),
            ("enforces its settings", False),
            ("engine version", ENGINE_VERSION),
            ("metrics", True),
        ]
        if self.encryption:
            settings.append(("result encryption", _describe(self.encryption)))
        if self.scan_cutoff_bytes is not None:
            settings.append(("scan cut-off in bytes", self.scan_cutoff_bytes))
        return tuple(settings)


def plan_workgroup(clients: AwsClients, wanted: WantedWorkgroup) -> Change:
    """Look at the workgroup and return what has to be done."""
    found = observe_workgroup(clients, wanted.name)
    if found is None:
        details = [Difference(setting, None, str(value)) for setting, value in wanted.settings]
        step = Step.create("workgroup", wanted.name, details)
        return Change(step, lambda: _create(clients, wanted))
    _refuse_foreign(clients, wanted, found)
    step = Step.converge("workgroup", wanted.name, compare(wanted.settings, _settings_of(found)))
    return Change(step, lambda: _converge(clients, wanted))


def plan_workgroup_removal(clients: AwsClients, account: Account, name: str) -> Change:
    """Return what has to be done for the workgroup to be gone, if it is one that provisioning made."""
    if observe_workgroup(clients, name) is None:
        return Change(Step.converge("workgroup", name, ()), lambda: None)
    if not _is_marked_as_ours(clients, account, name):
        return Change(Step.keep("workgroup", name, "somebody else made it"), lambda: None)
    return Change(
        Step.remove("workgroup", name),
        # With it go its query history and saved queries, as when it is deleted in the console.
        lambda: _ask_unless_told(
            "not found",
            lambda: clients.athena.delete_work_group(WorkGroup=name, RecursiveDeleteOption=True),
            f"delete workgroup {name}",
        ),
    )


def observe_workgroup(clients: AwsClients, name: str) -> Mapping[str, Any] | None:
    """Return the workgroup as GetWorkGroup answers, or None."""
    answer = _ask_unless_told(
        "not found", lambda: clients.athena.get_work_group(WorkGroup=name), f"look at workgroup {name}"
    )
    return None if answer is None else answer["WorkGroup"]


def _ask_unless_told(
    words: str, call: Callable[[], Mapping[str, Any]], doing: str
) -> Mapping[str, Any] | None:
    """Call Athena as ``ask`` does; None when it refuses with ``words``: it has no error of its own for that.

    A second try of a call that landed is refused so: the workgroup is there already, or gone.
    """

    def guarded() -> Mapping[str, Any] | None:
        try:
            return call()
        except ClientError as error:
            if error_code(error) == "InvalidRequestException" and words in error_message(error):
                return None
            raise

    return ask(guarded, doing)


def _settings_of(found: Mapping[str, Any]) -> dict[str, object]:
    configuration = found.get("Configuration", {})
    results = configuration.get("ResultConfiguration", {})
    engine = configuration.get("EngineVersion", {})
    return {
        "result location": results.get("OutputLocation"),
        "enforces its settings": configuration.get("EnforceWorkGroupConfiguration", False),
        # AUTO is as good when it comes to the same engine.
        "engine version": engine.get("EffectiveEngineVersion") or engine.get("SelectedEngineVersion"),
        "metrics": configuration.get("PublishCloudWatchMetricsEnabled", False),
        "result encryption": _describe(results.get("EncryptionConfiguration")),
        "scan cut-off in bytes": configuration.get("BytesScannedCutoffPerQuery"),
    }


def _describe(encryption: Mapping[str, str] | None) -> str | None:
    return " ".join(encryption.values()) if encryption else None


def _refuse_foreign(clients: AwsClients, wanted: WantedWorkgroup, found: Mapping[str, Any]) -> None:
    """Raise ManualActionError when the workgroup is not ours to change."""
    if found.get("State") == "DISABLED":
        raise ManualActionError(
            f"Workgroup {wanted.name} is disabled. Somebody turned it off: enable it, or name another one."
        )
    location = str(_settings_of(found)["result location"] or "")
    ours = _is_marked_as_ours(clients, wanted.account, wanted.name)
    if _settings_of(found)["enforces its settings"] and not (ours and location == str(wanted.results)):
        raise ManualActionError(
            f"Workgroup {wanted.name} enforces its settings, with results at {location or 'no location'}. "
            f"Expected one that does not enforce them: tables are written to places of their own, and "
            f"results to {wanted.results}. Name another workgroup, or turn the enforcement off."
        )
    if location and not ours and S3Uri.parse(location).bucket != wanted.results.bucket:
        raise ManualActionError(
            f"Workgroup {wanted.name} was made by somebody else and sends its results to {location}, not to "
            f"{wanted.results}. Name another workgroup, or the bucket it uses as results_bucket."
        )


def _is_marked_as_ours(clients: AwsClients, account: Account, name: str) -> bool:
    arn = account.arn("athena", f"workgroup/{name}")
    answer = ask(lambda: clients.athena.list_tags_for_resource(ResourceARN=arn), f"read the tags of {name}")
    return is_ours(answer.get("Tags"))


def _create(clients: AwsClients, wanted: WantedWorkgroup) -> None:
    results: dict[str, Any] = {"OutputLocation": str(wanted.results)}
    if wanted.encryption:
        results["EncryptionConfiguration"] = wanted.encryption
    configuration = {**_configuration(wanted), "ResultConfiguration": results}
    _ask_unless_told(
        "already created",
        lambda: clients.athena.create_work_group(
            Name=wanted.name, Description=_DESCRIPTION, Configuration=configuration, Tags=[OUR_TAG]
        ),
        f"create workgroup {wanted.name}",
    )


def _converge(clients: AwsClients, wanted: WantedWorkgroup) -> None:
    results: dict[str, Any] = {"OutputLocation": str(wanted.results)}
    if wanted.encryption:
        results["EncryptionConfiguration"] = wanted.encryption
    updates = {**_configuration(wanted), "ResultConfigurationUpdates": results}
    ask(
        lambda: clients.athena.update_work_group(WorkGroup=wanted.name, ConfigurationUpdates=updates),
        f"change workgroup {wanted.name}",
    )


def _configuration(wanted: WantedWorkgroup) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "EnforceWorkGroupConfiguration": False,
        "PublishCloudWatchMetricsEnabled": True,
        "EngineVersion": {"SelectedEngineVersion": ENGINE_VERSION},
    }
    if wanted.scan_cutoff_bytes is not None:
        configuration["BytesScannedCutoffPerQuery"] = wanted.scan_cutoff_bytes
    return configuration
