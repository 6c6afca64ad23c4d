from __future__ import annotations

import importlib
import json
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_quilt_athena.provider_info import get_provider_info


def test_the_info_is_such_as_airflow_wants_it() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


# Modules of nothing but what operators are made from.
BASES = {"airflow_quilt_athena.operators.lake", "airflow_quilt_athena.operators.waiting"}


@pytest.mark.parametrize("kind", ["operators", "sensors", "hooks", "triggers"])
def test_every_module_named_can_be_imported(kind: str) -> None:
    for entry in get_provider_info()[kind]:
        for module in entry["python-modules"]:
            importlib.import_module(module)


def test_every_module_of_ours_is_named() -> None:
    root = Path(__file__).parents[2] / "airflow_quilt_athena"
    info = get_provider_info()
    for kind, suffix in (("operators", "Operator"), ("sensors", "Sensor"), ("triggers", "Trigger")):
        named = {module for entry in info[kind] for module in entry["python-modules"]}
        with_classes = {
            f"airflow_quilt_athena.{kind}.{path.stem}"
            for path in (root / kind).glob("*.py")
            if any(
                line.startswith("class ")
                and f"{suffix}(" in line
                and not line.startswith("class QuiltAthenaBase")
                for line in path.read_text().splitlines()
            )
        }
        assert with_classes - BASES == named


def test_links_are_links() -> None:
    for path in get_provider_info()["extra-links"]:
        module, _, name = path.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), name), BaseOperatorLink)
