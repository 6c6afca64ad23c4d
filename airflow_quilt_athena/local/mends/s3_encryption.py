"""A bucket is encrypted with AES256 from its birth (S3 user guide, read 2026-11); moto says it is not."""

from __future__ import annotations

from airflow_quilt_athena.local.wire import Answer, Forward, Request, error_code

_DEFAULT = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>'
    b"<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>"
    b"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled>"
    b"</Rule></ServerSideEncryptionConfiguration>"
)


def default_encryption(request: Request, forward: Forward) -> Answer:
    """Answer AES256 where nothing else was set."""
    answer = forward(request)
    missing = error_code(answer) == "ServerSideEncryptionConfigurationNotFoundError"
    if request.operation == "GetBucketEncryption" and missing:
        return Answer(200, (("Content-Type", "application/xml"),), _DEFAULT)
    return answer
