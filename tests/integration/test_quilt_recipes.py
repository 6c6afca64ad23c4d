"""The recipes of docs/quilt-tables.md, run as they stand; what is expected comes from quilt3."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from local_athena import LocalAthena
from tests.integration.quilt_registry import BASE, DAY, Registry, push, reached_by_quilt3

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "quilt-tables.md"
RECIPES: dict[str, str] = dict(
    re.findall(r"```sql\n-- ([^\n]+)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
)
SEED = {"NucMembSegmentationAlgorithmVersion": "1.3.2"}


class World:
    """Two buckets with what the recipes look for, and what is in them according to quilt3."""

    def __init__(self, aws: LocalAthena) -> None:
        self.one, self.two = Registry(aws), Registry(aws)
        self.packages: dict[str, Any] = {}
        uri = self.one.uri
        with reached_by_quilt3(aws) as quilt3:
            self.first = push(
                quilt3, uri, "team/plates",
                {"a.csv": ("a", {"v": 1}), "b.csv": ("b", {}), "c.csv": ("c", {}), "m.csv": ("m", {"v": 1})},
                at=BASE, message="first",
            )  # fmt: skip
            self.second = push(
                quilt3, uri, "team/plates",
                {"a.csv": ("a", {"v": 1}), "b.csv": ("B!", {}), "d.csv": ("d", {}), "m.csv": ("m", {"v": 2})},
                at=BASE + DAY, message="second",
            )  # fmt: skip
            push(quilt3, uri, "team/rolled", {"x.txt": ("xxx", {"kind": "image"})}, at=BASE + 1)
            old = push(quilt3, uri, "cells/images", cells(), at=BASE + 2, message="cells")
            push(quilt3, uri, "cells/images", {"other.tiff": ("o", SEED)}, at=BASE + DAY)
            quilt3.Package.rollback("cells/images", uri, old)
            push(quilt3, self.two.uri, "theirs/copy", {"again.csv": ("d", {})}, at=BASE)
            for registry in (self.one, self.two):
                registry.refresh()
                names = quilt3.list_packages(registry.uri)
                self.packages[registry.bucket] = {
                    name: quilt3.Package.browse(name, registry=registry.uri) for name in names
                }
            self.versions = {
                name: dict(quilt3.list_package_versions(name, uri)) for name in quilt3.list_packages(uri)
            }

    def files(self, registry: Registry | None = None) -> list[tuple[str, str, Any]]:
        """All files of all packages now."""
        packages = self.packages[(registry or self.one).bucket]
        return [(name, key, entry) for name, package in packages.items() for key, entry in package.walk()]

    def run(self, recipe: str, **values: str) -> list[tuple[str | None, ...]]:
        """Run a recipe, its names of buckets filled in."""
        sql = RECIPES[recipe].format(**values) if values else RECIPES[recipe]
        for example, registry in (("my_bucket", self.one), ("other_bucket", self.two)):
            stem = registry.names.current.removesuffix("_quilt_current")
            sql = sql.replace(f"{example}_quilt", f"{registry.lab.database}.{stem}_quilt")
        return sorted(self.one.rows(sql), key=repr)


def cells() -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "numbers.tiff": ("1", SEED | {"CellIndex": [4, 5]}),
        "texts.tiff": ("2", SEED | {"CellIndex": ["5"]}),
        "others.tiff": ("3", SEED | {"CellIndex": [15, 50]}),
        "newer.tiff": ("4", {"NucMembSegmentationAlgorithmVersion": "2.0", "CellIndex": [5]}),
        "five.csv": ("5", SEED | {"CellIndex": [5], "kind": "image"}),
        "none.tiff": ("6", {}),
    }


@pytest.fixture(scope="module")
def world(aws: LocalAthena) -> World:
    return World(aws)


def test_every_recipe_is_run_by_a_test() -> None:
    source = Path(__file__).read_text()
    assert set(RECIPES) == set(re.findall(r'world\.run\(\s*"([^"]+)"', source))
    assert len(RECIPES) == 9


def test_files_by_metadata(world: World) -> None:
    expected = [
        (name, key, str(entry.size))
        for name, key, entry in world.files()
        if entry.meta.get("kind") == "image"
    ]
    assert world.run("files by metadata") == sorted(expected, key=repr)
    assert len(expected) == 2


def test_the_question_of_the_documentation(world: World) -> None:
    found = world.run("tiff files of algorithm 1.3 with cell index 5")
    expected = [
        (name, key, str(entry.physical_key))
        for name, key, entry in world.files()
        if key.endswith(".tiff")
        and str(entry.meta.get("NucMembSegmentationAlgorithmVersion", "")).startswith("1.3")
        and {5, "5"} & set(entry.meta.get("CellIndex", []))
    ]
    assert found == sorted(expected, key=repr)
    assert [key for _, key, _ in found] == ["numbers.tiff", "texts.tiff"]


def test_latest_and_newest_of_each_package(world: World) -> None:
    latest = {name: top_hash for name, _, top_hash, _ in world.run("latest of each package")}
    assert latest == {name: versions["latest"] for name, versions in world.versions.items()}
    newest = {name: top_hash for name, _, top_hash in world.run("newest of each package")}
    assert newest == {
        name: max((pointer, top_hash) for pointer, top_hash in versions.items() if pointer.isdigit())[1]
        for name, versions in world.versions.items()
    }
    assert latest != newest  # one was rolled back


def test_differences_between_two_revisions(world: World) -> None:
    found = world.run("differences between two revisions", first=world.first, second=world.second)
    assert found == [
        ("b.csv", "changed"),
        ("c.csv", "removed"),
        ("d.csv", "added"),
        ("m.csv", "metadata changed"),
    ]


def test_sizes_by_team(world: World) -> None:
    sizes: Counter[str] = Counter()
    files: Counter[str] = Counter()
    places: dict[tuple[str, str], int] = {}
    for name, _, entry in world.files():
        team = name.split("/")[0]
        sizes[team] += entry.size
        files[team] += 1
        places[team, str(entry.physical_key)] = entry.size
    assert world.run("sizes by team") == [
        (team, str(files[team]), str(sizes[team]), "0") for team in sorted(sizes)
    ]
    once: Counter[str] = Counter()
    for (team, _), size in places.items():
        once[team] += size
    assert world.run("sizes by team, each object once") == [(team, str(once[team])) for team in sorted(once)]


def test_joins_across_buckets(world: World) -> None:
    expected = [
        (name, key, other, other_key)
        for name, key, entry in world.files()
        for other, other_key, theirs in world.files(world.two)
        if entry.hash == theirs.hash
    ]
    assert world.run("joins across buckets") == sorted(expected, key=repr)
    assert ("team/plates", "d.csv", "theirs/copy", "again.csv") in expected


def test_from_rows_to_a_package(world: World) -> None:
    from quilt3.packages import PackageEntry
    from quilt3.util import PhysicalKey

    rows = world.run("rows for a package")
    with reached_by_quilt3(world.one.aws) as quilt3:
        package = quilt3.Package()
        for logical_key, physical_key, size, hash_type, hash_value, meta in rows:
            place = PhysicalKey.from_url(str(physical_key))
            entry = PackageEntry(
                place, int(str(size)), {"type": hash_type, "value": hash_value}, json.loads(str(meta))
            )
            package.set(str(logical_key), entry)
        package.push("team/csv-files", registry=world.one.uri, selector_fn=lambda *_: False)
        pushed = quilt3.Package.browse("team/csv-files", registry=world.one.uri)
        quilt3.delete_package("team/csv-files", registry=world.one.uri)
    assert {key: (entry.hash, entry.size) for key, entry in pushed.walk()} == {
        f"{name}/{key}": (entry.hash, entry.size)
        for name, key, entry in world.files()
        if key.endswith(".csv")
    }
