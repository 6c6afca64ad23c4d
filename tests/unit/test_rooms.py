"""The arrows of the design, read from the syntax tree: who may import whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "airflow_quilt_athena"
ROOT = Path(__file__).parents[2] / PACKAGE
EVERYWHERE = {"exceptions", ""}

ARROWS = {
    "operators": {"operators", "hooks", "triggers", "flows", "core", "links", "arguments"},
    # In Airflow a sensor is an operator: both are made of operators.base.
    "sensors": {"sensors", "operators", "hooks", "triggers", "flows", "core", "links", "arguments"},
    "arguments": {"core"},
    "triggers": {"triggers", "hooks", "flows", "core"},
    "hooks": {"hooks", "flows", "core"},  # what botocore raises is told in one place
    "plugins": {"plugins", "hooks", "triggers", "flows", "core"},
    "flows": {"flows", "core"},
    "local": set(),
    "core": {"core"},
    "links": {"core"},
    "package_events": set(),
    "provider_info": set(),
    "exceptions": set(),
    "cli": {"local", "core"},
    "": set(),
}


# Inside core and flows: what each capability may know of its neighbours. The exceptions are named.
CAPABILITIES = {
    "core": {
        "arguments": set(),
        "names": {"arguments", "glue", "overwrite", "quilt"},  # a table's name is none of an overwrite's own
        "athena": {"arguments", "glue"},  # console pages tell of places in S3; parameters are judged
        "glue": {"arguments", "athena"},  # tables are quoted in SQL
        "overwrite": {
            "arguments",
            "names",
            "athena",
            "glue",
            "quilt",
        },  # {revisions} and {entries} are Quilt's
        "quilt": {"athena", "glue"},
        "provisioning": {"athena", "glue", "quilt"},  # a policy grants what Quilt's tables read
        "plans": set(),
    },
    "flows": {
        "aws": set(),
        "athena": {"aws"},
        "overwrite": {"aws", "athena", "quilt"},  # the revisions of an interval
        "quilt": {"aws", "athena"},
        "kept": {"aws", "athena", "overwrite", "quilt"},  # Quilt's rows, written by overwrites
        "provisioning": {"aws", "athena", "quilt"},  # whose tables teardown has to look at
    },
}


def _imports(source: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _room(parts: tuple[str, ...]) -> str:
    return parts[0] if parts and parts != ("__init__",) else ""


FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_arrows(path: Path) -> None:
    room = _room(path.with_suffix("").parts)
    for name in _imports((ROOT / path).read_text()):
        top, _, rest = name.partition(".")
        if top == PACKAGE:
            other = _room(tuple(rest.split("."))) if rest else ""
            other = other if other in ARROWS else ""  # `from airflow_quilt_athena import __version__`
            assert other == room or other in EVERYWHERE or other in ARROWS[room], f"{path} imports {name}"
        elif room in {"core", "exceptions"}:
            assert top in sys.stdlib_module_names, f"{path}: {room} is pure, but imports {name}"
        elif room == "flows":
            assert top != "airflow", f"{path}: {room} knows no Airflow, but imports {name}"


INSIDE = [path for path in FILES if path.parts[0] in CAPABILITIES and path.stem != "__init__"]


@pytest.mark.parametrize("path", INSIDE, ids=str)
def test_capabilities_know_only_the_neighbours_that_are_named(path: Path) -> None:
    house, room = path.with_suffix("").parts[:2]
    for name in _imports((ROOT / path).read_text()):
        if name.startswith(f"{PACKAGE}.{house}."):
            other = name.split(".")[2]
            assert other in {room, "plans"} | CAPABILITIES[house][room], f"{path} imports {name}"


def test_modules_import_one_another_in_no_circle() -> None:
    known = {f"{PACKAGE}.{'.'.join(path.with_suffix('').parts)}": path for path in FILES}
    edges = {
        module: {name for found in _imports((ROOT / path).read_text()) for name in _modules(found, known)}
        for module, path in known.items()
        if path.parts[0] != "local"
    }
    order = TopologicalSorter(edges)
    order.prepare()  # raises CycleError, which names the circle


def _modules(found: str, known: Mapping[str, Path]) -> set[str]:
    return {found, found.rpartition(".")[0]} & known.keys()


def test_every_room_is_known() -> None:
    assert {_room(path.with_suffix("").parts) for path in FILES} <= set(ARROWS)
