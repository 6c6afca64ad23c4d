"""The arrows of the house, read from the syntax tree: which room may import which, and no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import local_athena

ROOT = Path(local_athena.__file__).parent
# What any room may know: how a refusal is told, how SQL is cut, whose account it is.
SHARED = {"errors", "sql_text", "account"}
# Requests come in at the front and go down: athena, statements, an engine, data. Nothing points back up.
BETWEEN = {"engine", "data"}
ARROWS: dict[str, Set[str]] = {
    "wire": set(),
    "iam": {"wire"},
    "moto_fixes": {"iam", "wire"},
    "front": {"iam", "wire", "data"},
    "athena": {"data"},
    "statements": BETWEEN,
    "engine": {"data"},
    "duck": BETWEEN,
    "trino": BETWEEN,
    "data": set(),
    # What puts the rooms together, and what stands in front of it.
    "server": BETWEEN | {"wire", "iam", "moto_fixes", "front", "athena", "statements", "duck", "trino"},
    "foreground": {"server", "wire"},
    "child": {"server", "wire"},
    "process": {"server", "wire"},
    "": {"process", "wire"},
    "pytest_plugin": {""},
    "conformance": {""},
    "cli": {"foreground", "conformance"},
    "__main__": {"cli"},
    **{room: set() for room in SHARED},
}
INSIDE_DUCK = {
    "errors": set(),
    "json": set(),
    "values": {"errors", "json"},
    "functions": {"errors", "json", "values"},
    "sql": {"errors", "json", "values", "functions"},
    "scans": set(),
    "insert_coercions": {"values"},
    "file_writer": {"insert_coercions"},
    "runtime": {"json", "values"},
    "engine": {"runtime", "file_writer", "sql", "scans"},
}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
MODULES = {".".join(("local_athena", *path.with_suffix("").parts)): path for path in FILES}
MODULES = {module.removesuffix(".__init__"): path for module, path in MODULES.items()}


def imports(path: Path) -> Iterator[str]:
    """Yield what a file imports, wherever in it: the module, or the name in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room is meant"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(path: Path) -> Iterator[str]:
    """Yield the modules of this house that a file imports."""
    for name in imports(path):
        if name.partition(".")[0] == "local_athena":
            yield name if name in MODULES else name.rpartition(".")[0]


def room(module: str) -> str:
    """Return the folder below the house, or the file that lies in none."""
    return (*module.split("."), "")[1]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_arrows(path: Path) -> None:
    own = room(".".join(("local_athena", *path.with_suffix("").parts)).removesuffix(".__init__"))
    for module in modules(path):
        assert module in MODULES, f"{path} imports {module}"
        assert room(module) in ARROWS[own] | SHARED | {own}, f"{path} imports {module}"


DUCK = [path for path in FILES if path.parts[0] == "duck" and path.name != "__init__.py"]


@pytest.mark.parametrize("path", DUCK, ids=str)
def test_the_rooms_of_the_embedded_engine_follow_theirs(path: Path) -> None:
    own = path.with_suffix("").parts[1]
    for module in modules(path):
        if module.startswith("local_athena.duck."):
            other = module.split(".")[2]
            assert other in INSIDE_DUCK[own] | {own}, f"{path} imports {module}"


def test_modules_import_one_another_in_no_circle() -> None:
    graph = {module: set(modules(path)) - {module} for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_of_the_provider_and_nothing_of_airflow_is_imported(path: Path) -> None:
    for name in imports(path):
        assert not name.startswith("airflow"), f"{path} imports {name}"


def test_every_room_has_its_arrows() -> None:
    assert {room(module) for module in MODULES} == set(ARROWS)
    assert {path.with_suffix("").parts[1] for path in DUCK} == set(INSIDE_DUCK)


def test_a_class_has_a_name_of_its_own() -> None:
    """So that a name in a message or a search means one thing; private names are their module's."""
    names = [
        node.name
        for path in FILES
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(set(names)) == sorted(names)


def test_only_the_plugin_knows_pytest() -> None:
    knowing = {
        str(path) for path in FILES if any(name.partition(".")[0] == "pytest" for name in imports(path))
    }
    assert knowing == {"pytest_plugin.py"}
