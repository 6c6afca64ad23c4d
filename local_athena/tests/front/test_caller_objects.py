"""S3 as a query's caller may use it, in this process: listing, reading, writing, refusals, the log."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends

from local_athena.account import ACCOUNT_ID, ROOT_ACCESS_KEY_ID
from local_athena.errors import QueryFailed
from local_athena.front.caller_objects import CallerObjects, KeyIndex
from local_athena.iam.identities import Identities
from local_athena.wire.call_log import CallLog
from local_athena.wire.callers import Caller
from local_athena.wire.faults import Fault, Knobs
from local_athena.wire.operation_names import CredentialScope


class World:
    """moto's S3 and IAM in this process, and objects of them as somebody may use them."""

    def __init__(self) -> None:
        self.knobs = Knobs()
        self.log = CallLog()
        self.index = KeyIndex()
        self.identities = Identities(self.knobs)
        self.s3 = s3_backends[ACCOUNT_ID]["aws"]
        self.name = f"bucket-{uuid.uuid4().hex}"
        self.bucket = self.s3.create_bucket(self.name, "us-east-1")

    def objects(self, caller: Caller) -> CallerObjects:
        return CallerObjects(caller, self.identities, self.knobs, self.log, threading.RLock(), self.index)

    def root(self) -> CallerObjects:
        return self.objects(
            self.identities.caller(CredentialScope(ROOT_ACCESS_KEY_ID, "us-east-1", "s3"), None)
        )

    def user(self, *statements: dict[str, Any]) -> CallerObjects:
        """A new user with these statements; IAM is enforced from now on."""
        iam = iam_backends[ACCOUNT_ID]["aws"]
        name = f"user-{uuid.uuid4().hex}"
        iam.create_user("us-east-1", name)
        iam.put_user_policy(name, "inline", json.dumps({"Version": "2012-10-17", "Statement": statements}))
        key = iam.create_access_key(name).access_key_id
        self.knobs.iam = True
        return self.objects(self.identities.caller(CredentialScope(key, "us-east-1", "s3"), None))


@pytest.fixture
def world() -> World:
    """A bucket and users of its own: moto's backends are shared by all tests of this process."""
    return World()


def allow(action: str, resource: str = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def names(world: World) -> list[tuple[str, int, str | None]]:
    return [(c.name, c.status, c.error) for c in world.log.calls()]


def test_a_listing_is_in_key_order_and_holds_only_current_objects(world: World) -> None:
    objects = world.root()
    for key in ("t/b", "t/a", "tt/x", "t/Z", "t/ü", "t/"):
        objects.write(world.name, key, key.encode())
    world.s3.put_bucket_versioning(world.name, "Enabled")
    objects.write(world.name, "t/gone", b"")
    objects.delete(world.name, ["t/gone", "t/never-there"])
    objects.write(world.name, "t/a", b"second version")
    listed = objects.list(world.name, "t/")
    assert [o.key for o in listed] == ["t/", "t/Z", "t/a", "t/b", "t/ü"]
    by_key = {o.key: o for o in listed}
    assert by_key["t/a"].size_bytes == len(b"second version")
    assert by_key["t/b"].etag == hashlib.md5(b"t/b").hexdigest()
    assert objects.list(world.name, "nothing/") == []


def test_bodies_come_back_as_they_went(world: World) -> None:
    objects = world.root()
    bodies = {f"d{n % 3}/k{n}": bytes([n]) * n for n in range(50)}
    for key, body in bodies.items():
        objects.write(world.name, key, body)
    assert all(objects.read(world.name, key) == body for key, body in bodies.items())


def test_in_a_versioned_bucket_old_versions_stay(world: World) -> None:
    objects = world.root()
    world.s3.put_bucket_versioning(world.name, "Enabled")
    objects.write(world.name, "k", b"old")
    objects.write(world.name, "k", b"new")
    objects.delete(world.name, ["k"])
    with pytest.raises(QueryFailed, match="Error Code: NoSuchKey"):
        objects.read(world.name, "k")
    versions = world.bucket.keys.getlist("k")
    assert [v.value for v in versions[:2]] == [b"old", b"new"]
    assert len(versions) == 3  # the third is the delete marker


def test_what_is_not_there_fails_with_s3s_words(world: World) -> None:
    objects = world.root()
    calls: list[Callable[[], object]] = [
        lambda: objects.list("no-such-bucket", ""),
        lambda: objects.read("no-such-bucket", "k"),
        lambda: objects.write("no-such-bucket", "k", b""),
        lambda: objects.delete("no-such-bucket", ["k"]),
    ]
    for call in calls:
        with pytest.raises(QueryFailed, match=r"Status Code: 404; Error Code: NoSuchBucket.*no-such-bucket"):
            call()
    assert names(world) == [
        ("s3:ListObjectsV2", 404, "NoSuchBucket"),
        ("s3:GetObject", 404, "NoSuchBucket"),
        ("s3:PutObject", 404, "NoSuchBucket"),
        ("s3:DeleteObject", 404, "NoSuchBucket"),
    ]


def test_each_key_needs_the_callers_own_permission(world: World) -> None:
    for key in ("open/a", "secret/a"):
        world.root().write(world.name, key, b"x")
    ann = world.user(
        allow("s3:GetObject", f"arn:aws:s3:::{world.name}/open/*"),
        allow("s3:ListBucket", f"arn:aws:s3:::{world.name}", StringLike={"s3:prefix": "open/*"}),
    )
    assert ann.read(world.name, "open/a") == b"x"
    assert [o.key for o in ann.list(world.name, "open/")] == ["open/a"]
    arn = f"arn:aws:s3:::{world.name}"
    refusals: dict[str, Callable[[], object]] = {
        f"s3:GetObject on resource: {arn}/secret/a": lambda: ann.read(world.name, "secret/a"),
        f"s3:ListBucket on resource: {arn} ": lambda: ann.list(world.name, ""),
        f"s3:PutObject on resource: {arn}/open/b": lambda: ann.write(world.name, "open/b", b""),
        f"s3:DeleteObject on resource: {arn}/open/a": lambda: ann.delete(world.name, ["open/a"]),
    }
    for words, call in refusals.items():
        with pytest.raises(QueryFailed) as error:
            call()
        assert error.value.reason.startswith(
            "Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied;"
        )
        assert words in error.value.reason
    assert world.root().read(world.name, "open/a") == b"x"


def test_a_grant_by_way_of_athena_counts_here(world: World) -> None:
    world.root().write(world.name, "k", b"x")
    via: dict[str, Any] = {"ForAnyValue:StringEquals": {"aws:CalledVia": "athena.amazonaws.com"}}
    ann = world.user(allow("s3:GetObject", **via))
    assert ann.read(world.name, "k") == b"x"
    assert world.log.calls()[-1].by_athena


def test_a_fault_meant_for_athenas_own_calls_fails_the_query(world: World) -> None:
    objects = world.root()
    objects.write(world.name, "k", b"x")
    world.knobs.set_faults(
        [Fault("s3:GetObject", "SlowDown"), Fault("s3:GetObject", "SlowDown", status=503, by_athena=True)]
    )
    with pytest.raises(QueryFailed, match="Status Code: 503; Error Code: SlowDown"):
        objects.read(world.name, "k")
    assert objects.read(world.name, "k") == b"x"
    assert names(world)[-2:] == [("s3:GetObject", 503, "SlowDown"), ("s3:GetObject", 200, None)]
