"""Provisioning, its growth, its shrinking and teardown, stopped or refused at every AWS call.

All the while a role reads a bucket that is to stay; the next run does the rest, and one more changes nothing.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.flows.aws import deadline
from airflow_quilt_athena.flows.provisioning.deprovision import DeprovisionRequest, deprovision
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from local_athena import Fault, LocalAthena
from tests.faults.hooks import Nth
from tests.integration.lab import put_quilt_bucket

pytestmark = pytest.mark.integration

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)
# Two documents of them.
BUCKETS = tuple(
    f"bucket-{number:02}-{'with-a-name-as-long-as-s3-takes-it'.ljust(53, 'x')}" for number in range(24)
)
FEW, STAYS = BUCKETS[:6], BUCKETS[2]
SERVICES = ("athena", "glue", "s3", "iam", "sts")
READS = ("Get", "List", "Head", "AssumeRole")


class Killed(BaseException):
    """Nothing of ours runs any more, as after a ``kill -9``."""


class Stack:
    """What is provisioned under names of its own."""

    def __init__(self, aws: LocalAthena) -> None:
        own = uuid.uuid4().hex[:10]
        self.aws = aws
        self.clients = self.fresh()
        self.role = f"the-role-{own}"
        made = self.clients.iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=TRUST)
        self._arn = made["Role"]["Arn"]
        self.request = ProvisionRequest(
            results_bucket=f"the-results-{own}",
            quilt_buckets=FEW,
            database=f"lake_{own}",
            workgroup=f"the-workgroup-{own}",
            policy_name=f"Stack-{own}",
            attach_to_roles=(self.role,),
            allow_narrowing=True,
        )

    def fresh(self) -> AwsClients:
        return AwsClients(*(self.aws.client(name) for name in SERVICES))

    def provision(self, buckets: Sequence[str], clients: AwsClients | None = None) -> Plan:
        request = dataclasses.replace(self.request, quilt_buckets=tuple(buckets))
        return provision(clients or self.clients, request)

    def deprovision(self, clients: AwsClients | None = None) -> Plan:
        wanted = self.request
        names = DeprovisionRequest(
            wanted.results_bucket, wanted.database, wanted.workgroup, wanted.policy_name
        )
        return deprovision(clients or self.clients, names)

    def reader(self) -> Any:
        given = self.clients.sts.assume_role(RoleArn=self._arn, RoleSessionName="worker")["Credentials"]
        return self.aws.client(
            "s3",
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )

    def policies(self) -> list[str]:
        listed = self.clients.iam.list_policies(Scope="Local", MaxItems=1000)["Policies"]
        return [one["PolicyName"] for one in listed if one["PolicyName"].startswith(self.request.policy_name)]


@dataclasses.dataclass(frozen=True)
class Act:
    """What is done, on what was there; and what the role may read all the while and in the end."""

    name: str
    before: Sequence[str] | None
    after: Sequence[str] | None  # None: taken away

    def prepare(self, stack: Stack) -> None:
        if self.before is not None:
            stack.provision(self.before)

    def run(self, stack: Stack, clients: AwsClients | None = None) -> Plan:
        return stack.deprovision(clients) if self.after is None else stack.provision(self.after, clients)

    @property
    def holds(self) -> bool:
        return self.before is not None and self.after is not None


ACTS = (
    Act("anew", None, FEW),
    Act("growth", FEW, BUCKETS),
    Act("shrinking", BUCKETS, FEW),
    Act("teardown", BUCKETS, None),
)
by_name = pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)


@pytest.fixture(scope="module", autouse=True)
def _buckets(aws: LocalAthena) -> None:
    put_quilt_bucket(aws.client("s3"), *BUCKETS)


@pytest.fixture
def stack(aws: LocalAthena, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setattr(deadline, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(deadline, "_SETTLING_SECONDS", 1.0)
    aws.enforce_iam(True)  # concerns the role; the owner of the account may do all
    yield Stack(aws)
    aws.set_faults()
    aws.enforce_iam(False)


def may_read(reader: Any) -> bool:
    try:
        reader.get_object(Bucket=STAYS, Key=".quilt/named_packages/team/pkg/latest")
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


def watch(stack: Stack, act: Act, then: Callable[[str, Nth], None]) -> AwsClients:
    """Clients whose calls are told to ``then``, which may kill. The role reads after changes of rights."""
    reader = stack.reader() if act.holds else None
    seen = {"before": Counter[str](), "after": Counter[str]()}
    lock = threading.Lock()

    def tell(when: str, event_name: str) -> None:
        call = ":".join(event_name.split(".")[1:3])
        with lock:
            seen[when][call] += 1
            nth = Nth(call, seen[when][call])
        then(when, nth)

    def before(event_name: str, **_: Any) -> None:
        tell("before", event_name)

    def after(event_name: str, **_: Any) -> None:
        service, operation = event_name.split(".")[1:3]
        if reader is not None and service == "iam" and not operation.startswith(READS):
            assert may_read(reader), f"after {operation} the role may not read {STAYS}"
        tell("after", event_name)

    clients = stack.fresh()
    for service in SERVICES:
        events = getattr(clients, service).meta.events
        events.register(f"before-send.{service}", before)
        events.register(f"after-call.{service}", after)
    return clients


def assert_done(stack: Stack, act: Act) -> None:
    """Run to the end; one more run changes nothing, and the role may read what it is to read."""
    act.run(stack)
    assert not act.run(stack).changed
    if act.after is None:
        assert stack.policies() == []
    else:
        assert may_read(stack.reader())


# ---------------------------------------------------------------------------------------------- sample


@by_name
def test_stopped_after_each_of_its_changes_in_turn_it_comes_to_its_end(stack: Stack, act: Act) -> None:
    act.prepare(stack)

    def die(when: str, nth: Nth) -> None:
        if when == "after" and not nth.call.partition(":")[2].startswith(READS):
            raise Killed

    deaths = 0
    while True:
        try:
            act.run(stack, watch(stack, act, die))
        except Killed:
            deaths += 1
            continue
        break
    assert deaths >= 3
    assert_done(stack, act)


# What AWS answers while it settles, or is busy, or has just changed what we asked for, by service.
ANSWERS: dict[str, tuple[tuple[str, int], ...]] = {
    "iam": (
        ("ConcurrentModification", 409),
        ("Throttling", 400),
        ("NoSuchEntity", 404),
        ("DeleteConflict", 409),
        ("AccessDenied", 403),
    ),
    "s3": (("OperationAborted", 409), ("SlowDown", 503), ("NoSuchBucket", 404), ("AccessDenied", 403)),
    "athena": (
        ("TooManyRequestsException", 400),
        ("InternalServerException", 500),
        ("AccessDeniedException", 400),
    ),
    "glue": (
        ("ConcurrentModificationException", 400),
        ("OperationTimeoutException", 400),
        ("EntityNotFoundException", 400),
        ("AccessDeniedException", 400),
    ),
    "sts": (("Throttling", 400), ("AccessDenied", 403)),
}
# These pass by themselves, whatever call they answer.
PASS = {
    *("ConcurrentModification", "ConcurrentModificationException", "OperationAborted"),
    *(
        "Throttling",
        "SlowDown",
        "TooManyRequestsException",
        "InternalServerException",
        "OperationTimeoutException",
    ),
}
# And these of what was made, or changed, a moment ago, where it is not known everywhere yet.
SETTLE = {
    "DeleteConflict": {"iam:DeletePolicy"},
    "NoSuchEntity": {"iam:AttachRolePolicy", "iam:CreatePolicyVersion"},
    "NoSuchBucket": {
        *("s3:PutBucketTagging", "s3:PutPublicAccessBlock", "s3:PutBucketEncryption"),
        "s3:PutBucketLifecycleConfiguration",
    },
}


def play_answer(stack: Stack, act: Act, nth: Nth, error: str, status: int) -> None:
    """Answer one call of a run so, twice. It passes, or is refused by ours; the next run does the rest."""
    act.prepare(stack)
    clients = watch(stack, act, lambda when, nth: None)
    stack.aws.set_faults(Fault(nth.call, error, status, skip=nth.number - 1, times=2))
    passes = error in PASS or nth.call in SETTLE.get(error, ())
    with nullcontext() if passes else suppress(QuiltAthenaError):
        act.run(stack, clients)
    stack.aws.set_faults()
    assert_done(stack, act)


@pytest.mark.parametrize(
    ("act", "call", "error", "status"),
    [
        (0, "iam:AttachRolePolicy", "NoSuchEntity", 404),
        (0, "s3:PutPublicAccessBlock", "NoSuchBucket", 404),
        (0, "s3:PutBucketEncryption", "NoSuchBucket", 404),
        (0, "glue:CreateDatabase", "OperationTimeoutException", 400),
        (1, "iam:CreatePolicyVersion", "AccessDenied", 403),
        (2, "iam:ListEntitiesForPolicy", "Throttling", 400),
        (2, "iam:CreatePolicyVersion", "NoSuchEntity", 404),
        (3, "iam:DeletePolicy", "DeleteConflict", 409),
        (3, "s3:DeleteBucket", "OperationAborted", 409),
    ],
)
def test_the_most_telling_answers_of_an_aws_that_settles(
    stack: Stack, act: int, call: str, error: str, status: int
) -> None:
    play_answer(stack, ACTS[act], Nth(call), error, status)


# ---------------------------------------------------------------------------------------- the whole matrix


def calls_of(stack: Stack, act: Act) -> list[Nth]:
    """Every call of a run that is not disturbed. The looks at the buckets are alike: the first of them."""
    act.prepare(stack)
    seen: list[Nth] = []

    def note(when: str, nth: Nth) -> None:
        if when == "before" and (nth.call != "s3:ListObjectsV2" or nth.number == 1):
            seen.append(nth)

    act.run(stack, watch(stack, act, note))
    return seen


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("when", ["before", "after"])
@by_name
def test_killed_at_every_call(stack: Stack, act: Act, when: str) -> None:
    for nth in calls_of(stack, act):
        one = Stack(stack.aws)
        act.prepare(one)

        def die(now: str, met: Nth, nth: Nth = nth) -> None:
            if (now, met) == (when, nth):
                raise Killed

        with pytest.raises(Killed):
            act.run(one, watch(one, act, die))
        assert_done(one, act)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@by_name
def test_every_call_is_answered_as_aws_answers_while_it_settles(stack: Stack, act: Act) -> None:
    problems = []
    for nth in calls_of(stack, act):
        for error, status in ANSWERS[nth.call.partition(":")[0]]:
            try:
                play_answer(Stack(stack.aws), act, nth, error, status)
            except Exception as problem:
                problems.append(f"{nth}, {error}: {type(problem).__name__}: {problem}")
                stack.aws.set_faults()
    assert problems == []
