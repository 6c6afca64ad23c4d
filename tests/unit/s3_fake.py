"""S3 small enough to read: one bucket of objects with MD5 ETags, conditions, and a clock of its own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError


def s3_error(code: str, status: int) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "as told"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "PutObject")


NO_ANSWER = EndpointConnectionError(endpoint_url="https://s3")


@dataclass(eq=False)
class FakeS3:
    """Answers as S3 documents.

    ``events`` happen at the next call of a name, before its work or after it, one a call: an error is raised,
    so that after the work the answer is lost; a function is called, which is somebody else at that moment.
    """

    now: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    events: list[tuple[str, str, Exception | Callable[[], object]]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    page_size: int = 1000
    undeletable: frozenset[str] = frozenset()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def etag(self, key: str) -> str:
        return f'"{hashlib.md5(self.objects[key][0], usedforsecurity=False).hexdigest()}"'

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **request: Any) -> dict[str, Any]:  # noqa: N803
        self._begin("put_object", Key=Key, **request)
        if "IfNoneMatch" in request and Key in self.objects:
            raise s3_error("PreconditionFailed", 412)
        self._check_match(Key, request)
        self.objects[Key] = (Body, self.now.replace(microsecond=0))
        return self._end("put_object", ETag=self.etag(Key))

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        self._begin("get_object", Key=Key)
        if Key not in self.objects:
            raise s3_error("NoSuchKey", 404)
        body, modified = self.objects[Key]
        return self._end("get_object", Body=io.BytesIO(body), ETag=self.etag(Key), LastModified=modified)

    def delete_object(self, *, Bucket: str, Key: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        self._begin("delete_object", Key=Key, **request)
        self._check_match(Key, request)
        self.objects.pop(Key, None)
        return self._end("delete_object")

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self._begin("delete_objects", **Delete)
        stayed = []
        for item in Delete["Objects"]:
            key = item["Key"]
            if key in self.undeletable:
                stayed.append({"Key": key, "Code": "AccessDenied", "Message": "no"})
            elif "ETag" in item and key in self.objects and item["ETag"] != self.etag(key):
                stayed.append({"Key": key, "Code": "PreconditionFailed", "Message": "no"})
            else:
                self.objects.pop(key, None)
        return self._end("delete_objects", **({"Errors": stayed} if stayed else {}))

    def list_objects_v2(self, *, Bucket: str, Prefix: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        self._begin("list_objects_v2", Prefix=Prefix, **request)
        start = request.get("ContinuationToken") or request.get("StartAfter") or ""
        keys = sorted(key for key in self.objects if key.startswith(Prefix) and key > start)
        if "Delimiter" in request:
            return self._list_folders(Prefix, request["Delimiter"], keys)
        page = keys[: min(request.get("MaxKeys", 1000), self.page_size)]
        items = [
            {
                "Key": key,
                "LastModified": self.objects[key][1],
                "Size": len(self.objects[key][0]),
                "ETag": self.etag(key),
            }
            for key in page
        ]
        more = {"NextContinuationToken": page[-1]} if len(page) < len(keys) else {}
        return self._end(
            "list_objects_v2", IsTruncated=bool(more), **more, **({"Contents": items} if items else {})
        )

    def _list_folders(self, prefix: str, delimiter: str, keys: list[str]) -> dict[str, Any]:
        """Answer in one page."""
        parts = [(key, key.removeprefix(prefix).partition(delimiter)) for key in keys]
        folders = sorted({f"{prefix}{name}{delimiter}" for _, (name, cut, _) in parts if cut})
        items = [
            {
                "Key": key,
                "LastModified": self.objects[key][1],
                "Size": len(self.objects[key][0]),
                "ETag": self.etag(key),
            }
            for key, (_, cut, _) in parts
            if not cut
        ]
        found: dict[str, Any] = (
            {"CommonPrefixes": [{"Prefix": folder} for folder in folders]} if folders else {}
        )
        return self._end(
            "list_objects_v2", IsTruncated=False, **found, **({"Contents": items} if items else {})
        )

    def _check_match(self, key: str, request: dict[str, Any]) -> None:
        if "IfMatch" not in request:
            return
        if key not in self.objects:
            raise s3_error("NoSuchKey", 404)
        if request["IfMatch"] != self.etag(key):
            raise s3_error("PreconditionFailed", 412)

    def _begin(self, call: str, **request: Any) -> None:
        self.calls.append((call, request))
        self._happen(call, "before")

    def _end(self, call: str, **answer: Any) -> dict[str, Any]:
        self._happen(call, "after")
        headers = {"date": format_datetime(self.now.replace(microsecond=0), usegmt=True)}
        return {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": headers}, **answer}

    def _happen(self, call: str, when: str) -> None:
        event = next((event for event in self.events if event[:2] == (call, when)), None)
        if event is None:
            return
        self.events.remove(event)
        if isinstance(event[2], Exception):
            raise event[2]
        event[2]()
