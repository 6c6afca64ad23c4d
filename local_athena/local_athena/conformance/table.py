"""The conformance table: its statements by topic, and a run of them on a local Athena."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local_athena import LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements

HERE = Path(__file__).parent
DIFFERENCES = HERE / "differences.json"
SET_UP = "tables"  # the topic whose statements every other topic stands on

AS_ATHENA = "DuckDB follows Athena"  # how the reason of a difference begins that is there on purpose

Answer = dict[str, Any]

_AT_THE_FRONT = re.compile(r"(create external|create database|alter|drop|msck|show|describe)\b", re.I)
_ORDERED = re.compile(r"\border\s+by\b[^()]*(\([^()]*\)[^()]*)*$", re.I)


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


class Lake:
    """A bucket with the table's files and a database, on a running local Athena."""

    def __init__(self, aws: LocalAthena, token: str) -> None:
        self.bucket, self.database = f"conformance{token}", f"conformance_{token}"
        self._athena = aws.client("athena")
        self._answers: dict[str, dict[str, Answer]] = {}
        s3 = aws.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        aws.client("glue").create_database(DatabaseInput={"Name": self.database})
        for key, lines in json.loads((HERE / "files.json").read_text()).items():
            body = "".join(f"{line}\n" for line in lines).replace("{bucket}", self.bucket)
            s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())

    def answers(self, topic: str) -> dict[str, Answer]:
        """Return a topic's answers by statement, run once, after the tables are made."""
        if topic != SET_UP:
            self.answers(SET_UP)
        if topic not in self._answers:
            found = self._answers.setdefault(topic, {})
            with ThreadPoolExecutor(4) as pool:
                for reads, group in groupby(topics()[topic], key=_reads):
                    statements = list(group)
                    run = pool.map(self.answer, statements) if reads else map(self.answer, statements)
                    found.update(zip(statements, run, strict=True))
        return self._answers[topic]

    def answer(self, sql: str) -> Answer:
        """Run one statement: its columns and rows, or the class of its failure."""
        try:
            query_id = self._athena.start_query_execution(
                QueryString=sql.replace("{bucket}", self.bucket).replace("{database}", self.database),
                QueryExecutionContext={"Database": self.database},
                ResultConfiguration={"OutputLocation": f"s3://{self.bucket}/results/"},
            )["QueryExecutionId"]
        except ClientError as error:
            return {"error": error.response["Error"]["Code"], "reason": str(error)}
        status = self._wait(query_id)
        if status["State"] != "SUCCEEDED":
            return {"error": _class_of(status["StateChangeReason"]), "reason": status["StateChangeReason"]}
        return self._result(query_id, sql)

    def _wait(self, query_id: str) -> dict[str, Any]:
        while True:
            execution = self._athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            status: dict[str, Any] = execution["Status"]
            if status["State"] not in {"QUEUED", "RUNNING"}:
                return status
            time.sleep(0.02)

    def _result(self, query_id: str, sql: str) -> Answer:
        page = self._athena.get_query_results(QueryExecutionId=query_id)
        if page.get("NextToken"):
            raise ValueError(f"Over a page of rows is too much for this table: {sql}")
        columns = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        rows = [[self._cell(cell) for cell in row["Data"]] for row in page["ResultSet"]["Rows"]]
        names = [column["Name"] for column in columns]
        if rows and rows[0] == names:
            rows = rows[1:]
        answer: Answer = {"columns": names, "types": [_type(column) for column in columns], "rows": rows}
        if not _ORDERED.search(sql):
            rows.sort(key=repr)
        if page.get("UpdateCount") is not None:
            answer["update_count"] = page["UpdateCount"]
        return answer

    def _cell(self, cell: dict[str, str]) -> str | None:
        value = cell.get("VarCharValue")
        if value is None:
            return None
        return value.replace(self.database, "{database}").replace(self.bucket, "{bucket}")


def _class_of(reason: str) -> str:
    """Return the class of a failure; what the parser refuses is told by its place alone."""
    if re.match(r"line \d+:\d+: ", reason):
        return "SYNTAX_ERROR"
    named = re.match(r"[A-Z][A-Z_]+\b", reason)
    return named[0] if named else reason.partition(":")[0]


def _reads(sql: str) -> bool:
    return bool(re.match(r"(select|with|values)\b", sql, re.I))


def _type(column: dict[str, Any]) -> str:
    kind: str = column["Type"]
    return f"{kind}({column['Precision']},{column['Scale']})" if kind == "decimal" else kind


def comparable(answer: Answer) -> Answer:
    """Return what of an answer counts: of a failure its class, not its words."""
    return {key: value for key, value in answer.items() if key != "reason"}


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
