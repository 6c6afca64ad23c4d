"""The Athena workgroup: where results go, which engine, what a query may cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Difference, Step, compare
from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.mark import OUR_TAG, is_ours
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.errors import error_code, error_message
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change

ENGINE_VERSION = "Athena engine version 3"
_ENGINE = re.compile(r"Athena engine version (\d+)")
_OLDEST_ENGINE = 3
# What Quilt's documentation of 2022 makes, "Athena", step I.
_SEEDS_DESCRIPTION = "Quilt uses this for Athena SQL Queries"
_NOT_SET = frozenset({"expected bucket owner", "client-side encryption"})  # but mended where they hinder
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
            ("expected bucket owner", self.account.account_id),
            # Its results are files that nobody without the key can read, the task's result_file among them.
            ("client-side encryption", False),
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
        told = [pair for pair in wanted.settings if pair[0] not in _NOT_SET]
        details = [Difference(setting, None, str(value)) for setting, value in told]
        step = Step.create("workgroup", wanted.name, details)
        return Change(step, lambda: _create(clients, wanted))
    _refuse_unusable(wanted.name, found)
    differences = compare(wanted.settings, _settings_of(found, wanted))
    marked = _is_marked_as_ours(clients, wanted.account, wanted.name)
    if not marked and found.get("Description") == _DESCRIPTION:
        _refuse_enforcement(wanted, found)
        lost = Difference(f"tag {OUR_TAG['Key']}", None, OUR_TAG["Value"])
        step = Step.converge("workgroup", wanted.name, (*differences, lost))
        return Change(step, lambda: _mark_and_converge(clients, wanted, found, change=bool(differences)))
    if differences and not marked:
        _refuse_foreign(wanted, found, differences)
        adopted = Difference("adopt", "made as Quilt's documentation says", "changed by us")
        differences = (adopted, *differences)
    elif differences:
        _refuse_enforcement(wanted, found)
    step = Step.converge("workgroup", wanted.name, differences)
    return Change(step, lambda: _converge(clients, wanted, found))


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


def _settings_of(found: Mapping[str, Any], wanted: WantedWorkgroup) -> dict[str, object]:
    configuration = found.get("Configuration", {})
    results = configuration.get("ResultConfiguration", {})
    engine = configuration.get("EngineVersion", {})
    return {
        "result location": results.get("OutputLocation"),
        "enforces its settings": configuration.get("EnforceWorkGroupConfiguration", False),
        # AUTO is as good when it comes to the same engine, and a newer one is not taken back.
        "engine version": ENGINE_VERSION if _engine_will_do(engine) else _engine_name(engine),
        "metrics": configuration.get("PublishCloudWatchMetricsEnabled", False),
        "expected bucket owner": results.get("ExpectedBucketOwner") or wanted.account.account_id,
        "client-side encryption": _is_client_side(results.get("EncryptionConfiguration")),
        "result encryption": _describe(results.get("EncryptionConfiguration")),
        "scan cut-off in bytes": configuration.get("BytesScannedCutoffPerQuery"),
    }


def _engine_name(engine: Mapping[str, str]) -> str | None:
    return engine.get("EffectiveEngineVersion") or engine.get("SelectedEngineVersion")


def _engine_will_do(engine: Mapping[str, str]) -> bool:
    match = _ENGINE.fullmatch(_engine_name(engine) or "")
    return match is not None and int(match[1]) >= _OLDEST_ENGINE


def _describe(encryption: Mapping[str, str] | None) -> str | None:
    if not encryption:
        return None
    return " ".join(encryption[part] for part in ("EncryptionOption", "KmsKey") if encryption.get(part))


def _is_client_side(encryption: Mapping[str, str] | None) -> bool:
    return (encryption or {}).get("EncryptionOption") == "CSE_KMS"


def _refuse_unusable(name: str, found: Mapping[str, Any]) -> None:
    """Raise ManualActionError for a workgroup whose queries would not be such as our operators send."""
    configuration = found.get("Configuration", {})
    engine = _engine_name(configuration.get("EngineVersion", {})) or ""
    managed = configuration.get("ManagedQueryResultsConfiguration") or {}
    identities = configuration.get("IdentityCenterConfiguration") or {}
    if found.get("State") == "DISABLED":
        what = "is disabled. Somebody turned it off: enable it, or name another one"
    elif engine and engine != "AUTO" and not _ENGINE.fullmatch(engine):
        what = f"runs {engine}, which takes no SQL. Name another workgroup"
    elif managed.get("Enabled"):
        what = (
            "has managed query results: they lie in no bucket, and are gone after 24 hours. Name another "
            "workgroup, or turn them off"
        )
    elif identities.get("EnableIdentityCenter"):
        what = (
            "is for identities of IAM Identity Center, which tasks are not. Name another workgroup, without "
            "Identity Center"
        )
    else:
        return
    raise ManualActionError(f"Workgroup {name} {what}. Nothing was changed.")


def _refuse_enforcement(wanted: WantedWorkgroup, found: Mapping[str, Any]) -> None:
    settings = _settings_of(found, wanted)
    location = str(settings["result location"] or "")
    if settings["enforces its settings"] and location != str(wanted.results):
        raise ManualActionError(
            f"Workgroup {wanted.name} enforces its settings, with results at {location or 'no location'}. "
            f"Expected one that does not enforce them: tables are written to places of their own, and "
            f"results to {wanted.results}. Name another workgroup, or turn the enforcement off."
        )


def _refuse_foreign(
    wanted: WantedWorkgroup, found: Mapping[str, Any], differences: Sequence[Difference]
) -> None:
    """Raise ManualActionError for a workgroup that neither we nor Quilt's documentation made."""
    _refuse_enforcement(wanted, found)
    location = str(_settings_of(found, wanted)["result location"] or "")
    seeds = found.get("Description") == _SEEDS_DESCRIPTION
    if not seeds or (location and S3Uri.parse(location).bucket != wanted.results.bucket):
        told = "; ".join(map(str, differences))
        raise ManualActionError(
            f"Workgroup {wanted.name} was made by somebody else, and is not as wanted: {told}. Nothing was "
            "changed. Name another workgroup, change it by hand, or name the bucket it uses as "
            "results_bucket."
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


def _mark_and_converge(
    clients: AwsClients, wanted: WantedWorkgroup, found: Mapping[str, Any], *, change: bool
) -> None:
    arn = wanted.account.arn("athena", f"workgroup/{wanted.name}")
    ask(
        lambda: clients.athena.tag_resource(ResourceARN=arn, Tags=[OUR_TAG]),
        f"tag workgroup {wanted.name}",
    )
    if change:
        _converge(clients, wanted, found)


def _converge(clients: AwsClients, wanted: WantedWorkgroup, found: Mapping[str, Any]) -> None:
    results: dict[str, Any] = {"OutputLocation": str(wanted.results)}
    before = found.get("Configuration", {}).get("ResultConfiguration", {})
    if wanted.encryption:
        results["EncryptionConfiguration"] = wanted.encryption
    elif _is_client_side(before.get("EncryptionConfiguration")):
        results["RemoveEncryptionConfiguration"] = True
    if before.get("ExpectedBucketOwner") not in {None, wanted.account.account_id}:
        results["ExpectedBucketOwner"] = wanted.account.account_id
    updates = {**_configuration(wanted), "ResultConfigurationUpdates": results}
    if _engine_will_do(found.get("Configuration", {}).get("EngineVersion", {})):
        del updates["EngineVersion"]
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
