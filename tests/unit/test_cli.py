"""``quilt-athena policy``: what whoever approves the policy is shown."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from airflow_quilt_athena.cli import main
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from local_athena import LocalAthena
from tests.integration.lab import put_quilt_bucket

REQUIRED = ("--account-id", "123456789012", "--region", "us-east-1", "--results-bucket", "acme-results")
MANY = tuple(f"acme-bucket-with-a-rather-long-name-{number:03}" for number in range(60))

# Any socket is refused: the command asks nobody.
CLOSED = """
import socket, sys
def refuse(*args, **kwargs):
    raise OSError("a socket was opened")
socket.socket = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
from airflow_quilt_athena.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What the command prints, read."""
    assert main(["policy", *REQUIRED, *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def buckets(names: tuple[str, ...]) -> list[str]:
    return [part for name in names for part in ("--quilt-bucket", name)]


@pytest.mark.integration
@pytest.mark.parametrize("many", [False, True], ids=["one document", "several documents"])
def test_what_is_printed_is_what_provisioning_makes(
    aws: LocalAthena, unique: Callable[[str], str], capsys: pytest.CaptureFixture[str], many: bool
) -> None:
    clients = AwsClients(*(aws.client(name) for name in ("athena", "glue", "s3", "iam", "sts")))
    wanted = ProvisionRequest(
        results_bucket=unique("acme-results"),
        quilt_buckets=MANY if many else ("acme-data", "acme-images"),
        database=unique("lake"),
        workgroup=unique("acme-workgroup"),
        warehouse=S3Uri("acme-lake", "tables/"),
        source_database="platform",
        policy_name=unique("AcmeAccess"),
        kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/0a1b",
    )
    put_quilt_bucket(clients.s3, *wanted.quilt_buckets)
    with contextlib.suppress(clients.glue.exceptions.AlreadyExistsException):
        clients.glue.create_database(DatabaseInput={"Name": "platform"})
    provision(clients, wanted)
    made = {}
    for policy in clients.iam.list_policies(Scope="Local", MaxItems=1000)["Policies"]:
        if policy["PolicyName"].startswith(wanted.policy_name):
            arn, version = policy["Arn"], policy["DefaultVersionId"]
            answer = clients.iam.get_policy_version(PolicyArn=arn, VersionId=version)
            made[policy["PolicyName"]] = answer["PolicyVersion"]["Document"]
    printed = run(
        capsys,
        *("--results-bucket", wanted.results_bucket),
        *buckets(wanted.quilt_buckets),
        *("--database", wanted.database, "--workgroup", wanted.workgroup),
        *("--warehouse", str(wanted.warehouse), "--source-database", "platform"),
        *("--policy-name", wanted.policy_name, "--kms-key-arn", str(wanted.kms_key_arn)),
    )
    assert (len(made) > 1) is many
    assert (printed if many else {wanted.policy_name: printed}) == made


def test_no_network_and_no_credentials_are_needed() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ran = subprocess.run(
        [sys.executable, "-c", CLOSED, "policy", *REQUIRED, "--quilt-bucket", "acme-data"],
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "arn:aws:s3:::acme-data/.quilt/packages/*" in ran.stdout
    assert json.loads(ran.stdout)["Version"] == "2012-10-17"


def test_names_that_are_not_given_are_those_of_provisioning(capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(run(capsys, "--quilt-bucket", "acme-data"))
    assert "arn:aws:athena:us-east-1:123456789012:workgroup/quilt-query" in text
    assert "arn:aws:glue:us-east-1:123456789012:table/quilt_query/*" in text
    assert "s3:DeleteObject" not in text  # nothing is written without a warehouse
    assert "kms:" not in text


def test_documents_for_many_buckets_are_printed_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(capsys, *buckets(MANY), "--policy-name", "Acme")
    assert list(printed) == [
        f"Acme-{number}" if number > 1 else "Acme" for number in range(1, len(printed) + 1)
    ]
    assert len(printed) > 1
    for name in MANY:
        holders = [
            one for one in printed.values() if f"arn:aws:s3:::{name}/.quilt/packages/*" in json.dumps(one)
        ]
        assert len(holders) == 1


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
def test_another_partition_is_in_every_arn(capsys: pytest.CaptureFixture[str], partition: str) -> None:
    printed = run(capsys, "--partition", partition, "--quilt-bucket", "acme-data")
    resources = [resource for one in printed["Statement"] for resource in one["Resource"]]
    assert {resource.split(":")[1] for resource in resources} == {partition}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--account-id", "12345"), "Not an AWS account: '12345'. Expected 12 digits."),
        (("--results-bucket", "s3://acme"), "Leave out s3://."),
        (("--quilt-bucket", "a/b"), "Not a bucket name: 'a/b'"),
        (("--database", "Lake"), "Not a name for a Glue database: 'Lake'"),
        (("--workgroup", "a b"), "Not a name for an Athena workgroup: 'a b'"),
        (("--warehouse", "acme-lake/tables"), "Not an S3 URI: 'acme-lake/tables'"),
        (("--policy-name", "a b"), "Not a policy name: 'a b'"),
        (("--source-database", "*"), "Not a name for a Glue database: '*'"),
        (("--warehouse", "s3://acme-lake/*"), "holds a wildcard of IAM"),
        (("--warehouse", "s3://*/tables/"), "holds a wildcard of IAM"),
        (("--warehouse", "s3://?/tables/"), "holds a wildcard of IAM"),
        (("--region", "*"), "Not an AWS region: '*'"),
        (("--kms-key-arn", "*"), "is no key of KMS"),
        (("--catalog-kms-key-arn", "arn:aws:kms:us-east-1:123456789012:alias/x"), "an alias"),
        (("--quilt-kms-key-arn", "arn:aws:kms:*:123456789012:key/1"), "is no key of KMS"),
        (("--warehouse", "s3://acme-lake/" + "d" * 6000), "does not fit 6144 characters"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_bad_input_is_told_in_one_line_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert main(["policy", *REQUIRED, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("quilt-athena policy: ")
    assert words in line


@pytest.mark.parametrize("missing", ["--account-id", "--region", "--results-bucket"])
def test_what_must_be_given_is_named(capsys: pytest.CaptureFixture[str], missing: str) -> None:
    at = REQUIRED.index(missing)
    with pytest.raises(SystemExit) as exit_:
        main(["policy", *REQUIRED[:at], *REQUIRED[at + 2 :]])
    assert exit_.value.code == 2
    assert missing in capsys.readouterr().err
