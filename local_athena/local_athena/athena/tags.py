"""Tags of workgroups, by ARN."""

from __future__ import annotations

from typing import Any

from local_athena.athena.paging import take_page
from local_athena.athena.workgroups import WorkGroups
from local_athena.errors import ApiError

MAX_TAGS = 50  # Athena User Guide, "Tag Athena resources", read 2026-11
_DEFAULT_PAGE = 75


class Tags:
    """TagResource, UntagResource and ListTagsForResource."""

    def __init__(self, arn_root: str, workgroups: WorkGroups) -> None:
        self._prefix = f"{arn_root}:workgroup/"
        self._workgroups = workgroups

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        """Add or replace tags."""
        name = self._workgroup(request)
        tags = {tag["Key"]: tag.get("Value", "") for tag in request["Tags"]}
        if len({*self._workgroups.get(name).tags, *tags}) > MAX_TAGS:
            raise ApiError("InvalidRequestException", f"A resource has at most {MAX_TAGS} tags.")
        self._workgroups.set_tags(name, tags)
        return {}

    def remove(self, request: dict[str, Any]) -> dict[str, Any]:
        """Remove tags by key; keys that are not there do not matter."""
        self._workgroups.remove_tags(self._workgroup(request), request["TagKeys"])
        return {}

    def page(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a page of tags in the order of their keys."""
        tags = sorted(self._workgroups.get(self._workgroup(request)).tags.items())
        page, more = take_page(
            tags, request, scope="tags", position=lambda tag: tag[0], default_size=_DEFAULT_PAGE
        )
        return {"Tags": [{"Key": key, "Value": value} for key, value in page], **more}

    def _workgroup(self, request: dict[str, Any]) -> str:
        arn: str = request["ResourceARN"]
        name = arn.removeprefix(self._prefix)
        try:
            if name == arn:
                raise ApiError("InvalidRequestException", f"{arn} is not the ARN of a workgroup.")
            return self._workgroups.get(name).name
        except ApiError as error:
            raise ApiError("ResourceNotFoundException", error.message) from error
