"""A registry's workflows, checked by quilt3's own code, which reads by the client that is handed in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import EllipsisType
from typing import Any, NamedTuple

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.package_entries import Entry
from airflow_quilt_athena.core.quilt.package_json import parse_json
from airflow_quilt_athena.core.quilt.package_request import PackageRequest
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.objects import list_objects

_CONFIG = ".quilt/workflows/config.yml"  # quilt3 8.0.0, backends/base.py


class WorkflowConfig(NamedTuple):
    """The configuration of a registry's workflows as it was read."""

    body: bytes
    place: S3Uri
    version_id: str | None


def read_workflows(s3: S3Client, registry: str) -> WorkflowConfig | None:
    """Return the configuration of a registry's workflows, or None when there is none."""
    place = S3Uri(registry, _CONFIG)

    def read() -> WorkflowConfig:
        answer = s3.get_object(Bucket=registry, Key=_CONFIG)
        return WorkflowConfig(answer["Body"].read(), place, answer.get("VersionId"))

    # By a listing first: reading what is not there may be refused.
    if not any(listed.key == _CONFIG for listed in islice(list_objects(s3, place, page_size=1), 1)):
        return None
    return ask(read, f"read the workflows of registry s3://{registry}, {place}")


def check_workflow(
    s3: S3Client, config: WorkflowConfig | None, request: PackageRequest, entries: Iterable[Entry]
) -> dict[str, Any] | None:
    """Check a package against the workflow asked for; return what its header keeps of it.

    :raises InvalidCallError: when the package does not fit, in quilt3's words.
    """
    if config is None:
        if isinstance(request.workflow, EllipsisType):
            return None
        raise InvalidCallError(
            f"workflow is {request.workflow!r}, and registry s3://{request.registry} has no {_CONFIG}. Leave "
            "workflow out, or name a registry that has workflows."
        )
    workflows, util = _import_quilt3()
    try:
        validator = _load(s3, config, workflows, util).get_workflow_validator(request.workflow)
        kept: dict[str, Any] = validator.validate(
            name=request.package, pkg=_Package(request.metadata, entries), message=request.message
        )
    except util.QuiltException as error:
        raise InvalidCallError(
            f"Package {request.title} does not fit the registry's workflow, {config.place}: {error}"
        ) from error
    return kept


class _Package:
    """As much of a ``quilt3.Package`` as a workflow looks at."""

    def __init__(self, metadata: Any, entries: Iterable[Entry]) -> None:
        self.meta = {} if metadata is None else metadata
        self._entries = entries

    def walk(self) -> Iterator[tuple[str, _Sized]]:
        """Yield the entries with their logical keys."""
        for entry in self._entries:
            meta = {} if entry.meta == "{}" else parse_json(entry.meta).get("user_meta", {})
            yield entry.logical_key, _Sized(entry.size, meta)


class _Sized(NamedTuple):
    size: int
    meta: Mapping[str, Any]


def _load(s3: S3Client, config: WorkflowConfig, workflows: Any, util: Any) -> Any:
    """Return quilt3's configuration, which reads its schemas by our client and not by quilt3's."""

    class Config(workflows.WorkflowConfig):  # type: ignore[misc]  # quilt3 is untyped
        def load_schema(self, schema_pk: Any) -> tuple[bytes, Any]:
            return _read(s3, schema_pk, util)

    with tempfile.TemporaryDirectory(prefix="quilt-workflows-") as folder:
        path = Path(folder) / "config.yml"
        path.write_bytes(config.body)
        loaded = Config.load(util.PhysicalKey.from_path(path))
    # What the header keeps is where the configuration really is.
    loaded.physical_key = util.PhysicalKey(config.place.bucket, config.place.key, config.version_id)
    return loaded


def _read(s3: S3Client, place: Any, util: Any) -> tuple[bytes, Any]:
    request = {"Bucket": place.bucket, "Key": place.path}
    if place.version_id:
        request["VersionId"] = place.version_id

    def read() -> tuple[bytes, Any]:
        answer = s3.get_object(**request)
        version_id = place.version_id or answer.get("VersionId")
        return answer["Body"].read(), util.PhysicalKey(place.bucket, place.path, version_id)

    return ask(read, f"read the workflow's schema {place}")


def _import_quilt3() -> tuple[Any, Any]:
    try:
        from quilt3 import util, workflows
    except ImportError as error:
        raise InvalidCallError(
            "The registry has workflows, which quilt3 checks, and quilt3 is not installed. Install "
            "airflow-quilt-athena[quilt]."
        ) from error
    return workflows, util
