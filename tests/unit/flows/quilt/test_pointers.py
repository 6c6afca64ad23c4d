"""Looks at pointers where the store knows no long delimiter: slower, and the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_quilt_athena.flows.quilt.pointers import list_package_names, look_for_changes
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
