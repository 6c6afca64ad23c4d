"""How an endpoint compares with the real Trino, statement by statement and by topic. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from local_athena.conformance.table import (
    Answer,
    comparable,
    dependent,
    is_refused,
    recorded,
    verdict,
)

VERDICTS = ("agreed", "refused", "as Athena", "differing")


@dataclass(frozen=True, slots=True)
class Compared:
    """One statement, the endpoint's answer and Trino's."""

    topic: str
    sql: str
    verdict: str
    dependent: bool  # it needs what an earlier statement made
    expected: Answer
    found: Answer


def compare(topic: str, answers: Mapping[str, Answer]) -> list[Compared]:
    """Judge a topic's answers.

    A failure where Trino answered is a refusal, of whatever class it is: the user is told. An answer with
    other rows, other types or another class of failure differs.
    """
    compared = []
    for sql, found in answers.items():
        expected = recorded(topic)[sql]
        told = verdict(topic, sql, found)
        if told == "differing" and "error" in found and ("error" not in expected or is_refused(found)):
            told = "refused"
        needs = sql in dependent(topic)
        compared.append(Compared(topic, sql, told, needs, comparable(expected), found))
    return compared


def count(compared: list[Compared]) -> dict[str, int]:
    """Return how many statements there are, and how many of each verdict."""
    verdicts = [one.verdict for one in compared]
    return {"statements": len(verdicts), **{name: verdicts.count(name) for name in VERDICTS}}


def summarize(compared: list[Compared]) -> dict[str, Any]:
    """Return the counts by topic, of all, and of the statements that need no earlier one."""
    topics = dict.fromkeys(one.topic for one in compared)
    return {
        "topics": {topic: count([one for one in compared if one.topic == topic]) for topic in topics},
        "all": count(compared),
        "independent": count([one for one in compared if not one.dependent]),
        "disagreements": [asdict(one) for one in compared if one.verdict != "agreed"],
    }


def render(summary: Mapping[str, Any]) -> str:
    """Return the counts as a table for a terminal."""
    heads = ("statements", *VERDICTS)
    rows = [*summary["topics"].items(), ("all", summary["all"])]
    rows.append(("without those that need an earlier one", summary["independent"]))
    width = max(len(label) for label, _ in rows)
    lines = [" " * width + "".join(f"{head:>12}" for head in heads)]
    lines += [
        f"{label:<{width}}" + "".join(f"{counts[head]:>12}" for head in heads) for label, counts in rows
    ]
    return "\n".join(lines)
