"""The two operators as tasks, and the policy they hand out, used by a role that has nothing else."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from airflow_quilt_athena.operators.provision_quilt_athena import ProvisionQuiltAthenaOperator
from local_athena import LocalAthena
from tests.integration.lab import Lab, connection, run_task
from tests.integration.quilt_registry import push, reached_by_quilt3

pytestmark = pytest.mark.integration

Unique = Callable[[str], str]
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


class Team:
    """Names of a team's own, and what its tasks do."""

    def __init__(self, aws: LocalAthena, unique: Unique) -> None:
        self.aws = aws
        self.lab = Lab.open(aws, unique)
        self.results = unique("acme-results")
        self.bucket = unique("acme-data").replace("_", "-")
        self.other_bucket = unique("other-data").replace("_", "-")
        self.database = unique("lake")
        self.workgroup = unique("acme-workgroup")
        self.role = unique("worker-role")
        self.policy = unique("worker-policy")
        self.credentials: dict[str, str] = {}
        for bucket in (self.bucket, self.other_bucket):
            aws.client("s3").create_bucket(Bucket=bucket)
            self.put_package(bucket)
        aws.client("iam").create_role(RoleName=self.role, AssumeRolePolicyDocument=json.dumps(TRUST))

    def put_package(self, bucket: str) -> None:
        s3, top_hash = self.aws.client("s3"), "ab" * 32
        header = '{"version": "v0", "message": "hello"}\n'
        s3.put_object(Bucket=bucket, Key=f".quilt/packages/{top_hash}", Body=header.encode())
        for pointer in ("1767225600", "latest"):
            self.put_pointer("team/pkg", pointer, bucket)

    def put_pointer(self, name: str, pointer: str = "latest", bucket: str | None = None) -> None:
        key = f".quilt/named_packages/{name}/{pointer}"
        self.aws.client("s3").put_object(Bucket=bucket or self.bucket, Key=key, Body=b"ab" * 32)

    def provision(self, **changes: Any) -> Any:
        arguments: dict[str, Any] = {
            "task_id": "provision",
            "results_bucket": self.results,
            "quilt_buckets": [self.bucket],
            "database": self.database,
            "workgroup": self.workgroup,
            "policy_name": self.policy,
            "attach_to_roles": [self.role],
        }
        return self.lab.run_task(ProvisionQuiltAthenaOperator(**(arguments | changes))).result

    def views(self, **changes: Any) -> Any:
        arguments: dict[str, Any] = {
            "task_id": "views",
            "bucket": self.bucket,
            "database": self.database,
            "workgroup": self.workgroup,
        }
        return self.lab.run_task(CreateBucketViewsOperator(**(arguments | changes))).result

    def as_role(self, service: str) -> Any:
        """A client that may do what the role may."""
        if not self.credentials:
            role = self.aws.client("iam").get_role(RoleName=self.role)["Role"]["Arn"]
            answer = self.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="worker")["Credentials"]
            self.credentials = {
                "aws_access_key_id": answer["AccessKeyId"],
                "aws_secret_access_key": answer["SecretAccessKey"],
                "aws_session_token": answer["SessionToken"],
            }
        return self.aws.client(service, **self.credentials)

    def refresh_as_role(self, bucket: str) -> None:
        request = RefreshRequest((bucket,), self.database, self.workgroup)
        refresh_bucket_views(self.as_role("athena"), self.as_role("glue"), request, timeout_seconds=60)

    def count_as_role(self, bucket: str, workgroup: str | None = None) -> None:
        run_query(
            self.as_role("athena"),
            f"SELECT count(*) FROM {BucketNames.of(bucket).revisions}",
            database=self.database,
            workgroup=workgroup or self.workgroup,
            timeout_seconds=60,
        )


@pytest.fixture
def team(aws: LocalAthena, unique: Unique, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    team = Team(aws, unique)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield team
    aws.set_latency({})


def _actions(xcom: dict[str, Any]) -> dict[str, str]:
    return {resource["name"]: resource["action"] for resource in xcom["resources"]}


# ------------------------------------------------------------------------------------------ as tasks


def test_provision_then_views_then_both_again(team: Team) -> None:
    assert team.provision()["changed"] is True
    made = team.views()
    names = BucketNames.of(team.bucket)
    assert _actions(made) == {f"{team.database}.{name}": "created" for name in (*names.tables, *names.views)}
    assert json.loads(json.dumps(made)) == made
    assert set(_actions(team.provision()).values()) == {"unchanged"}
    assert set(_actions(team.views()).values()) == {"unchanged"}


def test_the_plan_is_in_the_task_log_as_a_person_reads_it(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    team.provision()
    team.views()
    log = capsys.readouterr().out
    names = BucketNames.of(team.bucket)
    location = f"location: s3://{team.bucket}/.quilt/packages/"
    assert f"+ table {team.database}.{names.manifests}: to create\n    {location}" in log
    assert f"+ view {team.database}.{names.entries}: to create" in log
    assert "Plan: 8 to create, 0 to change, 0 unchanged." in log


def test_a_dry_run_returns_the_plan_and_makes_nothing(team: Team) -> None:
    planned = team.provision(dry_run=True)
    assert planned["changed"] is True
    databases = team.aws.client("glue").get_databases()["DatabaseList"]
    assert team.database not in {database["Name"] for database in databases}
    assert planned == team.provision()


def test_bad_input_fails_at_once_and_is_not_retried(team: Team) -> None:
    with pytest.raises(AirflowFailException, match="Not a bucket name"):
        team.provision(quilt_buckets="s3://acme")
    with pytest.raises(AirflowFailException, match=r"does not exist\. Create it"):
        team.views(database="nowhere")
    with pytest.raises(AirflowFailException, match="'iceberg' is not supported yet"):
        team.views(source="iceberg")


def test_a_slow_athena_is_waited_for_in_the_triggerer(team: Team) -> None:
    team.provision()
    team.aws.set_latency({"athena:query": 1.0})
    operator = CreateBucketViewsOperator(
        task_id="views",
        bucket=team.bucket,
        database=team.database,
        workgroup=team.workgroup,
        deferrable=True,
        defer_after=0.1,
    )
    ran = run_task(operator)
    assert ran.deferrals == 1
    assert set(_actions(ran.result).values()) == {"created"}
    assert set(_actions(team.views()).values()) == {"unchanged"}


def test_buckets_may_be_mapped_and_named_in_the_ui() -> None:
    with DAG("mapped", schedule=None):
        mapped = CreateBucketViewsOperator.partial(
            task_id="views", map_index_template="{{ task.bucket }}"
        ).expand(bucket=["acme-one", "acme-two"])
    assert mapped.map_index_template == "{{ task.bucket }}"
    assert "bucket" in CreateBucketViewsOperator.template_fields


# ---------------------------------------------------------------------------------- hidden packages


def _push(team: Team, *names: str) -> list[str]:
    """Push packages with quilt3; return all that it lists afterwards."""
    registry = f"s3://{team.bucket}"
    with reached_by_quilt3(team.aws) as quilt3:
        for number, name in enumerate(names):
            push(quilt3, registry, name, {"a.txt": (name, {})}, at=1_767_225_600 + number)
        return sorted(quilt3.list_packages(registry))


def _listings(team: Team) -> list[str]:
    return [call.detail for call in team.aws.calls if call.name == "s3:ListObjectsV2" and not call.by_athena]


def _warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What tasks have warned of: Airflow logs to standard output, and in 3.1 to standard error, coloured."""
    captured = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", captured.out + captured.err)
    return [line for line in plain.splitlines() if "[warning" in line]


def test_packages_that_no_query_sees_are_told_of(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    listed = _push(team, "_x/pkg", "user/_x", "user/a_b", "x_/pkg_")
    assert listed == ["_x/pkg", "team/pkg", "user/_x", "user/a_b", "x_/pkg_"]
    team.provision()
    made = team.views()
    assert made["hidden_packages"] == {team.bucket: ["_x/pkg", "user/_x"]}
    (warning,) = _warnings(capsys)
    assert f"Bucket {team.bucket} has 2 packages that no query sees" in warning
    assert ": _x/pkg, user/_x " in warning
    # And indeed no query sees them.
    names = BucketNames.of(team.bucket)
    rows = team.lab.rows(f"SELECT DISTINCT pkg_name FROM {team.database}.{names.revisions}")
    assert {name for (name,) in rows} == {"team/pkg", "user/a_b", "x_/pkg_"}


def test_they_are_told_of_on_every_run_also_when_nothing_changes(team: Team) -> None:
    team.put_pointer("_x/pkg")
    team.provision()
    team.views()
    again = team.views()
    assert again["changed"] is False
    assert again["hidden_packages"] == {team.bucket: ["_x/pkg"]}


def test_they_are_told_by_bucket_and_only_of_buckets_that_have_any(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    team.put_pointer("_x/pkg")
    team.provision(quilt_buckets=[team.bucket, team.other_bucket])
    made = team.views(bucket=[team.other_bucket, team.bucket])
    assert made["hidden_packages"] == {team.bucket: ["_x/pkg"]}
    (warning,) = _warnings(capsys)
    assert team.other_bucket not in warning
    assert team.views(bucket=team.other_bucket)["hidden_packages"] == {}


def test_names_that_begin_with_a_dot_are_hidden_as_well(team: Team) -> None:
    # quilt3 makes none; other writers may.
    for name in (".x/pkg", "user/.x", "_x/.y", "user/x.y"):
        team.put_pointer(name)
    team.provision()
    assert team.views()["hidden_packages"] == {team.bucket: [".x/pkg", "_x/.y", "user/.x"]}


def test_looking_for_them_costs_calls_by_namespace_and_not_by_package(team: Team) -> None:
    for number in range(40):
        team.put_pointer(f"user/pkg-{number}")
    team.put_pointer("_x/pkg")
    team.provision()
    team.aws.clear_calls()
    team.views(check_completeness=False)
    # Whether there are packages; the namespaces; team and user twice each; _x once.
    assert len(_listings(team)) == 1 + 1 + 2 + 2 + 1


def test_they_are_not_looked_for_when_nobody_asks(team: Team) -> None:
    team.put_pointer("_x/pkg")
    team.provision()
    team.aws.clear_calls()
    assert team.views(find_hidden=False)["hidden_packages"] == {}
    assert len(_listings(team)) == 1  # whether there are packages
    team.aws.clear_calls()
    team.views(find_hidden=False)
    assert _listings(team) == []


def test_a_bucket_that_is_not_there_or_holds_no_packages_gets_no_tables_or_views(team: Team) -> None:
    team.provision()
    empty = f"{team.bucket}-empty"
    team.aws.client("s3").create_bucket(Bucket=empty)
    team.aws.clear_calls()
    for bucket, words in ((f"{team.bucket}-gone", "There is no bucket"), (empty, "holds no Quilt packages")):
        with pytest.raises(AirflowFailException, match=words):
            team.views(bucket=[team.bucket, bucket])
    assert team.aws.client("glue").get_tables(DatabaseName=team.database)["TableList"] == []
    assert not [call for call in team.aws.calls if call.operation in {"CreateTable", "StartQueryExecution"}]


def test_they_are_told_of_after_a_deferral_too(team: Team) -> None:
    team.put_pointer("_x/pkg")
    team.provision()
    team.aws.set_latency({"athena:query": 1.0})
    operator = CreateBucketViewsOperator(
        task_id="views",
        bucket=team.bucket,
        database=team.database,
        workgroup=team.workgroup,
        deferrable=True,
        defer_after=0.1,
    )
    ran = run_task(operator)
    assert ran.deferrals == 1
    assert ran.result["hidden_packages"] == {team.bucket: ["_x/pkg"]}


# ---------------------------------------------------------------------------------- with our policy


@pytest.fixture(scope="module")
def provisioned(aws: LocalAthena) -> Team:
    """A team whose role has our policy and nothing else."""
    token = uuid.uuid4().hex[:8]
    team = Team(aws, lambda prefix: f"{prefix}{'-' if '-' in prefix else '_'}{token}")
    clients = AwsClients(*(aws.client(name) for name in ("athena", "glue", "s3", "iam", "sts")))
    request = ProvisionRequest(
        results_bucket=team.results,
        quilt_buckets=(team.bucket,),
        database=team.database,
        workgroup=team.workgroup,
        policy_name=team.policy,
        attach_to_roles=(team.role,),
    )
    provision(clients, request)
    return team


@pytest.fixture
def restricted(provisioned: Team) -> Iterator[Team]:
    provisioned.aws.enforce_iam(True)
    yield provisioned
    provisioned.aws.enforce_iam(False)


def test_a_role_with_our_policy_makes_and_reads_its_own_buckets_views(restricted: Team) -> None:
    restricted.refresh_as_role(restricted.bucket)
    restricted.refresh_as_role(restricted.bucket)
    restricted.count_as_role(restricted.bucket)


def test_a_role_with_our_policy_reads_no_other_bucket(restricted: Team) -> None:
    restricted.refresh_as_role(
        restricted.other_bucket
    )  # names in its own database, over files it may not read
    with pytest.raises(QuiltAthenaError, match=r"(?i)access ?denied|insufficient permissions"):
        restricted.count_as_role(restricted.other_bucket)


def test_a_role_with_our_policy_runs_nothing_in_another_workgroup(restricted: Team) -> None:
    with pytest.raises(QuiltAthenaError, match=r"(?i)StartQueryExecution"):
        restricted.count_as_role(restricted.bucket, workgroup=restricted.lab.workgroup)


def test_a_role_that_may_not_list_gets_its_views_and_a_warning(
    restricted: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = f"new-{uuid.uuid4().hex[:8]}"
    restricted.aws.client("s3").create_bucket(Bucket=bucket)
    restricted.put_pointer("_x/pkg", bucket=bucket)
    operator = CreateBucketViewsOperator(
        task_id="views", bucket=bucket, database=restricted.database, workgroup=restricted.workgroup
    )
    operator.__dict__["hook"] = SimpleNamespace(client=restricted.as_role)
    with without_grants(restricted, lambda granted: granted == "s3:ListBucket"):
        made = run_task(operator).result
    assert set(_actions(made).values()) == {"created"}
    assert made["hidden_packages"] == {}
    glue = restricted.aws.client("glue")
    found = {table["Name"] for table in glue.get_tables(DatabaseName=restricted.database)["TableList"]}
    assert {*BucketNames.of(bucket).tables, *BucketNames.of(bucket).views} <= found
    (warning,) = _warnings(capsys)
    assert f"Whether bucket {bucket} has hidden packages could not be told" in warning
    assert "s3:ListBucket" in warning


def test_without_the_policy_a_role_may_do_nothing(restricted: Team) -> None:
    with without_grants(restricted, lambda _: True), pytest.raises(QuiltAthenaError, match=r"(?i)GetTables"):
        restricted.refresh_as_role(restricted.bucket)


@pytest.mark.parametrize(
    "action",
    [
        "athena:StartQueryExecution",
        "athena:BatchGetQueryExecution",
        "glue:GetTables",
        "glue:GetTable",
        "glue:CreateTable",
        "glue:UpdateTable",
        "s3:PutObject",
    ],
)
def test_each_grant_taken_away_stops_the_views_from_being_made(restricted: Team, action: str) -> None:
    bucket = f"new-{uuid.uuid4().hex[:8]}"
    with without_grants(restricted, lambda granted: granted == action), pytest.raises(QuiltAthenaError):
        restricted.refresh_as_role(bucket)


@contextmanager
def without_grants(team: Team, is_taken: Callable[[str], bool]) -> Iterator[None]:
    """Take grants out of the team's policy for the time of the block."""
    iam = team.aws.client("iam")
    (attached,) = iam.list_attached_role_policies(RoleName=team.role)["AttachedPolicies"]
    arn = attached["PolicyArn"]
    whole = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
    statements = [
        {**statement, "Action": actions}
        for statement in whole["Statement"]
        if (actions := [action for action in statement["Action"] if not is_taken(action)])
    ]
    # A document without statements is none; this one grants what nobody asks for.
    statements.append({"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"})
    version = iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=json.dumps({**whole, "Statement": statements}), SetAsDefault=True
    )["PolicyVersion"]["VersionId"]
    try:
        yield
    finally:
        iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
