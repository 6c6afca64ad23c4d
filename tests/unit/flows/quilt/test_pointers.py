"""Looks at pointers: each package once, and where the store knows no long delimiter slower and the same."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest

from airflow_quilt_athena.flows.quilt.pointers import (
    list_package_names,
    look_at_packages,
    look_for_changes,
    read_message,
)
from tests.unit.s3_fake import FakeS3, s3_error

ROOT = ".quilt/named_packages/"


class OneDelimiter(FakeS3):
    """Takes no delimiter but ``/``."""

    def list_objects_v2(self, *, Bucket: str, Prefix: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        if request.get("Delimiter", "/") != "/":
            raise s3_error("InvalidArgument", 400)
        return super().list_objects_v2(Bucket=Bucket, Prefix=Prefix, **request)


def test_a_store_without_long_delimiters_is_listed_whole() -> None:
    s3 = OneDelimiter()
    s3.objects[f"{ROOT}team/old/1600000000"] = (b"x", s3.now - timedelta(days=9))
    s3.objects[f"{ROOT}team/new/1600000000"] = (b"x", s3.now)
    look = look_for_changes(s3, "acme", s3.now - timedelta(minutes=1))
    assert [arrival.pointer.package for arrival in look.arrivals] == ["team/new"]
    assert look.packages == frozenset({"team/old", "team/new"})
    assert list_package_names(s3, "acme") == {"team/old", "team/new"}


class Ranged(FakeS3):
    """Takes ranges of objects."""

    def get_object(self, *, Bucket: str, Key: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        answer = super().get_object(Bucket=Bucket, Key=Key)
        if "Range" in request:
            start, end = request["Range"].removeprefix("bytes=").split("-")
            answer["Body"] = io.BytesIO(answer["Body"].read()[int(start) : int(end) + 1])
            self.calls[-1][1]["Range"] = request["Range"]
        return answer


def test_packages_named_by_a_hint_are_looked_at_alone_and_once() -> None:
    s3 = FakeS3()
    for key in ("team/one/1600000000", "team/one/latest", "team/other/1600000000"):
        s3.objects[ROOT + key] = (b"x", s3.now)
    look = look_at_packages(s3, "acme", ["team/one", "team/one", "team/gone"])
    assert [(one.pointer.package, one.pointer.name) for one in look.arrivals] == [
        ("team/one", "1600000000"),
        ("team/one", "latest"),
    ]
    assert look.packages is None
    assert [request["Prefix"] for name, request in s3.calls if name == "list_objects_v2"].count(
        f"{ROOT}team/one/"
    ) == 1


def test_packages_whose_names_begin_with_the_digit_of_revisions_are_found() -> None:
    s3 = FakeS3()
    for package in ("team/plain", "team/1st", "1team/pkg", "team/1st-1"):
        s3.objects[f"{ROOT}{package}/1600000000"] = (b"x", s3.now)
        s3.objects[f"{ROOT}{package}/latest"] = (b"x", s3.now)
    assert list_package_names(s3, "acme") == {"team/plain", "team/1st", "1team/pkg", "team/1st-1"}
    assert list_package_names(s3, "acme", start="team/1") == {"team/1st", "team/1st-1"}


def test_a_package_of_more_pointers_than_a_page_is_seen_whole() -> None:
    s3 = FakeS3(page_size=2)
    for number in range(5):
        s3.objects[f"{ROOT}team/pkg/{1_600_000_000 + number}"] = (b"x", s3.now)
    look = look_at_packages(s3, "acme", ["team/pkg"])
    assert [one.pointer.name for one in look.arrivals] == [
        "1600000000",
        "1600000001",
        "1600000002",
        "1600000003",
        "1600000004",
    ]


def test_a_message_behind_long_metadata_is_read_and_no_more_than_that() -> None:
    s3 = Ranged()
    header = '{"user_meta": {"note": "' + "m" * 100_000 + '"}, "message": "long"}\n'
    s3.objects[".quilt/packages/abc"] = (header.encode() + b"x" * 900_000, s3.now)
    assert read_message(s3, "acme", "abc") == "long"
    assert [request["Range"] for _, request in s3.calls] == ["bytes=0-65535", "bytes=0-524287"]


@pytest.mark.parametrize("header", [b"\xff\xfe\n", b"not json\n", b"[1]\n", b"x" * 3_000_000])
def test_a_manifest_without_a_header_has_no_message(header: bytes, caplog: pytest.LogCaptureFixture) -> None:
    s3 = Ranged()
    s3.objects[".quilt/packages/abc"] = (header, s3.now)
    assert read_message(s3, "acme", "abc") is None
    assert "s3://acme/.quilt/packages/abc has no header that can be read" in caplog.text


@pytest.mark.parametrize("header", [b'{"message": null}\n', b'{"message": 7}\n', b"{}\n"])
def test_a_message_that_is_no_text_is_none(header: bytes, caplog: pytest.LogCaptureFixture) -> None:
    s3 = Ranged()
    s3.objects[".quilt/packages/abc"] = (header, s3.now)
    assert read_message(s3, "acme", "abc") is None
    assert caplog.messages == []
