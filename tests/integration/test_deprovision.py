"""Taking away against a running local AWS: what provisioning made goes, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, ManualActionError
from airflow_quilt_athena.flows.provisioning.deprovision import DeprovisionRequest, deprovision
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from airflow_quilt_athena.operators.deprovision_quilt_athena import DeprovisionQuiltAthenaOperator
from local_athena import LocalAthena
from local_athena.wire.faults import Fault
from tests.integration.lab import connection, put_quilt_bucket, run_task

pytestmark = pytest.mark.integration

Unique = Callable[[str], str]
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)
GONE = {"results bucket", "workgroup", "database", "policy"}


class World:
    """What was provisioned under names of its own."""

    def __init__(self, aws: LocalAthena, unique: Unique) -> None:
        self.aws = aws
        self.clients = AwsClients(*(aws.client(name) for name in ("athena", "glue", "s3", "iam", "sts")))
        self.role = unique("worker-role")
        self.clients.iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=TRUST)
        self.request = ProvisionRequest(
            results_bucket=unique("acme-results"),
            quilt_buckets=(unique("acme-data"),),
            database=unique("lake"),
            workgroup=unique("acme-workgroup"),
            warehouse=S3Uri(unique("acme-lake"), "tables/"),
            policy_name=unique("AcmeAccess"),
            attach_to_roles=(self.role,),
        )
        self.bucket = self.request.results_bucket
        put_quilt_bucket(self.clients.s3, *self.request.quilt_buckets)
        self.arn = f"arn:aws:iam::123456789012:policy/{self.request.policy_name}"

    def provision(self, **changes: Any) -> None:
        put_quilt_bucket(self.clients.s3, *changes.get("quilt_buckets", ()))
        provision(self.clients, dataclasses.replace(self.request, allow_narrowing=True, **changes))

    def deprovision(self, *, dry_run: bool = False, **changes: Any) -> Plan:
        names = {
            name: getattr(self.request, name)
            for name in ("results_bucket", "database", "workgroup", "policy_name")
        }
        return deprovision(self.clients, DeprovisionRequest(**(names | changes)), dry_run=dry_run)

    def put_results(self, *keys: str) -> None:
        for key in keys:
            self.clients.s3.put_object(Bucket=self.bucket, Key=key, Body=b"1")

    def put_table(self, name: str = "orders") -> None:
        table = {
            "Name": name,
            "StorageDescriptor": {"Columns": [], "Location": "s3://acme-lake/tables/orders"},
        }
        self.clients.glue.create_table(DatabaseName=self.request.database, TableInput=table)

    def left(self) -> set[str]:
        """Which of the things there still are."""
        clients, request = self.clients, self.request
        looks: dict[str, Callable[[], object]] = {
            "results bucket": lambda: clients.s3.head_bucket(Bucket=self.bucket),
            "workgroup": lambda: clients.athena.get_work_group(WorkGroup=request.workgroup),
            "database": lambda: clients.glue.get_database(Name=request.database),
            "policy": lambda: clients.iam.get_policy(PolicyArn=self.arn),
        }
        return {name for name, look in looks.items() if _is_there(look)}

    def holders(self) -> set[str]:
        """Roles, users and groups that hold a policy of ours."""
        page = self.clients.iam.list_entities_for_policy(PolicyArn=self.arn)
        return {
            holder[f"{kind}Name"] for kind in ("Role", "User", "Group") for holder in page[f"Policy{kind}s"]
        }

    def keys(self) -> set[str]:
        listed = self.clients.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        return {item["Key"] for item in listed}

    def rules(self) -> list[str]:
        try:
            answer = self.clients.s3.get_bucket_lifecycle_configuration(Bucket=self.bucket)
        except ClientError:
            return []
        return [rule["ID"] for rule in answer["Rules"]]


def _is_there(look: Callable[[], object]) -> bool:
    try:
        look()
    except ClientError as error:
        text = str(error)
        assert any(code in text for code in ("404", "NoSuchEntity", "EntityNotFound", "not found")), text
        return False
    return True


def _actions(plan: Plan) -> dict[str, str]:
    return {step.resource: step.action.value for step in plan.steps}


def _why(plan: Plan, resource: str) -> str:
    (step,) = (step for step in plan.steps if step.resource == resource)
    (detail,) = step.details
    assert (step.action.value, detail.setting) == ("unchanged", "kept")
    return str(detail.wanted)


@pytest.fixture
def world(aws: LocalAthena, unique: Unique) -> Iterator[World]:
    yield World(aws, unique)
    aws.set_faults()
    aws.enforce_iam(False)


# -------------------------------------------------------------------------------------- what goes


def test_all_that_was_provisioned_goes_and_a_second_time_there_is_nothing_to_do(world: World) -> None:
    world.provision()
    assert world.left() == GONE
    assert _actions(world.deprovision()) == dict.fromkeys(GONE, "removed")
    assert world.left() == set()
    held = world.clients.iam.list_attached_role_policies(RoleName=world.role)["AttachedPolicies"]
    assert held == []
    again = world.deprovision()
    assert not again.changed
    assert set(_actions(again).values()) == {"unchanged"}


def test_the_role_itself_and_its_other_policies_stay(world: World) -> None:
    world.provision()
    iam = world.clients.iam
    statement = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    theirs = iam.create_policy(PolicyName=f"{world.role}-own", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=world.role, PolicyArn=theirs)
    iam.put_role_policy(RoleName=world.role, PolicyName="inline", PolicyDocument=document)
    world.deprovision()
    held = iam.list_attached_role_policies(RoleName=world.role)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in held] == [theirs]
    assert iam.list_role_policies(RoleName=world.role)["PolicyNames"] == ["inline"]


def test_a_policy_is_taken_from_roles_users_and_groups_whoever_gave_it_to_them(
    world: World, unique: Unique
) -> None:
    world.provision()
    iam, user, group = world.clients.iam, unique("user"), unique("group")
    iam.create_user(UserName=user)
    iam.create_group(GroupName=group)
    iam.attach_user_policy(UserName=user, PolicyArn=world.arn)
    iam.attach_group_policy(GroupName=group, PolicyArn=world.arn)
    assert world.holders() == {world.role, user, group}
    world.deprovision()
    assert "policy" not in world.left()
    assert iam.list_attached_user_policies(UserName=user)["AttachedPolicies"] == []
    assert iam.list_attached_group_policies(GroupName=group)["AttachedPolicies"] == []


def test_a_policy_of_many_versions_goes(world: World) -> None:
    for number in range(5):
        world.provision(quilt_buckets=(f"acme-{number}",))
    assert len(world.clients.iam.list_policy_versions(PolicyArn=world.arn)["Versions"]) == 5
    world.deprovision()
    assert "policy" not in world.left()


def test_every_document_of_a_split_policy_goes(world: World) -> None:
    buckets = tuple(f"acme-bucket-with-a-rather-long-name-{number:03}" for number in range(60))
    world.provision(quilt_buckets=buckets)
    iam = world.clients.iam
    names = {
        policy["PolicyName"]
        for policy in iam.list_attached_role_policies(RoleName=world.role)["AttachedPolicies"]
    }
    assert len(names) > 2
    plan = world.deprovision()
    assert {step.name for step in plan.steps if step.resource == "policy"} == names
    assert iam.list_attached_role_policies(RoleName=world.role)["AttachedPolicies"] == []
    for name in names:
        with pytest.raises(ClientError, match="NoSuchEntity"):
            iam.get_policy(PolicyArn=f"arn:aws:iam::123456789012:policy/{name}")


def test_a_workgroup_goes_with_its_history(world: World) -> None:
    world.provision()
    athena = world.clients.athena
    athena.start_query_execution(QueryString="SELECT 1", WorkGroup=world.request.workgroup)
    athena.create_named_query(
        Name="saved", Database="lake", QueryString="SELECT 1", WorkGroup=world.request.workgroup
    )
    world.deprovision(delete_results=True)
    assert "workgroup" not in world.left()


# --------------------------------------------------------------------------------------- the bucket


def test_a_bucket_with_results_stays_unless_told(world: World) -> None:
    world.provision()
    world.put_results("results/a.csv", "results/b.csv")
    kept = world.deprovision()
    assert _why(kept, "results bucket") == "it holds 2 objects; delete_results=True deletes them with it"
    assert world.left() == {"results bucket"}
    assert world.keys() == {"results/a.csv", "results/b.csv"}
    assert world.rules() == ["quilt-athena-results"]
    told = world.deprovision(delete_results=True)
    assert _actions(told)["results bucket"] == "removed"
    assert world.left() == set()


def test_versions_and_delete_markers_count_and_go_with_the_bucket(world: World) -> None:
    world.provision()
    s3 = world.clients.s3
    s3.put_bucket_versioning(Bucket=world.bucket, VersioningConfiguration={"Status": "Enabled"})
    world.put_results("results/a.csv", "results/a.csv", "results/b.csv")
    s3.delete_object(Bucket=world.bucket, Key="results/a.csv")
    s3.delete_object(Bucket=world.bucket, Key="results/b.csv")
    assert world.keys() == set()  # a listing shows nothing of the three versions and two markers
    assert "it holds 5 objects" in _why(world.deprovision(), "results bucket")
    assert world.left() == {"results bucket"}
    world.deprovision(delete_results=True)
    assert world.left() == set()


def test_more_objects_than_one_call_deletes_go(world: World) -> None:
    world.provision()
    world.put_results(*(f"results/{number}.csv" for number in range(1001)))
    world.deprovision(delete_results=True)
    assert world.left() == set()


def test_what_is_written_between_the_look_and_the_deed_keeps_an_empty_bucket(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.provision()
    _before(monkeypatch, world.clients.glue, "delete_database", lambda: world.put_results("results/late.csv"))
    with pytest.raises(InvalidCallError, match=f"delete bucket {world.bucket}: BucketNotEmpty"):
        world.deprovision()
    assert world.keys() == {"results/late.csv"}
    assert "it holds 1 objects" in _why(world.deprovision(), "results bucket")


def _before(monkeypatch: pytest.MonkeyPatch, client: Any, call: str, happens: Callable[[], object]) -> None:
    """Let something happen just before a call."""
    made = getattr(client, call)

    def late(**request: Any) -> Any:
        happens()
        return made(**request)

    monkeypatch.setattr(client, call, late)


def test_somebody_elses_bucket_loses_our_rule_and_nothing_more(world: World) -> None:
    s3 = world.clients.s3
    s3.create_bucket(Bucket=world.bucket)
    s3.put_bucket_tagging(Bucket=world.bucket, Tagging={"TagSet": [{"Key": "team", "Value": "them"}]})
    theirs = {"ID": "logs", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket=world.bucket, LifecycleConfiguration={"Rules": [theirs]})
    world.provision()
    world.put_results("results/a.csv")
    assert set(world.rules()) == {"logs", "quilt-athena-results"}
    plan = world.deprovision(delete_results=True)
    (step,) = (step for step in plan.steps if step.resource == "results bucket")
    assert [str(detail) for detail in step.details] == ["lifecycle rule quilt-athena-results: ours → removed"]
    assert world.rules() == ["logs"]
    assert world.left() == {"results bucket"}
    assert world.keys() == {"results/a.csv"}
    assert s3.get_bucket_tagging(Bucket=world.bucket)["TagSet"] == [{"Key": "team", "Value": "them"}]
    assert _why(world.deprovision(delete_results=True), "results bucket") == "somebody else made it"


def test_the_last_rule_of_somebody_elses_bucket_goes_too(world: World) -> None:
    world.clients.s3.create_bucket(Bucket=world.bucket)
    world.provision()
    world.deprovision()
    assert world.rules() == []
    assert world.left() == {"results bucket"}


def test_a_bucket_of_another_account_is_refused_before_anything_goes(world: World, unique: Unique) -> None:
    world.provision()
    others = unique("others-results")
    answer = world.clients.sts.assume_role(
        RoleArn="arn:aws:iam::999999999999:role/guest", RoleSessionName="guest"
    )["Credentials"]
    guest = world.aws.client(
        "s3",
        aws_access_key_id=answer["AccessKeyId"],
        aws_secret_access_key=answer["SecretAccessKey"],
        aws_session_token=answer["SessionToken"],
    )
    guest.create_bucket(Bucket=others)
    with pytest.raises(AccessError, match="belongs to another account"):
        world.deprovision(results_bucket=others, delete_results=True)
    assert world.left() == GONE
    guest.head_bucket(Bucket=others)


# ------------------------------------------------------------------------------ what is somebody else's


def test_a_policy_of_somebody_elses_is_kept_and_its_holders_keep_it(world: World) -> None:
    statement = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = world.clients.iam
    iam.create_policy(PolicyName=world.request.policy_name, PolicyDocument=document)
    iam.attach_role_policy(RoleName=world.role, PolicyArn=world.arn)
    assert _why(world.deprovision(), "policy") == "somebody else made it"
    assert world.left() == {"policy"}
    assert world.holders() == {world.role}


def test_a_workgroup_of_somebody_elses_is_kept(world: World) -> None:
    world.clients.athena.create_work_group(Name=world.request.workgroup)
    assert _why(world.deprovision(), "workgroup") == "somebody else made it"
    assert world.left() == {"workgroup"}


def test_a_database_of_somebody_elses_is_kept_though_it_is_empty(world: World) -> None:
    world.clients.glue.create_database(DatabaseInput={"Name": world.request.database})
    assert _why(world.deprovision(), "database") == "somebody else made it"
    assert world.left() == {"database"}


def test_a_database_with_tables_is_kept_until_they_are_dropped(world: World) -> None:
    world.provision()
    world.put_table()
    kept = world.deprovision()
    assert _why(kept, "database") == "it holds 1 tables and views; drop them first"
    assert world.left() == {"database"}
    world.clients.glue.delete_table(DatabaseName=world.request.database, Name="orders")
    assert world.deprovision().changed
    assert world.left() == set()


def test_a_table_made_between_the_look_and_the_deed_keeps_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.provision()
    _before(monkeypatch, world.clients.athena, "delete_work_group", world.put_table)
    with pytest.raises(ManualActionError, match=f"Database {world.request.database} holds tables"):
        world.deprovision()
    tables = world.clients.glue.get_tables(DatabaseName=world.request.database)["TableList"]
    assert [table["Name"] for table in tables] == ["orders"]


def test_things_of_other_names_stay(world: World, unique: Unique) -> None:
    world.provision()
    other = World(world.aws, lambda prefix: unique(f"other-{prefix}"))
    other.provision()
    world.deprovision(delete_results=True)
    assert other.left() == GONE


# --------------------------------------------------------------------------------- told, and stopped


def test_a_dry_run_tells_the_same_plan_and_takes_nothing_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.provision()
    world.put_results("results/a.csv")
    world.aws.clear_calls()
    planned = world.deprovision(dry_run=True, delete_results=True)
    assert all(call.operation.startswith(("Get", "List", "Head")) for call in world.aws.calls)
    assert world.left() == GONE
    assert world.holders() == {world.role}
    told = [record.getMessage() for record in caplog.records]
    (shown,) = (text for text in told if text.startswith("Taking away:"))
    assert f"- results bucket {world.bucket}: to remove\n    objects: 1 → removed" in shown
    assert told[-1] == "Dry run: nothing was changed."
    assert world.deprovision(delete_results=True) == planned


CALLS = (
    "iam:ListEntitiesForPolicy",
    "iam:DetachRolePolicy",
    "iam:ListPolicyVersions",
    "iam:DeletePolicyVersion",
    "iam:DeletePolicy",
    "athena:DeleteWorkGroup",
    "glue:DeleteDatabase",
    "s3:ListObjectVersions",
    "s3:DeleteObjects",
    "s3:DeleteBucket",
)


def _provision_in_full(world: World) -> None:
    world.provision(quilt_buckets=("acme-one",))
    world.provision(quilt_buckets=("acme-two",))
    world.put_results("results/a.csv")


def test_every_call_that_takes_something_away_is_among_those_made_to_fail(world: World) -> None:
    _provision_in_full(world)
    world.aws.clear_calls()
    world.deprovision(delete_results=True)
    made = {call.name for call in world.aws.calls}
    assert {name for name in made if not name.split(":")[1].startswith(("Get", "List", "Head"))} < set(CALLS)
    assert set(CALLS) <= made


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_stopped_at_any_call_and_run_again_all_is_gone(world: World, call: str, when: Any) -> None:
    _provision_in_full(world)
    world.aws.set_faults(Fault(call=call, error="ValidationException", when=when))
    with pytest.raises(InvalidCallError, match="ValidationException"):
        world.deprovision(delete_results=True)
    world.deprovision(delete_results=True)
    assert world.left() == set()
    assert not world.deprovision(delete_results=True).changed


@pytest.mark.parametrize("call", CALLS)
def test_a_lost_answer_does_not_stop_it(world: World, call: str) -> None:
    _provision_in_full(world)
    world.aws.set_faults(Fault(call=call, when="lost"))
    world.deprovision(delete_results=True)
    assert world.left() == set()


@pytest.mark.parametrize(
    "action",
    [
        "iam:DeletePolicy",
        "athena:DeleteWorkGroup",
        "glue:DeleteDatabase",
        "s3:ListBucketVersions",
        "s3:DeleteObjectVersion",
        "s3:DeleteBucket",
    ],
)
def test_a_missing_permission_is_named(world: World, unique: Unique, action: str) -> None:
    _provision_in_full(world)
    iam, user = world.clients.iam, unique("remover")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    statements = [
        {"Effect": effect, "Action": actions, "Resource": "*"}
        for effect, actions in (("Allow", "*"), ("Deny", action))
    ]
    iam.put_user_policy(
        UserName=user,
        PolicyName="most",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )
    owner = world.clients
    world.clients = AwsClients(
        *(
            world.aws.client(
                name, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
            )
            for name in ("athena", "glue", "s3", "iam", "sts")
        )
    )
    world.aws.enforce_iam(True)
    with pytest.raises(AccessError, match=rf"{action} on resource|Grant the caller {action}"):
        world.deprovision(delete_results=True)
    world.aws.enforce_iam(False)
    world.clients = owner
    world.deprovision(delete_results=True)
    assert world.left() == set()


# ----------------------------------------------------------------------------------------- as a task


def _task(world: World, **changes: Any) -> DeprovisionQuiltAthenaOperator:
    return DeprovisionQuiltAthenaOperator(
        task_id="deprovision",
        results_bucket=world.bucket,
        database=world.request.database,
        workgroup=world.request.workgroup,
        policy_name=world.request.policy_name,
        **changes,
    )


def test_as_a_task_it_returns_what_it_took_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(world.aws))
    world.provision()
    world.put_results("results/a.csv")
    planned = run_task(_task(world, dry_run=True)).result
    assert world.left() == GONE
    result = run_task(_task(world)).result
    assert result == planned
    assert {one["resource"]: one["action"] for one in result["resources"]} == {
        "policy": "removed",
        "workgroup": "removed",
        "database": "removed",
        "results bucket": "unchanged",
    }
    assert result["changed"] is True
    assert world.left() == {"results bucket"}
    assert run_task(_task(world, delete_results=True)).result["changed"] is True
    assert world.left() == set()
    assert run_task(_task(world)).result["changed"] is False


def test_as_a_task_a_bucket_elsewhere_fails_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(world.aws))
    world.aws.client("s3", region_name="eu-west-1").create_bucket(
        Bucket=world.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    with pytest.raises(AirflowFailException, match="is in region eu-west-1"):
        run_task(_task(world))
