"""The conformance table as data: statements by topic, the real Trino's answers, and known differences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from local_athena.conformance.quilt_seeds import seed_statements

HERE = Path(__file__).parent
DIFFERENCES = HERE / "differences.json"
SET_UP = "tables"  # the topic whose statements every other topic stands on

AS_ATHENA = "DuckDB follows Athena"  # how the reason of a difference begins that is there on purpose

# What an answer tells as UpdateCount of an UNLOAD. AWS documents one of CREATE TABLE AS SELECT, INSERT INTO
# and UPDATE alone (GetQueryResults of botocore 1.44.5): no endpoint is measured by what it tells of UNLOAD.
UNLOAD_COUNT = "unload_count"

Answer = dict[str, Any]

_AT_THE_FRONT = re.compile(r"(create external|create database|alter|drop|msck|show|describe)\b", re.I)
_NAME_PART = re.compile(r"`[^`]+`|\"[^\"]+\"|(?:\{\w+\}|[^\W\d])(?:\w|\{\w+\})*")
_MAKES = re.compile(
    r"\s*create\s+(?:or\s+replace\s+view|view|external\s+table|table)\s+(?:if\s+not\s+exists\s+)?"
    r"(?P<name>(?:[`\"]?[\w{}]+[`\"]?\.)*[`\"]?[\w{}]+[`\"]?)",
    re.I,
)
_LITERAL = re.compile(r"'(?:[^']|'')*'")


@cache
def topics() -> dict[str, tuple[str, ...]]:
    """By topic, the statements in the order in which they run; {bucket} and {database} stand for names."""
    by_topic = {path.stem: tuple(_statements(path.read_text())) for path in HERE.glob("statements/*.sql")}
    by_topic["seeds"] = (
        *(sql.strip().removesuffix(";") for sql in seed_statements("{database}", "{bucket}").values()),
        *by_topic["seeds"],
    )
    by_topic |= {path.stem: tuple(json.loads(path.read_text())) for path in HERE.glob("statements/*.json")}
    return {SET_UP: by_topic.pop(SET_UP), **dict(sorted(by_topic.items()))}


def _statements(text: str) -> Iterator[str]:
    text = re.sub(r"^--.*\n", "", text, flags=re.M)
    for statement in re.split(r";\s*\n", text):
        if statement.strip():
            yield statement.strip()


def reaches_the_engine(sql: str) -> bool:
    """Whether a statement's answer is the engine's; Hive DDL is answered in front of both."""
    return not _AT_THE_FRONT.match(sql)


def answers_path(topic: str) -> Path:
    """Return where a topic's recorded answers are."""
    return HERE / "answers" / f"{topic}.json"


@cache
def recorded(topic: str) -> dict[str, Answer]:
    """Return the answers of the real Trino by statement."""
    return {one["sql"]: one["answer"] for one in json.loads(answers_path(topic).read_text())}


@cache
def differences() -> dict[str, dict[str, str]]:
    """By topic and statement, why DuckDB's answer is not Trino's."""
    found: dict[str, dict[str, str]] = json.loads(DIFFERENCES.read_text())
    return found


@cache
def dependent(topic: str) -> frozenset[str]:
    """Return a topic's statements that need what an earlier one made, in this topic or in the set-up."""
    made: set[str] = (
        set() if topic == SET_UP else {name for sql in topics()[SET_UP] for name in _made_by(sql)}
    )
    found: set[str] = set()
    for sql in topics()[topic]:
        new = set(_made_by(sql))
        if made & (_names(sql) - new):
            found.add(sql)
        made |= new
    return frozenset(found)


def _made_by(sql: str) -> list[str]:
    """Return the name of the table or view that a statement makes, in lower case and without its database."""
    match = _MAKES.match(sql)
    if match is None:
        return []
    parts = [part.strip('`"').lower() for part in _NAME_PART.findall(match["name"])]
    return parts[-1:]


def _names(sql: str) -> set[str]:
    return {part.strip('`"').lower() for part in _NAME_PART.findall(_LITERAL.sub("''", sql))}


def comparable(answer: Answer) -> Answer:
    """Return what of an answer counts: of a failure its class, not its words; and no count of an UNLOAD."""
    return {key: value for key, value in answer.items() if key not in {"reason", UNLOAD_COUNT}}


def verdict(topic: str, sql: str, answer: Answer) -> str:
    """Tell how DuckDB's answer stands to Trino's: "agreed", "refused", "as Athena" or "differing"."""
    if comparable(answer) == recorded(topic)[sql]:
        return "agreed"
    if differences().get(topic, {}).get(sql, "").startswith(AS_ATHENA):
        return "as Athena"
    return "refused" if is_refused(answer) else "differing"


def is_refused(answer: Answer) -> bool:
    """Whether an engine says that it cannot, which is no wrong answer."""
    return answer.get("error") in {"NOT_SUPPORTED", "FUNCTION_NOT_FOUND"}
