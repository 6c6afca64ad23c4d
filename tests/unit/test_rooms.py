"""The arrows of the design, read from the syntax tree: who may import whom."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = "airflow_quilt_athena"
ROOT = Path(__file__).parents[2] / PACKAGE
EVERYWHERE = {"exceptions", ""}

ARROWS = {
    "operators": {"operators", "hooks", "triggers", "flows", "core", "links"},
    "sensors": {"sensors", "hooks", "triggers", "flows", "core", "links"},
    "triggers": {"triggers", "hooks", "flows", "core"},
    "hooks": {"hooks", "core"},
    "flows": {"flows", "core"},
    "local": set(),
    "core": {"core"},
    "links": {"core"},
    "provider_info": set(),
    "exceptions": set(),
    "cli": {"local", "core"},
    "": set(),
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


def test_every_room_is_known() -> None:
    assert {_room(path.with_suffix("").parts) for path in FILES} <= set(ARROWS)
