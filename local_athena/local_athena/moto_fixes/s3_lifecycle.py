"""What S3 refuses of lifecycle rules and moto takes: rules of the old form beside rules of the new."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from local_athena.wire.messages import Answer, AwsError, Forward, Request


def check_lifecycle(request: Request, forward: Forward) -> Answer:
    """Refuse rules with a prefix of their own beside rules with a filter."""
    if request.operation != "PutBucketLifecycleConfiguration":
        return forward(request)
    try:
        rules = [{_local(part.tag) for part in rule} for rule in ET.fromstring(request.body)]
    except ET.ParseError:
        return forward(request)  # moto says what is wrong with it
    if any("Prefix" in parts for parts in rules) and any("Filter" in parts for parts in rules):
        raise AwsError(
            "InvalidRequest",
            "Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter.",
            400,
        )
    return forward(request)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
