"""`record` writes the answers of the real Trino, `page` compares DuckDB's with them and writes the docs.

To be run as `python -m tests.conformance record` and `python -m tests.conformance page`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from local_athena import LocalAthena
from local_athena.conformance import table
from local_athena.conformance.lake import Lake
from tests.conformance import objects_view
from tests.conformance.emitted import emitted_statements

PAGE = Path(__file__).parents[2] / "local_athena" / "docs" / "conformance.md"

_VERDICTS = ("agreed", "refused", "as Athena", "differing")
_LONGEST = 160  # characters of a statement that are shown

_HEAD = """# Conformance: the local Athena's DuckDB against the real Trino

Written by `make conformance`. {statements} statements of `local_athena/local_athena/conformance/statements`,
with the answers that Trino 476 gave behind the same local Athena (`LocalAthena(engine="trino")`).
Compared are column names, types, rows, their order where the statement orders, the count of rows written (but
not by UNLOAD, of which AWS documents none), and of a failure its class. *Refused* is a clear failure of the
DuckDB engine (`NOT_SUPPORTED`, `FUNCTION_NOT_FOUND`) where Trino answers otherwise. *As Athena* is where
Athena is known to answer otherwise than Trino, and DuckDB follows Athena. {front} further statements are
Hive DDL, which is answered in front of both engines; they run too, and are not counted.

Where Athena is known to follow neither, see [athena-is-not-trino.md](athena-is-not-trino.md).

| topic | statements | agreed | refused | as Athena | differing |
|---|--:|--:|--:|--:|--:|
"""
_DISAGREEMENTS = """
## What does not agree

What is refused, or as Athena's, and why. Each entry is a test that must fail until it is mended. Long
statements are cut; they stand in full in `local_athena/local_athena/conformance/differences.json`.

| topic | | statement | why |
|---|---|---|---|
"""


def record(*topics: str) -> None:
    """Run the table, or some of its topics, on the real Trino and write the answers."""
    text = json.dumps(emitted_statements(), ensure_ascii=False, indent=1)
    (table.HERE / "statements" / "emitted.json").write_text(text + "\n")
    with LocalAthena(engine="trino") as aws:
        lake = Lake.on(aws.client, "recorded")
        for topic in topics or table.topics():
            answers = lake.answers(topic).items()
            entries = [{"sql": sql, "answer": table.comparable(answer)} for sql, answer in answers]
            text = json.dumps(entries, ensure_ascii=False, indent=1)
            table.answers_path(topic).write_text(text + "\n")
            print(topic, len(entries), flush=True)


def page() -> None:
    """Run the table on DuckDB, print what does not agree, and write the page of the docs."""
    with LocalAthena() as aws:
        lake = Lake.on(aws.client, "compared")
        found = {topic: lake.answers(topic) for topic in table.topics()}
    verdicts = {
        topic: {sql: table.verdict(topic, sql, answer) for sql, answer in answers.items()}
        for topic, answers in found.items()
    }
    rows: list[tuple[Any, ...]] = []
    listed = []
    for topic, of_topic in verdicts.items():
        counted = [verdict for sql, verdict in of_topic.items() if table.reaches_the_engine(sql)]
        rows.append((topic, len(counted), *map(counted.count, _VERDICTS)))
        for sql, verdict in of_topic.items():
            if verdict != "agreed":
                why = table.differences().get(topic, {}).get(sql, "NOT EXPLAINED")
                listed.append(f"| {topic} | {verdict} | `{_in_a_cell(_cut(sql))}` | {_in_a_cell(why)} |\n")
                print(json.dumps([topic, verdict, sql, found[topic][sql], table.recorded(topic)[sql]]))
    totals = [sum(row[column] for row in rows) for column in range(1, 2 + len(_VERDICTS))]
    front = sum(map(len, verdicts.values())) - totals[0]
    lines = [f"| {' | '.join(map(str, row))} |\n" for row in [*rows, ("**all**", *totals)]]
    text = _HEAD.format(statements=totals[0], front=front) + "".join(lines) + _DISAGREEMENTS
    measured = objects_view.section(json.loads(objects_view.FIGURES.read_text()))
    PAGE.write_text(text + "".join(listed) + "\n" + measured)


def _cut(sql: str) -> str:
    return sql if len(sql) <= _LONGEST else f"{sql[:_LONGEST]}…"


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")


if __name__ == "__main__":
    {"record": record, "page": page}[sys.argv[1]](*sys.argv[2:])
