"""The server as a whole: its life, its names for calls, its knobs. Through HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from local_athena import Fault, LocalAthena
from local_athena.errors import LocalAthenaError

ONCE = Config(retries={"max_attempts": 0})


@pytest.fixture
def knobs(aws: LocalAthena) -> Iterator[LocalAthena]:
    """The shared server with its knobs free to be turned; afterwards they are as before."""
    aws.clear_calls()
    yield aws
    aws.set_faults()
    aws.set_latency()


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def wait_until(done: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


# ------------------------------------------------------------------------------------------ its life


def test_the_server_ends_and_its_files_are_gone_when_the_block_is_left_by_an_error() -> None:
    aws = LocalAthena()

    def use() -> None:
        with aws:
            found.append((aws.pid, Path(str(aws._folder))))
            assert found[0][1].exists()
            raise ZeroDivisionError

    found: list[tuple[int, Path]] = []
    with pytest.raises(ZeroDivisionError):
        use()
    pid, folder = found[0]
    assert not is_alive(pid)
    assert not folder.exists()


@pytest.mark.skipif(not Path("/proc").exists(), reason="Looks processes up in /proc.")
def test_the_server_ends_when_its_parent_is_killed() -> None:
    script = (
        "import sys, time\n"
        "from local_athena import LocalAthena\n"
        "aws = LocalAthena()\n"
        "aws.start()\n"
        "print(aws.pid, aws._folder, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    assert is_alive(int(pid))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert parent.stdin is not None
    parent.stdin.close()
    wait_until(lambda: not is_alive(int(pid)))
    assert not Path(folder).exists()


def test_a_start_that_fails_says_why() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalAthenaError, match=r"did not start[\s\S]*in use"), LocalAthena(port=port):
            pass


def test_an_engine_that_is_not_there_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="goes with the engine trino"):
        LocalAthena(trino_url="http://127.0.0.1:8080")
    with pytest.raises(ValueError, match="no engine 'spark'"):
        LocalAthena(engine="spark")


def test_what_is_asked_of_a_server_that_does_not_run_is_refused() -> None:
    with pytest.raises(LocalAthenaError, match="does not run"):
        _ = LocalAthena().endpoint_url


def test_the_environment_alone_leads_an_aws_client_to_the_server(aws: LocalAthena) -> None:
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **aws.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "arn:aws:iam::123456789012:root"


# -------------------------------------------------------------------------------------- names of calls


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("list_buckets", {}),
        ("head_bucket", {"Bucket": "b"}),
        ("list_objects", {"Bucket": "b"}),
        ("list_objects_v2", {"Bucket": "b"}),
        ("list_object_versions", {"Bucket": "b"}),
        ("list_multipart_uploads", {"Bucket": "b"}),
        ("get_bucket_location", {"Bucket": "b"}),
        ("get_bucket_lifecycle_configuration", {"Bucket": "b"}),
        ("get_bucket_versioning", {"Bucket": "b"}),
        ("get_bucket_encryption", {"Bucket": "b"}),
        ("get_public_access_block", {"Bucket": "b"}),
        ("get_object", {"Bucket": "b", "Key": "a b/ü#?.txt"}),
        ("get_object", {"Bucket": "b", "Key": "k", "VersionId": "v"}),
        ("head_object", {"Bucket": "b", "Key": "k"}),
        ("get_object_tagging", {"Bucket": "b", "Key": "k"}),
        ("get_object_attributes", {"Bucket": "b", "Key": "k", "ObjectAttributes": ["ETag"]}),
        ("put_object", {"Bucket": "b", "Key": "k", "Body": b"x"}),
        ("copy_object", {"Bucket": "b", "Key": "k", "CopySource": {"Bucket": "b", "Key": "l"}}),
        ("delete_object", {"Bucket": "b", "Key": "k"}),
        ("delete_objects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}]}}),
        ("create_multipart_upload", {"Bucket": "b", "Key": "k"}),
        ("upload_part", {"Bucket": "b", "Key": "k", "UploadId": "u", "PartNumber": 1, "Body": b"x"}),
        ("abort_multipart_upload", {"Bucket": "b", "Key": "k", "UploadId": "u"}),
        ("list_parts", {"Bucket": "b", "Key": "k", "UploadId": "u"}),
    ],
)
def test_s3_calls_are_logged_by_the_names_boto_gives_them(
    knobs: LocalAthena, operation: str, arguments: dict[str, Any]
) -> None:
    client = knobs.client("s3", config=ONCE)
    expected = client.meta.method_to_api_mapping[operation]
    with contextlib.suppress(ClientError):  # there is no bucket b
        getattr(client, operation)(**arguments)
    (call,) = knobs.calls
    assert call.status in (200, 400, 404)
    assert call.name == f"s3:{expected}"
    assert not call.by_athena
    assert call.caller == "arn:aws:iam::123456789012:root"
    if "Key" in arguments:
        assert call.detail == f"b/{arguments['Key']}"


def test_a_call_is_logged_with_its_time_status_error_and_what_it_is_about(
    knobs: LocalAthena, unique: Callable[[str], str]
) -> None:
    before = time.time()
    database, glue = unique("db"), knobs.client("glue")
    glue.create_database(DatabaseInput={"Name": database})
    glue.create_table(
        DatabaseName=database, TableInput={"Name": "t", "PartitionKeys": [{"Name": "dt", "Type": "string"}]}
    )
    glue.create_partition(DatabaseName=database, TableName="t", PartitionInput={"Values": ["2026-01-01"]})
    with pytest.raises(ClientError):
        glue.get_table(DatabaseName=database, Name="nope")
    knobs.client("iam").list_policies()
    knobs.client("sts").get_caller_identity()
    calls = knobs.calls
    assert [(c.name, c.status, c.error) for c in calls] == [
        ("glue:CreateDatabase", 200, None),
        ("glue:CreateTable", 200, None),
        ("glue:CreatePartition", 200, None),
        ("glue:GetTable", 400, "EntityNotFoundException"),
        ("iam:ListPolicies", 200, None),
        ("sts:GetCallerIdentity", 200, None),
    ]
    assert [c.detail for c in calls[:4]] == [
        database,
        f"{database}.t",
        f"{database}.t 2026-01-01",
        f"{database}.nope",
    ]
    assert all(before <= c.time <= time.time() and 0 < c.seconds < 60 for c in calls)


def test_an_operation_nobody_offers_is_answered_at_once_with_400(knobs: LocalAthena) -> None:
    """Clients retry 500 for seconds."""
    with pytest.raises(ClientError) as glue_error:
        knobs.client("glue").get_classifiers()
    assert glue_error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert "GetClassifiers" in str(glue_error.value)
    with pytest.raises(ClientError) as athena_error:
        knobs.client("athena").list_capacity_reservations()
    assert athena_error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert len(knobs.calls) == 2


def test_many_requests_share_one_connection(aws: LocalAthena) -> None:
    address = urlsplit(aws.endpoint_url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=10)
    try:
        connection.connect()
        first = connection.sock
        for body in (None, "x" * 100_000):
            connection.request("POST", "/", body, {"X-Amz-Target": "AWSGlue.Nonsense"})
            response = connection.getresponse()
            assert response.status == 400
            response.read()
            assert connection.sock is first
    finally:
        connection.close()


# ----------------------------------------------------------------------------------------------- knobs


def test_latency_is_that_of_the_longest_pattern(knobs: LocalAthena) -> None:
    knobs.set_latency({"*": 0.0, "glue:*": 0.2, "athena:query": 30.0})
    glue, s3 = knobs.client("glue"), knobs.client("s3")
    glue.get_databases()
    s3.list_buckets()
    of_glue, of_s3 = knobs.calls
    assert of_glue.seconds >= 0.2
    assert of_s3.seconds < 0.2


def test_a_fault_hits_the_calls_it_names_as_often_as_it_says(
    knobs: LocalAthena, unique: Callable[[str], str]
) -> None:
    glue, name = knobs.client("glue", config=ONCE), unique("db")
    knobs.set_faults(Fault("glue:CreateDatabase", "ThrottlingException", skip=1, times=2, matching=name))
    glue.create_database(DatabaseInput={"Name": unique("other")})
    glue.create_database(DatabaseInput={"Name": name})
    for _ in range(2):
        with pytest.raises(ClientError) as error:
            glue.create_database(DatabaseInput={"Name": name + "_2"})
        assert code_of(error) == "ThrottlingException"
    glue.create_database(DatabaseInput={"Name": name + "_2"})


def test_a_fault_before_the_call_leaves_the_world_as_it_was_and_one_after_it_does_not(
    knobs: LocalAthena, unique: Callable[[str], str]
) -> None:
    bucket, s3 = unique("bucket-x"), knobs.client("s3", config=ONCE)
    knobs.set_faults(Fault("s3:CreateBucket", "SlowDown", status=503))
    with pytest.raises(ClientError) as error:
        s3.create_bucket(Bucket=bucket)
    assert code_of(error) == "SlowDown"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert bucket not in {b["Name"] for b in s3.list_buckets()["Buckets"]}
    knobs.set_faults(Fault("s3:Create*", "InternalError", status=500, when="after"))
    with pytest.raises(ClientError):
        s3.create_bucket(Bucket=bucket)
    assert bucket in {b["Name"] for b in s3.list_buckets()["Buckets"]}


def test_an_answer_is_lost_after_the_work_was_done_also_on_a_connection_in_use(
    knobs: LocalAthena, unique: Callable[[str], str]
) -> None:
    glue, name = knobs.client("glue", config=ONCE), unique("db")
    glue.get_databases()  # opens the connection
    knobs.set_faults(Fault("glue:CreateDatabase", when="lost"))
    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        glue.create_database(DatabaseInput={"Name": name})
    assert glue.get_database(Name=name)["Database"]["Name"] == name
    lost = next(c for c in knobs.calls if c.name == "glue:CreateDatabase")
    assert (lost.status, lost.error) == (0, None)


def test_a_client_that_retries_meets_what_its_lost_call_has_done(
    knobs: LocalAthena, unique: Callable[[str], str]
) -> None:
    glue = knobs.client("glue", config=Config(retries={"max_attempts": 2, "mode": "standard"}))
    knobs.set_faults(Fault("glue:CreateDatabase", when="lost"))
    with pytest.raises(ClientError) as error:
        glue.create_database(DatabaseInput={"Name": unique("db")})
    assert code_of(error) == "AlreadyExistsException"


def test_a_fault_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="expected service:Operation"):
        Fault("UpdatePartition")
    with pytest.raises(ValueError, match="expected before, after or lost"):
        Fault("glue:UpdatePartition", when="later")  # type: ignore[arg-type]


def test_the_private_door_says_when_nothing_is_behind_it(aws: LocalAthena) -> None:
    address = urlsplit(aws.endpoint_url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=10)
    try:
        connection.request("PUT", "/_local_athena/nonsense", "1", {"X-Local-Athena-Secret": aws.secret})
        response = connection.getresponse()
        assert response.status == 404
        assert "nonsense" in json.loads(response.read())["error"]
    finally:
        connection.close()
