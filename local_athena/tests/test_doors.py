"""The doors of the server: who may come in, and what opens the private ones."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from local_athena import LocalAthena
from local_athena.wire.doors import SECRET_HEADER, Doors, refuse_remote


@pytest.fixture(scope="module")
def server() -> Iterator[LocalAthena]:
    with LocalAthena() as aws:
        yield aws


def ask(
    server: LocalAthena,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> tuple[int, str]:
    address = urlsplit(server.endpoint_url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def port_of(server: LocalAthena) -> int:
    return int(urlsplit(server.endpoint_url).port or 0)


@pytest.fixture
def bucket(server: LocalAthena) -> Iterator[str]:
    """A bucket that must be there afterwards, whatever was tried."""
    server.client("s3").create_bucket(Bucket="kept")
    yield "kept"
    assert server.client("s3").list_buckets()["Buckets"][0]["Name"] == "kept"


@pytest.mark.parametrize(
    "path",
    [
        "/moto-api/reset",
        "//moto-api/reset",
        "/%6doto-api/reset",
        "/moto-api/reset?x=1",
        "/moto-api",
        "/moto-api/data.json",
    ],
)
@pytest.mark.parametrize("secret", [None, "", "wrong"])
def test_motos_own_api_opens_to_the_secret_alone(
    server: LocalAthena, bucket: str, path: str, secret: str | None
) -> None:
    headers = {} if secret is None else {SECRET_HEADER: secret}
    status, body = ask(server, "POST", path, headers)
    assert status in {403, 404}
    assert "reset" not in body


@pytest.mark.parametrize(
    ("method", "what", "document"),
    [("GET", "calls", None), ("DELETE", "calls", None), ("PUT", "iam", "false"), ("PUT", "faults", "[]")],
)
def test_the_control_door_opens_to_the_secret_alone(
    server: LocalAthena, bucket: str, method: str, what: str, document: str | None
) -> None:
    for headers in ({}, {SECRET_HEADER: "x" * 43}):
        assert ask(server, method, f"/_local_athena/{what}", headers, document)[0] == 403
    assert ask(server, method, f"/_local_athena/{what}", {SECRET_HEADER: server.secret}, document)[0] == 200


def test_the_secret_opens_motos_api(server: LocalAthena) -> None:
    server.client("s3").create_bucket(Bucket="gone")
    assert ask(server, "POST", "/moto-api/reset", {SECRET_HEADER: server.secret})[0] == 200
    assert server.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:1", ""]
)
def test_a_foreign_host_gets_nothing(server: LocalAthena, bucket: str, host: str) -> None:
    headers = {"Host": host.format(port=port_of(server))}
    status, body = ask(server, "GET", "/", headers)
    assert status == 403
    assert "kept" not in body
    headers[SECRET_HEADER] = server.secret  # not even with it
    assert ask(server, "GET", "/_local_athena/calls", headers)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_gets_nothing(server: LocalAthena, bucket: str, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/moto-api/reset"), ("GET", "/"), ("PUT", "/new-bucket"), ("OPTIONS", "/")):
        status, body = ask(server, method, path, {**headers, SECRET_HEADER: server.secret})
        assert status == 403
        assert "kept" not in body
    assert len(server.client("s3").list_buckets()["Buckets"]) == 1


def test_its_own_names_are_served(server: LocalAthena) -> None:
    port = port_of(server)
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", f"a-bucket.localhost:{port}"):
        assert ask(server, "GET", "/", {"Host": host})[0] != 403
    assert ask(server, "GET", "/", {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "none"})[0] != 403


# ---------------------------------------------------------------------------------------- other machines


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_other_machines_are_served_only_when_somebody_says_so(host: str) -> None:
    with pytest.raises(ValueError, match="--allow-remote"):
        LocalAthena(host=host)
    with pytest.raises(ValueError, match="allow_remote"):
        refuse_remote(host, allow_remote=False)
    refuse_remote(host, allow_remote=True)


def test_served_to_other_machines_it_answers_addresses_and_its_own_name_and_no_other() -> None:
    doors = Doors("0.0.0.0", 4000, "secret")

    def answers(host: str) -> bool:
        return doors.refuse({"HTTP_HOST": host, "PATH_INFO": "/"}) is None

    assert answers("192.168.1.7:4000")
    assert answers(f"{socket.gethostname()}:5000")  # behind a mapped port
    assert answers("localhost:4000")
    assert not answers("evil.example:4000")
    assert not answers("")


def test_the_command_refuses_other_machines_and_warns_where_they_are_meant() -> None:
    command = [sys.executable, "-m", "local_athena.cli", "serve", "--host", "0.0.0.0"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    assert "--allow-remote" in refused.stderr
    with subprocess.Popen([*command, "--allow-remote"], stdout=subprocess.PIPE, text=True) as served:
        lines: list[str] = []
        while served.stdout and not any(line.startswith("# Process") for line in lines):
            lines.append(served.stdout.readline())
        served.terminate()
    said = "".join(lines)
    assert "WARNING: other machines reach it" in said
    assert SECRET_HEADER in said
    assert "http://127.0.0.1:" in said


# --------------------------------------------------------------------------------------- what is no answer


@pytest.mark.parametrize(
    ("what", "document"),
    [
        ("faults", "{"),
        ("faults", "7"),
        ("faults", '[{"no": "fault"}]'),
        ("faults", "null"),
        ("latency", "[]"),
        ("latency", '{"s3:*": "soon"}'),
        ("latency", "[" * 100_000),
        ("iam", '"false"'),
        ("iam", "null"),
        ("iam", "1"),
    ],
)
def test_bad_json_at_the_control_door_is_answered_and_changes_nothing(
    server: LocalAthena, what: str, document: str
) -> None:
    status, body = ask(server, "PUT", f"/_local_athena/{what}", {SECRET_HEADER: server.secret}, document)
    assert status == 400
    assert "does not take this" in json.loads(body)["error"]
    server.client("s3").list_buckets()
    assert server.stderr == ""


def _send_and_die(server: LocalAthena, data: bytes) -> None:
    connection = socket.create_connection(("127.0.0.1", port_of(server)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by RST
    connection.sendall(data)
    connection.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HT",
        b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf",
        b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_a_client_that_dies_leaves_no_traceback(server: LocalAthena, data: bytes) -> None:
    for _ in range(5):
        _send_and_die(server, data)
    time.sleep(0.2)
    server.client("s3").list_buckets()
    assert "Traceback" not in server.stderr


# ------------------------------------------------------------------------------------- what is too large


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 500 + "1" + ")" * 500,
        "SELECT " + "abs(" * 3000 + "1" + ")" * 3000,
        "SELECT " + "ARRAY[" * 400 + "1" + "]" * 400,
        "SELECT " + "CASE WHEN true THEN " * 300 + "1" + " END" * 300,
        "SELECT " + "NOT " * 2000 + "true",
        "SELECT CAST(NULL AS " + "array(" * 90 + "int" + ")" * 90 + ")",
        "CREATE EXTERNAL TABLE t (a " + "struct<a:" * 5000 + "int" + ">" * 5000 + ") LOCATION 's3://b/x/'",
        "SELECT " + "," * 40_000,
    ],
    ids=["brackets", "functions", "arrays", "cases", "nots", "types", "hive types", "commas"],
)
def test_what_is_too_deep_or_too_long_is_refused_by_name_and_soon(server: LocalAthena, sql: str) -> None:
    reason = _fail(server, sql)
    assert any(words in reason for words in ("too large", "nested too deeply", "mismatched input"))
    assert "RecursionError" not in reason
    assert "Traceback" not in server.stderr


def _fail(server: LocalAthena, sql: str) -> str:
    athena = server.client("athena")
    buckets = {found["Name"] for found in server.client("s3").list_buckets()["Buckets"]}
    if "results" not in buckets:
        server.client("s3").create_bucket(Bucket="results")
    try:
        started = athena.start_query_execution(
            QueryString=sql, ResultConfiguration={"OutputLocation": "s3://results/"}
        )
    except athena.exceptions.InvalidRequestException as error:
        return str(error)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        execution: dict[str, Any] = athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
        status = execution["QueryExecution"]["Status"]
        if status["State"] not in {"QUEUED", "RUNNING"}:
            assert status["State"] == "FAILED"
            return str(status["StateChangeReason"])
        time.sleep(0.05)
    raise AssertionError("it runs for minutes")
