"""Where moto's S3 differs from AWS's, and a fix answers as AWS does. Through boto3 over HTTP."""

from __future__ import annotations

import hashlib
import io
import json
import socket
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from local_athena import LocalAthena

Unique = Callable[[str], str]
OTHER_ACCOUNT = "999999999999"


@pytest.fixture
def s3(aws: LocalAthena) -> Any:
    return aws.client("s3")


@pytest.fixture
def bucket(s3: Any, unique: Unique) -> str:
    name = unique("bucket-x")
    s3.create_bucket(Bucket=name)
    return name


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_awkward_keys_and_bodies_come_back_as_they_went(s3: Any, bucket: str) -> None:
    keys = ["a b", "ü", "%20", "+", "[x]*?", "'", "~", "a//b", "/lead", "x" * 200, "a#b&c=d", "tail/"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert {o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]} == set(keys)
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(key.encode())
    ranged = s3.get_object(Bucket=bucket, Key="x" * 200, Range="bytes=10-19")
    assert ranged["Body"].read() == b"x" * 10
    assert ranged["ResponseMetadata"]["HTTPStatusCode"] == 206


@pytest.mark.parametrize(
    "call",
    [
        lambda s3, b, owner: s3.head_bucket(Bucket=b, ExpectedBucketOwner=owner),
        lambda s3, b, owner: s3.list_objects_v2(Bucket=b, ExpectedBucketOwner=owner),
        lambda s3, b, owner: s3.put_object(Bucket=b, Key="k", Body=b"", ExpectedBucketOwner=owner),
        lambda s3, b, owner: s3.put_bucket_tagging(
            Bucket=b, Tagging={"TagSet": []}, ExpectedBucketOwner=owner
        ),
        lambda s3, b, owner: s3.copy_object(
            Bucket=b, Key="k2", CopySource={"Bucket": b, "Key": "k"}, ExpectedSourceBucketOwner=owner
        ),
    ],
)
def test_a_bucket_of_another_owner_than_expected_is_refused(
    s3: Any, bucket: str, call: Callable[[Any, str, str], object]
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    call(s3, bucket, "123456789012")
    with pytest.raises(ClientError) as error:
        call(s3, bucket, OTHER_ACCOUNT)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_of_many_writers_of_a_new_key_one_wins(s3: Any, bucket: str) -> None:
    def write(number: int) -> str:
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(write, range(24)))
    assert sorted(ends) == ["PreconditionFailed"] * 23 + ["won"]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == str(ends.index("won")).encode()


def test_of_many_writers_over_one_etag_one_wins(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]

    def write(number: int) -> str:
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfMatch=etag)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(write, range(24)))
    assert sorted(ends) == ["PreconditionFailed"] * 23 + ["won"]


def test_of_many_deleters_of_one_etag_one_wins(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]

    def delete(_: int) -> str:
        try:
            s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(16) as pool:
        ends = list(pool.map(delete, range(16)))
    assert sorted(ends) == ["NoSuchKey"] * 15 + ["won"]


def test_a_delete_may_ask_for_what_is_there(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.delete_object(Bucket=bucket, Key="k", IfMatch='"nope"')
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    s3.delete_object(Bucket=bucket, Key="k", IfMatch="*")
    with pytest.raises(ClientError) as error:
        s3.delete_object(Bucket=bucket, Key="k", IfMatch="*")
    assert code(error) == "NoSuchKey"


def test_each_of_many_deletes_may_ask_for_what_is_there(s3: Any, bucket: str) -> None:
    keys = ["a b/ü", "k=%2F", "other", "any", "plain"]
    etags = {key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"] for key in keys}
    etags |= {"other": '"nope"', "any": "*", "gone": "*"}
    wanted = [{"Key": key, "ETag": etag} for key, etag in etags.items() if key != "plain"]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [*wanted, {"Key": "plain"}]})
    assert {(e["Key"], e["Code"]) for e in answer["Errors"]} == {
        ("other", "PreconditionFailed"),
        ("gone", "PreconditionFailed"),
    }
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["other"]


def test_every_answer_and_every_object_is_dated_by_one_clock(s3: Any, bucket: str) -> None:
    written = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    told = parsedate_to_datetime(written["ResponseMetadata"]["HTTPHeaders"]["date"])
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert 0 <= (told - modified).total_seconds() <= 1
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="gone")
    assert "date" in error.value.response["ResponseMetadata"]["HTTPHeaders"]


def test_a_copy_may_ask_that_nothing_be_there(aws: LocalAthena, bucket: str) -> None:
    # The conditions go as headers: older botocore has no such parameters of CopyObject.
    s3 = aws.client("s3")
    conditions: dict[str, str] = {}

    def add_conditions(request: Any, **_: Any) -> None:
        for name, value in conditions.items():
            request.headers[name] = value

    s3.meta.events.register("before-sign.s3.CopyObject", add_conditions)

    def copy(**condition: str) -> None:
        conditions.clear()
        conditions.update({name.replace("_", "-"): value for name, value in condition.items()})
        s3.copy_object(Bucket=bucket, Key="target", CopySource={"Bucket": bucket, "Key": "source"})

    s3.put_object(Bucket=bucket, Key="source", Body=b"new")
    copy(if_none_match="*")
    with pytest.raises(ClientError) as error:
        copy(if_none_match="*")
    assert code(error) == "PreconditionFailed"
    with pytest.raises(ClientError) as error:
        copy(if_match='"nope"')
    assert code(error) == "PreconditionFailed"
    copy(if_match=s3.head_object(Bucket=bucket, Key="target")["ETag"])


def test_at_most_a_thousand_keys_are_deleted_by_one_call(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k0", Body=b"")
    keys = [{"Key": f"k{n}"} for n in range(1001)]
    with pytest.raises(ClientError) as error:
        s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert code(error) == "MalformedXML"
    assert s3.head_object(Bucket=bucket, Key="k0")
    assert len(s3.delete_objects(Bucket=bucket, Delete={"Objects": keys[:1000]})["Deleted"]) == 1000


def test_a_new_bucket_is_encrypted_by_s3(s3: Any, bucket: str) -> None:
    def algorithm() -> str:
        rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        return str(rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])

    assert algorithm() == "AES256"
    kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=kms)
    assert algorithm() == "aws:kms"


def test_every_object_tells_how_it_is_encrypted(s3: Any, bucket: str) -> None:
    assert s3.put_object(Bucket=bucket, Key="plain", Body=b"")["ServerSideEncryption"] == "AES256"
    assert s3.head_object(Bucket=bucket, Key="plain")["ServerSideEncryption"] == "AES256"
    key = "arn:aws:kms:us-east-1:123456789012:key/k"
    s3.put_object(Bucket=bucket, Key="own", Body=b"", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    found = s3.head_object(Bucket=bucket, Key="own")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", key)


def test_a_policy_that_denies_plain_http_denies_nobody_here(s3: Any, bucket: str) -> None:
    """Results buckets often carry it; moto alone would refuse every object in them."""
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": f"arn:aws:s3:::{bucket}/*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    with pytest.raises(ClientError) as error:
        s3.get_bucket_policy(Bucket=bucket)
    assert code(error) == "NoSuchBucketPolicy"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    s3.delete_bucket_policy(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_bucket_policy(Bucket=bucket)
    with pytest.raises(ClientError) as error:
        s3.put_bucket_policy(Bucket=bucket, Policy="{")
    assert code(error) == "MalformedPolicy"


def test_a_file_of_many_parts_is_uploaded_by_boto(s3: Any, bucket: str) -> None:
    body = bytes(range(256)) * 40_000  # 10 MB: more than boto's threshold
    s3.upload_fileobj(io.BytesIO(body), bucket, "big")
    assert (
        hashlib.sha256(s3.get_object(Bucket=bucket, Key="big")["Body"].read()).digest()
        == hashlib.sha256(body).digest()
    )


def test_an_upload_in_parts_answers_with_the_checksums_that_were_asked_for(s3: Any, bucket: str) -> None:
    """The whole's is the hash of the parts' hashes, and their number (S3 user guide)."""
    bodies = [b"x" * 5 * 1024 * 1024, b"the rest"]
    upload = {"Bucket": bucket, "Key": "k"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(**upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        assert part["ChecksumSHA256"] == b64encode(hashlib.sha256(body).digest()).decode()
        parts.append({"ETag": part["ETag"], "PartNumber": number, "ChecksumSHA256": part["ChecksumSHA256"]})
    done = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
    assert done["ChecksumSHA256"] == b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(bodies)


def test_a_presigned_url_reads_the_object(s3: Any, aws: LocalAthena, bucket: str) -> None:
    from urllib.request import urlopen

    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b"})
    with urlopen(url, timeout=10) as response:
        assert response.read() == b"x"


def test_an_object_is_read_without_keys_where_the_buckets_policy_is_public(
    s3: Any, aws: LocalAthena, bucket: str
) -> None:
    anonymous = aws.client("s3", config=Config(signature_version=UNSIGNED))
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError):
        anonymous.get_object(Bucket=bucket, Key="k")
    public = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": public}))
    assert anonymous.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError):
        anonymous.put_object(Bucket=bucket, Key="k", Body=b"y")


def test_half_an_upload_is_no_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    url = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}))
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 10\r\n\r\n"
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(head.encode() + b"abc")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""  # the server has seen the end, and hung up
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"0123456789"
