"""S3 encrypts with AES256 what nobody encrypts otherwise (S3 guide, read 2026-11); moto does not say so."""

from __future__ import annotations

from dataclasses import replace

from local_athena.wire.messages import Answer, Forward, Request, error_code

_DEFAULT = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>'
    b"<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
    b"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled>"
    b"</Rule></ServerSideEncryptionConfiguration>"
)


_HEADER = "x-amz-server-side-encryption"
_OF_OBJECTS = frozenset(
    {"CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "GetObject", "HeadObject", "PutObject"}
)


def default_encryption(request: Request, forward: Forward) -> Answer:
    """Answer AES256 where nothing else was set."""
    answer = forward(request)
    if request.operation in _OF_OBJECTS and answer.status < 300 and answer.header(_HEADER) is None:
        return replace(answer, headers=(*answer.headers, (_HEADER, "AES256")))
    missing = error_code(answer) == "ServerSideEncryptionConfigurationNotFoundError"
    if request.operation == "GetBucketEncryption" and missing:
        return Answer(200, (("Content-Type", "application/xml"),), _DEFAULT)
    return answer
