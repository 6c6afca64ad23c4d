"""Every AWS call of a run fails once, in every way; then the run is made again, and the table swept.

Readers see old rows or new ones, each partition whole; the second run ends as a clean one; the sweep leaves
what Glue points at, and its journal entries, and nothing else.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum

import pytest
from botocore.exceptions import ClientError

from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.flows.aws.errors import NO_ANSWER
from local_athena import Fault, LocalAthena
from tests.faults.forks import Forks
from tests.faults.hooks import Nth
from tests.faults.lake import Lake
from tests.faults.scenarios import (
    FIRST_CREATION,
    MANY_PARTITIONS,
    ONE_PARTITION,
    ROLLBACK_OF_ONE,
    ROLLBACK_OF_THREE,
    SCENARIOS,
    SWEEP,
    THREE_PARTITIONS,
    UNLOADED,
    UNPARTITIONED,
    UNPARTITIONED_CREATION,
    Scenario,
)
from tests.faults.whole import assert_swept_clean, assert_whole

pytestmark = pytest.mark.integration


class Kind(Enum):
    """In which way a call fails."""

    REFUSED = "refused"
    REFUSED_AFTER = "refused once done"
    LOST = "answer lost"
    THROTTLED = "throttled"
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed once done"


_KILLS = {Kind.KILLED_BEFORE, Kind.KILLED_AFTER}
_POLLS = {"athena:GetQueryExecution", "athena:BatchGetQueryExecution"}
_POLLS_ALWAYS_MADE = 2  # how many there are depends on the machine; but one waits, and one looks again


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as running:
        yield running


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.THROTTLED], ids=lambda kind: kind.value)
@pytest.mark.parametrize("call", ["glue:GetDatabase", "s3:ListObjectsV2", "athena:ListWorkGroups"])
def test_no_client_hides_a_failure_by_trying_again(
    call: str, kind: Kind, lake: Lake, aws: LocalAthena
) -> None:
    clients = lake.clients()
    makes = {
        "glue:GetDatabase": lambda: clients.glue.get_database(Name=lake.database),
        "s3:ListObjectsV2": lambda: clients.s3.list_objects_v2(Bucket=lake.bucket),
        "athena:ListWorkGroups": lambda: clients.athena.list_work_groups(),
    }
    aws.clear_calls()
    aws.set_faults(fault_of(Nth(call), kind))
    with pytest.raises((ClientError, *NO_ANSWER)):
        makes[call]()
    assert [made.name for made in aws.calls] == [call]


# ------------------------------------------------------------------------------------------- the matrix


@pytest.mark.parametrize("kind", sorted(_KILLS, key=str), ids=lambda kind: kind.value)
def test_one_partition_survives_a_kill_at_every_call(
    kind: Kind, first_lake: Lake, aws: LocalAthena, forks: Forks
) -> None:
    fail_each(ONE_PARTITION, kind, first_lake, aws, forks, lambda nth: True)


# The calls that change most, each with a way to fail: the whole matrix is `make test-faults`.
_SAMPLE = {
    ONE_PARTITION: [
        (Nth("athena:StartQueryExecution"), Kind.LOST),
        (Nth("glue:UpdatePartition"), Kind.REFUSED_AFTER),
        (Nth("glue:UpdatePartition"), Kind.LOST),
        (Nth("glue:UpdatePartition"), Kind.REFUSED),
        (Nth("s3:PutObject", 3), Kind.LOST),
        (Nth("glue:DeleteTable"), Kind.THROTTLED),
    ],
    THREE_PARTITIONS: [
        (Nth("glue:BatchUpdatePartition"), Kind.KILLED_BEFORE),
        (Nth("glue:BatchUpdatePartition"), Kind.KILLED_AFTER),
        (Nth("glue:CreatePartition"), Kind.LOST),
        (Nth("glue:BatchDeletePartition"), Kind.REFUSED),
        (Nth("s3:DeleteObject"), Kind.KILLED_BEFORE),
    ],
    MANY_PARTITIONS: [(Nth("glue:BatchUpdatePartition", 2), Kind.KILLED_BEFORE)],
    FIRST_CREATION: [
        (Nth("glue:CreateTable"), Kind.KILLED_AFTER),
        (Nth("glue:CreatePartition"), Kind.LOST),
    ],
    UNPARTITIONED: [
        (Nth("glue:UpdateTable"), Kind.LOST),
        (Nth("glue:UpdateTable"), Kind.KILLED_AFTER),
        (Nth("glue:UpdateTable"), Kind.REFUSED_AFTER),
    ],
    UNPARTITIONED_CREATION: [(Nth("glue:CreateTable"), Kind.LOST)],
    UNLOADED: [
        (Nth("glue:CreateTable"), Kind.KILLED_AFTER),
        (Nth("glue:UpdatePartition"), Kind.KILLED_AFTER),
    ],
    ROLLBACK_OF_ONE: [(Nth("glue:UpdatePartition"), Kind.KILLED_AFTER)],
    ROLLBACK_OF_THREE: [
        (Nth("s3:PutObject", 2), Kind.KILLED_AFTER),
        (Nth("glue:BatchUpdatePartition"), Kind.REFUSED_AFTER),
        (Nth("glue:BatchUpdatePartition"), Kind.KILLED_AFTER),
    ],
    SWEEP: [
        (Nth("s3:DeleteObjects"), Kind.KILLED_AFTER),
        (Nth("s3:DeleteObjects"), Kind.LOST),
        (Nth("s3:PutObject", 2), Kind.KILLED_AFTER),
    ],
}


@pytest.mark.parametrize("scenario", _SAMPLE, ids=lambda scenario: scenario.name)
def test_the_most_telling_failures_lose_nothing(
    scenario: Scenario, first_lake: Lake, aws: LocalAthena, forks: Forks
) -> None:
    fail_these(scenario, _SAMPLE[scenario], first_lake, aws, forks)


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("calls", ["writes", "reads"])
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.name)
def test_every_call_may_fail_in_every_way(
    scenario: Scenario, kind: Kind, calls: str, first_lake: Lake, aws: LocalAthena, forks: Forks
) -> None:
    fail_each(scenario, kind, first_lake, aws, forks, lambda nth: is_write(nth) is (calls == "writes"))


# ------------------------------------------------------------------------------------------ one failure


def fail_each(
    scenario: Scenario,
    kind: Kind,
    first_lake: Lake,
    aws: LocalAthena,
    forks: Forks,
    wanted: Callable[[Nth], bool],
) -> None:
    calls = calls_of(scenario, first_lake.another(), aws)
    assert len(calls) >= 10, f"the run made only {calls}"
    failures = [(nth, kind) for nth in calls if wanted(nth)]
    assert failures, f"none is wanted of {calls}"
    fail_these(scenario, failures, first_lake, aws, forks)


def is_write(nth: Nth) -> bool:
    """Whether the call changes something: in S3, in Glue, or by a query."""
    return re.match(r"\w+:(Start|Put|(Batch)?(Create|Update|Delete))", nth.call) is not None


def fail_these(
    scenario: Scenario,
    failures: list[tuple[Nth, Kind]],
    first_lake: Lake,
    aws: LocalAthena,
    forks: Forks,
) -> None:
    problems = []
    for nth, kind in failures:
        try:
            fail_once(scenario, nth, kind, first_lake.another(), aws, forks)
        except (AssertionError, QuiltAthenaError) as error:
            problems.append(f"{nth} {kind.value}: {type(error).__name__}: {error}")
    assert not problems, f"{len(problems)} of {len(failures)} failures:\n\n" + "\n\n".join(problems)


def calls_of(scenario: Scenario, lake: Lake, aws: LocalAthena) -> list[Nth]:
    """Run cleanly; return the calls that are to fail, in their order."""
    scenario.prepare(lake)
    aws.clear_calls()
    scenario.work(lake, lake.clients())
    made: list[Nth] = []
    numbers: Counter[str] = Counter()
    for call in aws.calls:
        if not call.by_athena:
            numbers[call.name] += 1
            made.append(Nth(call.name, numbers[call.name]))
    assert lake.rows() == scenario.after, "a clean run gives other rows"
    return [nth for nth in made if _is_wanted(nth, numbers[nth.call], scenario.every_call)]


def _is_wanted(nth: Nth, times: int, every_call: bool) -> bool:
    if nth.call in _POLLS:
        return nth.number <= _POLLS_ALWAYS_MADE
    return every_call or nth.number in {1, times}


def fail_once(scenario: Scenario, nth: Nth, kind: Kind, lake: Lake, aws: LocalAthena, forks: Forks) -> None:
    scenario.prepare(lake)
    succeeded = run_failing(scenario, nth, kind, lake, aws, forks)

    seen = lake.rows()
    if succeeded:
        assert seen == scenario.after, "the run says it succeeded"
    assert_whole(scenario, seen)

    scenario.work(lake, lake.clients())
    assert lake.rows() == scenario.after, "after the second run"

    assert_swept_clean(lake)
    assert lake.rows() == scenario.after, "after the sweep"


def run_failing(scenario: Scenario, nth: Nth, kind: Kind, lake: Lake, aws: LocalAthena, forks: Forks) -> bool:
    """Run with the failure; tell whether the run says that it succeeded."""
    if kind in _KILLS:
        code = forks.run_and_kill(scenario.name, lake, nth, after=kind is Kind.KILLED_AFTER)
        assert code == -signal.SIGKILL, f"the process ended with {code}; it did not die at the call"
        return False
    fault = fault_of(nth, kind)
    aws.clear_calls()
    aws.set_faults(fault)
    try:
        scenario.work(lake, lake.clients())
    except QuiltAthenaError:
        succeeded = False
    else:
        succeeded = True
    finally:
        aws.set_faults()
    met = [call for call in aws.calls if call.name == nth.call and not call.by_athena]
    hit = [call for call in met if call.status == 0 or call.error == fault.error]
    assert len(hit) == 1, f"the failure was met {len(hit)} times in {len(met)} calls"
    if kind in {Kind.LOST, Kind.THROTTLED}:
        assert succeeded, "the run did not wait for what passes"
    return succeeded


def fault_of(nth: Nth, kind: Kind) -> Fault:
    if kind is Kind.LOST:
        return Fault(nth.call, skip=nth.number - 1, when="lost")
    in_s3 = nth.call.startswith("s3:")
    if kind is Kind.THROTTLED:
        error, status = ("SlowDown", 503) if in_s3 else ("ThrottlingException", 400)
    else:
        error, status = ("AccessDenied", 403) if in_s3 else ("AccessDeniedException", 400)
    fault = Fault(nth.call, error, status, skip=nth.number - 1)
    return replace(fault, when="after") if kind is Kind.REFUSED_AFTER else fault
