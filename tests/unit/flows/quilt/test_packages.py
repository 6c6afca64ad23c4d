"""Every call of making a package fails once, in every way, and it is made again: nothing half pushed."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from airflow_quilt_athena.core.quilt.package_request import OnEmpty, OnUnusable, PackageRequest
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws import deadline
from airflow_quilt_athena.flows.quilt.packages import create_package
from tests.unit.s3_fake import NO_ANSWER, FakeS3, s3_error

ROWS = [
    {
        "logical_key": name,
        "physical_key": f"s3://data/{name}",
        "size": 3,
        "hash": {"type": "SHA256", "value": hashlib.sha256(name.encode()).hexdigest()},
    }
    for name in ("a", "b/c")
]
REQUEST = PackageRequest("acme", "team/made", message="made", tags=("approved",), attempt="task 1")
MANIFESTS, POINTERS = ".quilt/packages/", ".quilt/named_packages/team/made/"


class Killed(BaseException):
    """The worker is lost here."""


@dataclass(eq=False)
class Registry(FakeS3):
    """S3 with what packages ask of it besides: heads, metadata, versions of objects elsewhere."""

    metadata: dict[str, dict[str, str]] = field(default_factory=dict)

    def put_object(self, *, Bucket: str, Key: str, Body: Any, **request: Any) -> dict[str, Any]:  # noqa: N803
        body = Body.read() if hasattr(Body, "read") else Body
        metadata = request.pop("Metadata", {})
        taken = "IfNoneMatch" in request and Key in self.objects
        if not taken and not any(event[:2] == ("put_object", "before") for event in self.events):
            self.metadata[Key] = metadata
        return super().put_object(Bucket=Bucket, Key=Key, Body=body, **request)

    def get_object(self, *, Bucket: str, Key: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        return {**super().get_object(Bucket=Bucket, Key=Key), "Metadata": self.metadata.get(Key, {})}

    def head_object(self, *, Bucket: str, Key: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        self._begin("head_object", Key=Key)
        return self._end("head_object", ContentLength=3, VersionId=f"v-{Key}")

    def head_bucket(self, **request: Any) -> dict[str, Any]:
        self._begin("head_bucket", **request)
        return self._end("head_bucket")

    @property
    def pointers(self) -> dict[str, str]:
        return {
            key.removeprefix(POINTERS): body.decode()
            for key, (body, _) in self.objects.items()
            if key.startswith(POINTERS)
        }

    @property
    def manifests(self) -> set[str]:
        return {key.removeprefix(MANIFESTS) for key in self.objects if key.startswith(MANIFESTS)}

    def check_whole(self) -> None:
        """Nobody sees a pointer without its manifest, or a tag of what is no revision."""
        revisions = {held for name, held in self.pointers.items() if name.isdigit()}
        assert revisions <= self.manifests
        assert {held for name, held in self.pointers.items() if not name.isdigit()} <= revisions


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "_FIRST_PAUSE_SECONDS", 0.0)


def calls_of_a_run() -> list[str]:
    registry = Registry()
    create_package(registry, REQUEST, ROWS)
    return [name for name, _ in registry.calls]


CALLS = calls_of_a_run()


def fail_at(number: int, when: str, error: BaseException) -> Registry:
    """A registry whose call of that number fails."""
    registry = Registry()
    begin, end = registry._begin, registry._end

    def begun(call: str, **request: Any) -> None:
        begin(call, **request)
        if when == "before" and len(registry.calls) == number + 1:
            registry.calls.append(("failed", {}))
            raise error

    def ended(call: str, **answer: Any) -> dict[str, Any]:
        if when == "after" and len(registry.calls) == number + 1:
            registry.calls.append(("failed", {}))
            raise error
        return end(call, **answer)

    registry._begin, registry._end = begun, ended  # type: ignore[method-assign]
    return registry


def check_made(registry: Registry, found: Any) -> None:
    registry.check_whole()
    revisions = {name: held for name, held in registry.pointers.items() if name.isdigit()}
    assert revisions == {found.pointer: found.top_hash}
    assert registry.pointers["latest"] == registry.pointers["approved"] == found.top_hash
    assert registry.manifests == {found.top_hash}


def test_it_asks_for_what_it_has_to_and_the_pointer_comes_last() -> None:
    registry = Registry()
    found = create_package(registry, REQUEST, ROWS)
    check_made(registry, found)
    written = [request["Key"] for name, request in registry.calls if name == "put_object"]
    assert written == [
        MANIFESTS + str(found.top_hash),
        POINTERS + str(found.pointer),
        f"{POINTERS}approved",
        f"{POINTERS}latest",
    ]
    assert "get_object" not in CALLS
    assert not [name for name in CALLS if name in {"copy_object", "delete_object", "delete_objects"}]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(len(CALLS)), ids=lambda n: f"{n}-{CALLS[n]}")
def test_a_worker_lost_at_any_call_leaves_nothing_half_and_its_retry_makes_one_revision(
    number: int, when: str
) -> None:
    registry = fail_at(number, when, Killed())
    with pytest.raises(Killed):
        create_package(registry, REQUEST, ROWS)
    registry.check_whole()
    registry.pass_time(60)
    check_made(registry, create_package(registry, REQUEST, ROWS))


@pytest.mark.parametrize("error", [NO_ANSWER, s3_error("SlowDown", 503)], ids=["lost", "throttled"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(len(CALLS)), ids=lambda n: f"{n}-{CALLS[n]}")
def test_an_answer_lost_at_any_call_is_asked_for_again(number: int, when: str, error: Exception) -> None:
    registry = fail_at(number, when, error)
    found = create_package(registry, REQUEST, ROWS)
    check_made(registry, found)


@pytest.mark.parametrize("number", range(len(CALLS)), ids=lambda n: f"{n}-{CALLS[n]}")
def test_a_refusal_at_any_call_is_told_and_leaves_nothing_half(number: int) -> None:
    registry = fail_at(number, "before", s3_error("AccessDenied", 403))
    if CALLS[number] == "head_object":  # a row that cannot be an entry, or one probe of a bucket
        return
    with pytest.raises(AccessError, match="AccessDenied"):
        create_package(registry, REQUEST, ROWS)
    registry.check_whole()


def test_a_revision_of_somebody_else_in_the_same_second_keeps_its_pointer() -> None:
    registry = Registry()
    second = int(registry.now.timestamp())
    for name in (str(second), str(second + 1)):
        registry.objects[POINTERS + name] = (b"ab" * 32, registry.now)
    registry.objects[MANIFESTS + "ab" * 32] = (b"{}", registry.now)
    found = create_package(registry, REQUEST, ROWS)
    assert found.pointer not in {str(second), str(second + 1)}
    assert registry.pointers[str(second)] == "ab" * 32


def test_a_manifest_written_meanwhile_is_compared_too() -> None:
    registry = Registry()
    other = [{**row, "physical_key": f"{row['physical_key']}?versionId=other"} for row in ROWS]

    def meanwhile() -> None:
        registry.events.clear()
        create_package(registry, PackageRequest("acme", "team/other", message="made"), other)

    registry.events.append(("put_object", "before", meanwhile))
    with pytest.raises(ManualActionError, match="names other objects"):
        create_package(registry, REQUEST, ROWS)
    assert registry.pointers == {}


def test_rows_are_read_once_and_not_kept() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from ROWS

    assert create_package(Registry(), REQUEST, rows()).entries == 2


def test_time_is_that_of_s3() -> None:
    registry = Registry(now=datetime.fromisoformat("2031-01-01T00:00:00+00:00"))
    found = create_package(registry, REQUEST, ROWS)
    assert found.pointer is not None
    assert abs(int(found.pointer) - int(registry.now.timestamp())) <= 1


def test_a_file_of_a_manifest_is_sent_whole_again_after_a_lost_answer() -> None:
    registry = fail_at(CALLS.index("put_object"), "before", NO_ANSWER)
    found = create_package(registry, REQUEST, ROWS)
    body = io.BytesIO(registry.objects[MANIFESTS + str(found.top_hash)][0])
    assert len(body.readlines()) == 3


# ------------------------------------------------------------------------- what is there already


def test_a_pointer_deleted_between_two_looks_is_not_taken_for_an_earlier_try() -> None:
    registry = Registry()
    old = f"{POINTERS}{int(registry.now.timestamp()) - 9}"
    registry.objects[old] = (b"ab" * 32, registry.now)
    registry.events.append(("get_object", "before", lambda: registry.objects.pop(old)))
    found = create_package(registry, REQUEST, ROWS)
    assert found.created
    check_made(registry, found)


def test_a_revision_without_a_task_is_nobodys_earlier_try() -> None:
    registry = Registry()
    request = PackageRequest("acme", "team/made", message="made", dedupe=False)
    first = create_package(registry, request, ROWS)
    registry.pass_time(60)
    second = create_package(registry, request, ROWS)
    assert (first.created, second.created) == (True, True)
    assert first.top_hash == second.top_hash
    assert sorted(name for name in registry.pointers if name.isdigit()) == [first.pointer, second.pointer]


def test_where_every_second_of_a_minute_is_taken_the_task_is_to_run_again() -> None:
    registry = Registry()
    now = int(registry.now.timestamp())
    taken = {str(second): "ab" * 32 for second in range(now - 5, now + 70)}
    for name, held in taken.items():
        registry.objects[POINTERS + name] = (held.encode(), registry.now)
    with pytest.raises(RetryableError, match=r"team/made in s3://acme from \d+ on are taken for a minute"):
        create_package(registry, REQUEST, ROWS)
    assert registry.pointers == taken


# ---------------------------------------------------------------------------- rows that are no entries


def test_a_log_of_very_many_bad_rows_names_the_first_and_counts_the_kinds_of_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    request = PackageRequest(
        "acme", "team/made", on_unusable=OnUnusable.SKIP, on_empty=OnEmpty.SKIP, attempt="task 1"
    )
    rows = ({"logical_key": None if number % 2 else ".."} for number in range(100_000))
    found = create_package(Registry(), request, rows)
    assert (found.top_hash, found.unusable_count, len(found.unusable)) == (None, 100_000, 20)
    assert len([message for message in caplog.messages if "Not an entry of team/made" in message]) == 1000
    assert "100000 rows read." in caplog.messages
    assert "And 99000 more: {'a part of its': 49500, 'it has no logical': 49500}" in caplog.messages


# ------------------------------------------------------------------------------ objects that are named


def test_a_bucket_whose_objects_are_all_refused_is_told_as_one_that_may_not_be_read() -> None:
    registry = Registry()
    for _ in range(3):
        registry.events.append(("head_object", "before", s3_error("403", 403)))
    rows = [{**ROWS[0], "logical_key": f"{n}", "physical_key": f"s3://data/{n}"} for n in range(5)]
    with pytest.raises(InvalidCallError, match="bucket data may not be read: S3 refuses its objects"):
        create_package(registry, REQUEST, rows)
    assert [name for name, _ in registry.calls].count("head_object") == 3


def test_a_bucket_whose_first_objects_are_refused_and_a_later_one_is_not_is_read() -> None:
    registry = Registry()
    registry.events.append(("head_object", "before", s3_error("403", 403)))
    assert create_package(registry, REQUEST, ROWS).entries == 2


@pytest.mark.parametrize(
    ("status", "words"), [(404, "there is no bucket data"), (403, "there is no s3://data/a")]
)
def test_a_missing_object_is_told_apart_from_a_missing_bucket(status: int, words: str) -> None:
    registry = Registry()
    for _ in range(2):
        registry.events.append(("head_object", "before", s3_error("404", 404)))
    registry.events.append(("head_bucket", "before", s3_error(str(status), status)))
    with pytest.raises(InvalidCallError, match=words):
        create_package(registry, REQUEST, ROWS[:1])


def test_an_answer_about_a_bucket_that_is_no_answer_is_asked_for_again() -> None:
    registry = Registry()
    for _ in range(2):
        registry.events.append(("head_object", "before", s3_error("404", 404)))
    registry.events.append(("head_bucket", "before", s3_error("SlowDown", 503)))
    with pytest.raises(InvalidCallError, match="there is no s3://data/a"):
        create_package(registry, REQUEST, ROWS[:1])
    assert [name for name, _ in registry.calls].count("head_bucket") == 2


BARE = {"logical_key": "a", "physical_key": "s3://data/a", "size": 3}


def test_an_object_to_be_hashed_is_read_again_after_a_lost_answer() -> None:
    registry = Registry()
    registry.objects["a"] = (b"abc", registry.now)
    registry.events.append(("get_object", "before", s3_error("SlowDown", 503)))
    found = create_package(registry, REQUEST, [BARE])
    (_, entry) = registry.objects[MANIFESTS + str(found.top_hash)][0].splitlines()
    # The SHA-256 of the SHA-256 of abc, in base64.
    assert json.loads(entry)["hash"] == {
        "type": "sha2-256-chunked",
        "value": "T4tCwi3TcptRm6b2jS2nzFstYG0F2u1a1RKMwD5sY1g=",
    }


def test_an_object_that_changes_between_two_looks_is_no_entry() -> None:
    registry = Registry()
    registry.objects["a"] = (b"abcd", registry.now)
    with pytest.raises(InvalidCallError, match=r"its size is 3, and that of s3://data/a.* 4"):
        create_package(registry, REQUEST, [BARE])
    assert registry.pointers == {}


def test_rows_without_a_hash_need_quilt3_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quilt3", None)
    registry = Registry()
    registry.objects["a"] = (b"abc", registry.now)
    with pytest.raises(InvalidCallError, match=r"Install airflow-quilt-athena\[quilt\], or give each row"):
        create_package(registry, REQUEST, [BARE])
    assert create_package(registry, REQUEST, ROWS).entries == 2


# ------------------------------------------------------------------------------------------- workflows


WORKFLOWS = """
version: "1"
workflows:
  alpha:
    name: Alpha
    metadata_schema: plate
schemas:
  plate:
    url: s3://acme/schemas/plate.json?versionId=v7
"""
PLATED = PackageRequest("acme", "team/made", message="made", metadata={"Plate": 7}, workflow="alpha")


class Versioned(Registry):
    """Has one version of everything, and remembers which was asked for."""

    def get_object(self, *, Bucket: str, Key: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        answer = super().get_object(Bucket=Bucket, Key=Key)
        self.calls[-1][1].update(request)
        return answer


def versioned() -> Versioned:
    registry = Versioned()
    registry.objects[".quilt/workflows/config.yml"] = (WORKFLOWS.encode(), registry.now)
    schema = {"type": "object", "properties": {"Plate": {"type": "integer"}}, "required": ["Plate"]}
    registry.objects["schemas/plate.json"] = (json.dumps(schema).encode(), registry.now)
    return registry


# quilt3's, of Python 3.11 and 3.12, which name importlib as the caller.
@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated. Use files:DeprecationWarning")
def test_a_schema_named_with_its_version_is_read_in_that_version() -> None:
    registry = versioned()
    found = create_package(registry, PLATED, ROWS)
    asked = [request for name, request in registry.calls if request.get("Key") == "schemas/plate.json"]
    assert asked == [{"Key": "schemas/plate.json", "VersionId": "v7"}]
    header = json.loads(registry.objects[MANIFESTS + str(found.top_hash)][0].splitlines()[0])
    assert header["workflow"]["id"] == "alpha"
    assert header["workflow"]["schemas"] == {"plate": "s3://acme/schemas/plate.json?versionId=v7"}


def test_a_registry_with_workflows_needs_quilt3_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "quilt3", None)
    registry = versioned()
    with pytest.raises(InvalidCallError, match="which quilt3 checks, and quilt3 is not installed"):
        create_package(registry, PLATED, ROWS)
    assert registry.pointers == {}
