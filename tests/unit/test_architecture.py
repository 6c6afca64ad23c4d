"""docs/architecture.md tells of this tree: what it names is there, and the calls it lists are those made."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.interleavings.scenes import SCENES, calls_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PROVIDER, LOCAL = PAGE.split("## The local Athena")
# Where a path of the page may begin.
HOUSES = [ROOT / "airflow_quilt_athena", ROOT / "local_athena" / "local_athena"]
STARTS = [*HOUSES, ROOT, ROOT / "local_athena"]

DRAWINGS = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
TEXT = re.sub(r"```\n.*?```", "", PAGE, flags=re.DOTALL)
# In the text: whatever is written as code and has a folder or an ending.
PATHS = sorted({word for word in re.findall(r"`([\w./-]+)`", TEXT) if "/" in word or word.endswith(".py")})
FOLDERS = sorted({word for drawing in DRAWINGS for word in re.findall(r"(?<![\w/])([\w/]+)/(?=\s)", drawing)})
TOLD = re.findall(r"^\| [^|]+\? \| ([^|]+) \| `(\w+)` \|$", PAGE, re.MULTILINE)
CALLS = re.findall(r"^\| `(\w+:\w+)` \| `([\w/.]+)` \|", PROVIDER, re.MULTILINE)


def find(word: str) -> list[Path]:
    """What a path of the page may mean: a file, with its ending or without, or a class in it; or a folder."""
    module = re.sub(r"\.[A-Z]\w*$", "", word)
    candidates = [start / ending for start in STARTS for ending in (word, f"{word}.py", f"{module}.py")]
    return [path for path in candidates if path.exists()]


@pytest.mark.parametrize("word", PATHS)
def test_every_path_that_the_page_names_is_there(word: str) -> None:
    assert find(word)


@pytest.mark.parametrize("word", FOLDERS)
def test_every_folder_of_the_drawings_is_there(word: str) -> None:
    folders = [ROOT, *(path for house in HOUSES for path in (house, *house.rglob("*/")))]
    assert any((folder / word).is_dir() for folder in folders)


@pytest.mark.parametrize("house", HOUSES, ids=lambda house: house.name)
def test_every_room_is_drawn(house: Path) -> None:
    (drawing,) = (drawing for drawing in DRAWINGS if f"{house.name}/\n" in drawing)
    rooms = {path.stem for path in house.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {
        room for room in rooms - {"__init__", "__main__"} if not re.search(rf"\b{room}\b", drawing)
    } == set()


@pytest.mark.parametrize(("places", "name"), TOLD)
def test_what_answers_a_question_is_defined_where_the_page_says(places: str, name: str) -> None:
    for place in re.findall(r"`([\w/.]+)`", places):
        (path,) = find(place)
        tree = ast.walk(ast.parse(path.read_text()))
        names = {getattr(node, "name", getattr(node, "id", None)) for node in tree}
        assert name in names, f"{path} has no {name}"


def test_the_questions_are_read() -> None:
    assert len(TOLD) == 19


def test_an_overwrite_makes_the_calls_that_the_page_lists() -> None:
    scene = next(scene for scene in SCENES if scene.name == "one partition")
    assert [call for call, _ in CALLS] == list(calls_of(scene))
