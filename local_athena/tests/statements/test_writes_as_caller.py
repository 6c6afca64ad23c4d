"""Queries write as the one who started them: what the caller may not do, CTAS may not do either."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from local_athena import LocalAthena
from support.athena_runner import Answer, Runner

pytestmark = pytest.mark.integration

READ = ["athena:*", "glue:Get*", "s3:Get*", "s3:List*"]


@pytest.fixture
def strict(aws: LocalAthena) -> Iterator[LocalAthena]:
    yield aws
    aws.enforce_iam(False)  # the other tests' callers hold no grants


def as_user(aws: LocalAthena, runner: Runner, allow: list[dict[str, Any]]) -> Callable[[str], Answer]:
    iam = aws.client("iam")
    name = f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    document = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in allow]}
    )
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    limited = Runner.__new__(Runner)
    limited.bucket, limited.database = runner.bucket, runner.database
    limited.athena = boto3.client(
        "athena",
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    return limited.run


def test_a_ctas_needs_its_callers_grants(strict: LocalAthena, unique: Callable[[str], str]) -> None:
    runner = Runner(strict, unique("iam-bucket"), unique("iam"))
    runner.ok(f"CREATE DATABASE {runner.database}")
    bucket = f"arn:aws:s3:::{runner.bucket}"
    results = {"Action": ["s3:PutObject"], "Resource": [f"{bucket}/results/*"]}
    data = {"Action": ["s3:PutObject"], "Resource": [f"{bucket}/data/*"]}
    read = {"Action": READ, "Resource": ["*"]}
    create = {"Action": ["glue:CreateTable", "glue:BatchCreatePartition"], "Resource": ["*"]}
    no_data = as_user(strict, runner, [read, results, create])
    no_glue = as_user(strict, runner, [read, results, data])
    allowed = as_user(strict, runner, [read, results, data, create])
    strict.enforce_iam(True)

    def ctas(name: str) -> str:
        place = f"s3://{runner.bucket}/data/{name}/"
        return (
            f"CREATE TABLE {name} WITH (external_location='{place}', partitioned_by=ARRAY['p']) AS "
            "SELECT 1 AS a, 'x' AS p"
        )

    answer = no_data(ctas("t1"))
    assert answer.state == "FAILED"
    assert "s3:PutObject" in answer.reason
    answer = no_glue(ctas("t2"))
    assert answer.state == "FAILED"
    assert "Insufficient permissions to execute the query" in answer.reason
    assert "glue:CreateTable" in answer.reason
    answer = allowed(ctas("t3"))
    assert answer.state == "SUCCEEDED", answer.reason
    assert [t["Name"] for t in runner.glue.get_tables(DatabaseName=runner.database)["TableList"]] == ["t3"]
    assert len(runner.keys("data/t2/")) == 1  # written before Glue refused, and left as Athena leaves it
    assert runner.keys("data/t1/") == []
