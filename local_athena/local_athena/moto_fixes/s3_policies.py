"""Bucket policies are kept beside moto, and evaluated by ``identity``; see there why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from local_athena.iam.accounts import bucket_owner
from local_athena.iam.grants import needs_of
from local_athena.iam.identities import Identities
from local_athena.iam.judge import Judge
from local_athena.wire.callers import ANONYMOUS
from local_athena.wire.messages import Answer, AwsError, Fix, Forward, Request

MAX_POLICY_BYTES = 20 * 1024  # S3 user guide, "Bucket policies", read 2026-11


def build_policies(identities: Identities) -> Fix:
    """Make the fix that answers the calls about bucket policies."""
    documents = identities.bucket_policies

    def answer_policies(request: Request, forward: Forward) -> Answer:
        """Keep, give and forget policies; other calls pass."""
        if request.operation == "DeleteBucket":
            answer = forward(request)
            if answer.status < 300:
                documents.pop(request.bucket, None)
            return answer
        if not request.operation.endswith("BucketPolicy"):
            return forward(_signed_if_public(request, documents))
        if bucket_owner(request.bucket) is None:
            return forward(request)  # moto says that there is no such bucket
        if request.operation == "PutBucketPolicy":
            documents[request.bucket] = _read_policy(request.body)
            return Answer(204, (), b"")
        if request.operation == "DeleteBucketPolicy":
            documents.pop(request.bucket, None)
            return Answer(204, (), b"")
        if request.bucket not in documents:
            raise AwsError(
                "NoSuchBucketPolicy", "The bucket policy does not exist", 404, {"BucketName": request.bucket}
            )
        return Answer(200, (("Content-Type", "application/json"),), documents[request.bucket].encode())

    return answer_policies


def _signed_if_public(request: Request, documents: Mapping[str, str]) -> Request:
    """Let an anonymous call pass moto, which asks for a signature, when the bucket's policy allows it."""
    if request.caller != ANONYMOUS or not request.key or request.bucket not in documents:
        return request
    judge = Judge(ANONYMOUS, documents, by_athena=False)
    if any(judge.refusal(need) is not None for need in needs_of(request)):
        return request
    signature = "AWS4-HMAC-SHA256 Credential=ANONYMOUS/20260101/us-east-1/s3/aws4_request"
    return replace(request, environ={**request.environ, "HTTP_AUTHORIZATION": signature})


def _read_policy(body: bytes) -> str:
    if len(body) > MAX_POLICY_BYTES:
        raise AwsError("MalformedPolicy", "Policies must not be larger than 20 KB")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise AwsError("MalformedPolicy", "This policy contains invalid Json") from error
    if not isinstance(document, dict) or "Statement" not in document:
        raise AwsError("MalformedPolicy", "Missing required field Statement")
    return body.decode()
