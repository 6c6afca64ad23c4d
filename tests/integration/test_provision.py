"""Provisioning against a running local AWS: the state of the world after it, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, ManualActionError
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from local_athena import LocalAthena
from local_athena.wire.faults import Fault
from tests.integration.lab import drop_database, put_quilt_bucket

pytestmark = pytest.mark.integration

Unique = Callable[[str], str]
WORKER_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@pytest.fixture(scope="module")
def clients(aws: LocalAthena) -> AwsClients:
    return _clients(aws)


def _clients(aws: LocalAthena, **kwargs: Any) -> AwsClients:
    return AwsClients(*(aws.client(name, **kwargs) for name in ("athena", "glue", "s3", "iam", "sts")))


# As many as make several policies.
BUCKETS = tuple(f"acme-bucket-with-a-rather-long-name-{number:03}" for number in range(60))


@pytest.fixture(scope="module", autouse=True)
def _quilt_buckets(clients: AwsClients) -> None:
    put_quilt_bucket(clients.s3, *BUCKETS, *(f"more-{number}" for number in range(6)))


@pytest.fixture
def request_(aws: LocalAthena, clients: AwsClients, unique: Unique) -> Iterator[ProvisionRequest]:
    put_quilt_bucket(clients.s3, unique("acme-data"))
    yield ProvisionRequest(
        results_bucket=unique("acme-results"),
        quilt_buckets=(unique("acme-data"),),
        database=unique("lake"),
        workgroup=unique("acme-workgroup"),
        warehouse=S3Uri(unique("acme-lake"), "tables/"),
        policy_name=unique("AcmeAccess"),
    )
    drop_database(aws, unique("lake"))


@pytest.fixture
def role(clients: AwsClients, unique: Unique) -> str:
    name = unique("worker-role")
    clients.iam.create_role(RoleName=name, Path="/team/", AssumeRolePolicyDocument=WORKER_TRUST)
    return name


def _actions(plan: Plan) -> dict[str, str]:
    return {step.resource: step.action.value for step in plan.steps}


def _settings(plan: Plan, resource: str) -> dict[str, tuple[str | None, str | None]]:
    (step,) = (step for step in plan.steps if step.resource == resource)
    return {detail.setting: (detail.was, detail.wanted) for detail in step.details}


def _arn(clients: AwsClients, name: str) -> str:
    return f"arn:aws:iam::{clients.sts.get_caller_identity()['Account']}:policy/{name}"


def _document(clients: AwsClients, name: str) -> dict[str, Any]:
    arn = _arn(clients, name)
    version = clients.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    answer = clients.iam.get_policy_version(PolicyArn=arn, VersionId=version)
    return dict(answer["PolicyVersion"]["Document"])


# ------------------------------------------------------------------------------- from nothing to all


def test_everything_is_made_once_and_a_second_run_changes_nothing(
    clients: AwsClients, request_: ProvisionRequest, role: str
) -> None:
    wanted = dataclasses.replace(request_, attach_to_roles=(role,))
    assert _actions(provision(clients, wanted)) == {
        "results bucket": "created",
        "workgroup": "created",
        "database": "created",
        "policy": "created",
        "role": "changed",
    }
    again = provision(clients, wanted)
    assert set(_actions(again).values()) == {"unchanged"}
    assert again.to_xcom()["changed"] is False


def test_the_results_bucket_is_private_encrypted_and_cleans_up_after_itself(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    provision(clients, request_)
    bucket = request_.results_bucket
    block = clients.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    encryption = clients.s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    default = encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert default["SSEAlgorithm"] == "AES256"
    (rule,) = clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["Filter"] == {"Prefix": "results/"}
    assert rule["Expiration"]["Days"] == 30
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7


def test_the_workgroup_sends_results_to_the_bucket_and_enforces_nothing(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    provision(clients, dataclasses.replace(request_, scan_cutoff_bytes=50_000_000))
    found = clients.athena.get_work_group(WorkGroup=request_.workgroup)["WorkGroup"]["Configuration"]
    assert found["ResultConfiguration"]["OutputLocation"] == f"s3://{request_.results_bucket}/results/"
    assert found["EnforceWorkGroupConfiguration"] is False
    assert found["PublishCloudWatchMetricsEnabled"] is True
    assert found["BytesScannedCutoffPerQuery"] == 50_000_000
    assert found["EngineVersion"]["SelectedEngineVersion"] == "Athena engine version 3"


def test_a_key_encrypts_results_and_its_use_is_granted(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
    wanted = dataclasses.replace(request_, kms_key_arn=key)
    provision(clients, wanted)
    answer = clients.s3.get_bucket_encryption(Bucket=request_.results_bucket)
    (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key
    found = clients.athena.get_work_group(WorkGroup=request_.workgroup)["WorkGroup"]["Configuration"]
    assert found["ResultConfiguration"]["EncryptionConfiguration"]["KmsKey"] == key
    assert key in json.dumps(_document(clients, request_.policy_name))
    assert not provision(clients, wanted).changed


def test_the_plan_is_told_in_the_log_before_it_is_carried_out(
    clients: AwsClients, request_: ProvisionRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plan = provision(clients, request_)
    told = [record.getMessage() for record in caplog.records]
    (shown,) = (text for text in told if text.startswith("Provisioning:"))
    assert f"+ results bucket {request_.results_bucket}: to create\n    region: us-east-1" in shown
    assert f"    result location: s3://{request_.results_bucket}/results/" in shown
    assert f"+ policy {request_.policy_name}: to create\n    statement RunWatch" in shown
    assert shown.endswith("Plan: 4 to create, 0 to change, 0 unchanged.")
    assert told.index(shown) < told.index(f"workgroup {request_.workgroup}: created")
    assert json.loads(json.dumps(plan.to_xcom())) == plan.to_xcom()


def test_a_dry_run_over_what_differs_reads_and_changes_nothing(
    aws: LocalAthena, clients: AwsClients, request_: ProvisionRequest, role: str
) -> None:
    worn = dataclasses.replace(request_, attach_to_roles=(role,), allow_narrowing=True)
    wear_down(clients, worn)
    aws.clear_calls()
    planned = provision(clients, worn, dry_run=True)
    assert {
        call.operation for call in aws.calls if not call.operation.startswith(("Get", "List", "Head"))
    } == set()
    assert _actions(planned) == {
        "results bucket": "changed",
        "workgroup": "changed",
        "database": "unchanged",
        "policy": "changed",
        "role": "changed",
    }
    assert provision(clients, worn) == planned


def test_a_dry_run_makes_nothing_and_tells_the_same_plan(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    planned = provision(clients, request_, dry_run=True)
    with pytest.raises(ClientError):
        clients.s3.head_bucket(Bucket=request_.results_bucket)
    with pytest.raises(ClientError):
        clients.glue.get_database(Name=request_.database)
    assert planned == provision(clients, request_)


def test_what_was_made_carries_our_mark_and_what_was_there_does_not(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    clients.s3.create_bucket(Bucket=request_.results_bucket)
    provision(clients, request_)
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        clients.s3.get_bucket_tagging(Bucket=request_.results_bucket)
    database = clients.glue.get_database(Name=request_.database)["Database"]
    assert database["Parameters"]["quilt_athena.created_by"] == "airflow-quilt-athena"
    policy = clients.iam.get_policy(PolicyArn=_arn(clients, request_.policy_name))["Policy"]
    assert policy["Tags"] == [
        {"Key": "quilt-athena:created-by", "Value": "airflow-quilt-athena"},
        {"Key": "quilt-athena:policy", "Value": request_.policy_name},  # whose it is
    ]


# -------------------------------------------------------------------------------------- convergence


def test_lifecycle_rules_of_others_stay(clients: AwsClients, request_: ProvisionRequest) -> None:
    bucket = request_.results_bucket
    clients.s3.create_bucket(Bucket=bucket)
    other = {"ID": "logs", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 3}}
    clients.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [other]})
    provision(clients, request_)
    provision(clients, dataclasses.replace(request_, results_expire_after_days=5))
    rules = clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["ID"]: rule["Expiration"]["Days"] for rule in rules} == {
        "logs": 3,
        "quilt-athena-results": 5,
    }


def test_a_stronger_encryption_that_somebody_chose_is_kept(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    bucket = request_.results_bucket
    clients.s3.create_bucket(Bucket=bucket)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "theirs"}}
    clients.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert "encryption" not in _settings(provision(clients, request_), "results bucket")


def test_the_workgroup_of_the_seed_is_converged_and_the_plan_says_from_what_to_what(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    clients.s3.create_bucket(Bucket=request_.results_bucket)
    clients.athena.create_work_group(
        Name=request_.workgroup,
        Description="Quilt uses this for Athena SQL Queries",
        Configuration={
            "ResultConfiguration": {"OutputLocation": f"s3://{request_.results_bucket}"},
            "EnforceWorkGroupConfiguration": False,
        },
    )
    settings = _settings(provision(clients, request_), "workgroup")
    assert settings["result location"] == (
        f"s3://{request_.results_bucket}",
        f"s3://{request_.results_bucket}/results/",
    )
    assert not provision(clients, request_).changed


def test_the_scan_cut_off_is_converged_when_named_and_left_when_not(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    provision(clients, dataclasses.replace(request_, scan_cutoff_bytes=50_000_000))
    assert not provision(clients, request_).changed
    lower = provision(clients, dataclasses.replace(request_, scan_cutoff_bytes=20_000_000))
    assert _settings(lower, "workgroup") == {"scan cut-off in bytes": ("50000000", "20000000")}
    found = clients.athena.get_work_group(WorkGroup=request_.workgroup)["WorkGroup"]["Configuration"]
    assert found["BytesScannedCutoffPerQuery"] == 20_000_000


def test_an_engine_chosen_by_athena_is_as_good_when_it_is_the_same(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    provision(clients, request_)
    clients.athena.update_work_group(
        WorkGroup=request_.workgroup,
        ConfigurationUpdates={"EngineVersion": {"SelectedEngineVersion": "AUTO"}},
    )
    assert not provision(clients, request_).changed


def test_a_key_named_later_replaces_the_encryption_of_both(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    provision(clients, request_)
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
    plan = provision(clients, dataclasses.replace(request_, kms_key_arn=key))
    assert _settings(plan, "results bucket") == {"encryption": ("AES256", f"aws:kms {key}")}
    assert _settings(plan, "workgroup") == {"result encryption": (None, f"SSE_KMS {key}")}
    (policy,) = (step for step in plan.steps if step.resource == "policy")
    assert [detail.setting for detail in policy.details] == ["statement EncryptAndDecryptResultsAndTables"]


def test_a_rule_of_ours_changed_by_hand_is_put_right_and_others_keep_their_order(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    provision(clients, request_)
    bucket = request_.results_bucket
    (ours,) = clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    others = [
        {"ID": name, "Filter": {"Prefix": f"{name}/"}, "Status": "Disabled", "Expiration": {"Days": 3}}
        for name in ("b", "a")
    ]
    rules = [others[0], ours | {"Status": "Disabled"}, others[1]]
    clients.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    ((was, wanted),) = _settings(provision(clients, request_), "results bucket").values()
    assert (was or "").startswith("disabled for results/")
    assert (wanted or "").startswith("enabled for results/")
    found = clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert found == [*others, ours]


def test_settings_changed_by_hand_are_put_right(clients: AwsClients, request_: ProvisionRequest) -> None:
    provision(clients, request_)
    clients.s3.delete_public_access_block(Bucket=request_.results_bucket)
    clients.athena.update_work_group(
        WorkGroup=request_.workgroup,
        ConfigurationUpdates={
            "PublishCloudWatchMetricsEnabled": False,
            "EnforceWorkGroupConfiguration": True,
        },
    )
    mended = provision(clients, request_)
    assert _settings(mended, "results bucket") == {"public access block": (None, "on")}
    assert _settings(mended, "workgroup") == {
        "metrics": ("False", "True"),
        "enforces its settings": ("True", "False"),
    }
    assert not provision(clients, request_).changed


def test_a_changed_policy_is_a_new_default_version_and_attachments_stay(
    clients: AwsClients, request_: ProvisionRequest, role: str
) -> None:
    wanted = dataclasses.replace(request_, attach_to_roles=(role,))
    provision(clients, wanted)
    for number in range(6):  # one more than versions there may be
        wanted = dataclasses.replace(wanted, quilt_buckets=(*wanted.quilt_buckets, f"more-{number}"))
        assert _actions(provision(clients, wanted))["policy"] == "changed"
    arn = _arn(clients, request_.policy_name)
    versions = clients.iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert len(versions) == 5
    assert {v["VersionId"] for v in versions} == {"v3", "v4", "v5", "v6", "v7"}
    assert "arn:aws:s3:::more-5" in json.dumps(_document(clients, request_.policy_name))
    attached = clients.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in attached] == [arn]


def _reads_as_role(aws: LocalAthena, clients: AwsClients, role: str, buckets: tuple[str, ...]) -> None:
    """A worker with the role reads the manifests of every bucket, and of no other."""
    key, other = ".quilt/packages/abc", "acme-bucket-with-a-rather-long-name-of-others"
    for bucket in (*buckets, other):
        clients.s3.create_bucket(Bucket=bucket)
        clients.s3.put_object(Bucket=bucket, Key=key, Body=bucket.encode())
    arn = clients.iam.get_role(RoleName=role)["Role"]["Arn"]
    theirs = _assume(aws, clients, arn)
    aws.enforce_iam(True)
    try:
        for bucket in buckets:
            assert theirs.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == bucket.encode()
        with pytest.raises(ClientError, match="AccessDenied"):
            theirs.s3.get_object(Bucket=other, Key=key)
    finally:
        aws.enforce_iam(False)


def test_many_buckets_go_into_several_policies_and_those_no_longer_needed_go(
    aws: LocalAthena, clients: AwsClients, request_: ProvisionRequest, role: str
) -> None:
    buckets = BUCKETS
    many = dataclasses.replace(request_, quilt_buckets=buckets, attach_to_roles=(role,))
    provision(clients, many)
    attached = clients.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    names = sorted(policy["PolicyName"] for policy in attached)
    assert len(names) > 1
    documents = json.dumps([_document(clients, name) for name in names])
    assert all(f"arn:aws:s3:::{bucket}/.quilt/packages/*" in documents for bucket in buckets)
    assert not provision(clients, many).changed
    _reads_as_role(aws, clients, role, buckets)

    provision(clients, dataclasses.replace(many, quilt_buckets=buckets[:2], allow_narrowing=True))
    attached = clients.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == [request_.policy_name]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        clients.iam.get_policy(PolicyArn=_arn(clients, f"{request_.policy_name}-2"))


def test_a_role_may_be_named_by_its_arn(clients: AwsClients, request_: ProvisionRequest, role: str) -> None:
    arn = clients.iam.get_role(RoleName=role)["Role"]["Arn"]
    assert arn.endswith(f"/team/{role}")
    provision(clients, dataclasses.replace(request_, attach_to_roles=(arn, role)))
    attached = clients.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == [request_.policy_name]


# ----------------------------------------------------------------------------------------- refusals


def _refuses(clients: AwsClients, wanted: ProvisionRequest, error: type[Exception], words: str) -> None:
    """The call fails with these words, and nothing was made."""
    with pytest.raises(error, match=words):
        provision(clients, wanted)
    with pytest.raises(ClientError):
        clients.glue.get_database(Name=wanted.database)


def test_a_role_that_does_not_exist_stops_the_run_before_anything_is_made(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    wanted = dataclasses.replace(request_, attach_to_roles=("nobody",))
    _refuses(clients, wanted, InvalidCallError, "Role nobody does not exist")


@pytest.mark.parametrize("bucket", ["Acme-Results", "acme_results", "acme..results", "10.0.0.1"])
def test_a_name_s3_would_not_take_is_refused(
    clients: AwsClients, request_: ProvisionRequest, bucket: str
) -> None:
    wanted = dataclasses.replace(request_, results_bucket=bucket)
    _refuses(clients, wanted, InvalidCallError, "Not a name for a new bucket")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("results_bucket", "s3://acme", "Leave out s3://"),
        ("quilt_buckets", ("a/b",), "Not a bucket name"),
        ("database", "Lake", "Not a name for a Glue database"),
        ("workgroup", "a b", "Not a name for an Athena workgroup"),
        ("results_expire_after_days", 0, "Expected 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    request_: ProvisionRequest, field: str, value: object, words: str
) -> None:
    with pytest.raises(InvalidCallError, match=words):
        dataclasses.replace(request_, **{field: value})  # type: ignore[arg-type]


def test_a_bucket_in_another_region_is_refused(
    aws: LocalAthena, clients: AwsClients, request_: ProvisionRequest
) -> None:
    aws.client("s3", region_name="eu-west-1").create_bucket(
        Bucket=request_.results_bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    _refuses(clients, request_, InvalidCallError, "is in region eu-west-1, Athena's workgroup .* us-east-1")


def test_in_another_region_the_bucket_is_made_there(aws: LocalAthena, request_: ProvisionRequest) -> None:
    clients = _clients(aws, region_name="eu-central-1")
    provision(clients, request_)
    location = clients.s3.get_bucket_location(Bucket=request_.results_bucket)
    assert location["LocationConstraint"] == "eu-central-1"


def test_a_workgroup_that_enforces_another_location_is_refused(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    clients.s3.create_bucket(Bucket=(bucket := request_.results_bucket + "-2"))
    clients.athena.create_work_group(
        Name=request_.workgroup,
        Configuration={
            "ResultConfiguration": {"OutputLocation": f"s3://{bucket}/theirs/"},
            "EnforceWorkGroupConfiguration": True,
        },
    )
    _refuses(clients, request_, ManualActionError, "enforces its settings, with results at .*/theirs/")
    after = clients.athena.get_work_group(WorkGroup=request_.workgroup)["WorkGroup"]["Configuration"]
    assert after["EnforceWorkGroupConfiguration"] is True


def test_somebody_elses_workgroup_keeps_its_bucket(clients: AwsClients, request_: ProvisionRequest) -> None:
    clients.s3.create_bucket(Bucket=(bucket := request_.results_bucket + "-2"))
    clients.athena.create_work_group(
        Name=request_.workgroup,
        Configuration={
            "ResultConfiguration": {"OutputLocation": f"s3://{bucket}/theirs/"},
            "EnforceWorkGroupConfiguration": False,
        },
    )
    _refuses(clients, request_, ManualActionError, "made by somebody else")


def test_a_warehouse_among_the_results_is_refused(clients: AwsClients, request_: ProvisionRequest) -> None:
    below = S3Uri(request_.results_bucket, "results/tables")
    wanted = dataclasses.replace(request_, warehouse=below)
    _refuses(clients, wanted, InvalidCallError, "lies among Athena's results")


def test_a_table_among_the_results_is_not_put_on_the_list_of_what_expires(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    clients.glue.create_database(DatabaseInput={"Name": request_.database})
    location = f"s3://{request_.results_bucket}/results/tables/q1"
    clients.glue.create_table(
        DatabaseName=request_.database,
        TableInput={
            "Name": "orders",
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}], "Location": location},
        },
    )
    with pytest.raises(InvalidCallError, match=r"orders lies among Athena's results"):
        provision(clients, request_)
    provision(clients, dataclasses.replace(request_, results_expire_after_days=None))
    (rule,) = clients.s3.get_bucket_lifecycle_configuration(Bucket=request_.results_bucket)["Rules"]
    assert "Expiration" not in rule


def test_a_partition_of_another_database_among_the_results_is_not_put_on_the_list_of_what_expires(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    other, columns = f"{request_.database}_other", [{"Name": "a", "Type": "int"}]
    clients.glue.create_database(DatabaseInput={"Name": other})
    table = {
        "Name": "orders",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "dt", "Type": "string"}],
        "StorageDescriptor": {"Columns": columns, "Location": f"s3://{request_.results_bucket}/orders"},
    }
    clients.glue.create_table(DatabaseName=other, TableInput=table)
    place = f"s3://{request_.results_bucket}/results/orders/dt=1"
    partition = {"Values": ["1"], "StorageDescriptor": {"Columns": columns, "Location": place}}
    clients.glue.create_partition(DatabaseName=other, TableName="orders", PartitionInput=partition)
    said = f"Partition 1 of table {other}.orders lies among Athena's results"
    _refuses(clients, request_, InvalidCallError, said)
    clients.glue.delete_partition(DatabaseName=other, TableName="orders", PartitionValues=["1"])
    provision(clients, request_)
    clients.glue.delete_database(Name=other)


def test_a_bucket_of_another_account_is_refused(
    aws: LocalAthena, clients: AwsClients, request_: ProvisionRequest
) -> None:
    clients.s3.create_bucket(Bucket=request_.results_bucket)
    theirs = _as_another_account(aws, clients)
    with pytest.raises(AccessError, match="belongs to another account"):
        provision(theirs, request_)


def _as_another_account(aws: LocalAthena, clients: AwsClients) -> AwsClients:
    """Clients with a role of account 999999999999."""
    return _assume(aws, clients, "arn:aws:iam::999999999999:role/guest")


def _assume(aws: LocalAthena, clients: AwsClients, arn: str) -> AwsClients:
    """Clients with a role."""
    answer = clients.sts.assume_role(RoleArn=arn, RoleSessionName="guest")["Credentials"]
    return _clients(
        aws,
        aws_access_key_id=answer["AccessKeyId"],
        aws_secret_access_key=answer["SecretAccessKey"],
        aws_session_token=answer["SessionToken"],
    )


def test_a_workgroup_that_somebody_turned_off_is_refused(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    clients.s3.create_bucket(Bucket=request_.results_bucket)
    output = {"OutputLocation": f"s3://{request_.results_bucket}/"}
    clients.athena.create_work_group(Name=request_.workgroup, Configuration={"ResultConfiguration": output})
    clients.athena.update_work_group(WorkGroup=request_.workgroup, State="DISABLED")
    _refuses(clients, request_, ManualActionError, "is disabled")
    found = clients.athena.get_work_group(WorkGroup=request_.workgroup)["WorkGroup"]
    assert found["State"] == "DISABLED"


def test_a_cut_off_below_what_athena_takes_is_refused(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    wanted = dataclasses.replace(request_, scan_cutoff_bytes=9_999_999)
    _refuses(clients, wanted, InvalidCallError, "Athena takes at least 10,000,000")


# ------------------------------------------------------------------------------ a permission too few


def wear_down(clients: AwsClients, request: ProvisionRequest) -> None:
    """Provision for so many buckets that there are two policies, fill the versions up, undo settings."""
    provision(clients, dataclasses.replace(request, quilt_buckets=BUCKETS))
    arn, document = _arn(clients, request.policy_name), json.dumps(_document(clients, request.policy_name))
    while len(clients.iam.list_policy_versions(PolicyArn=arn)["Versions"]) < 5:
        clients.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    bucket = request.results_bucket
    clients.s3.delete_public_access_block(Bucket=bucket)
    clients.s3.delete_bucket_lifecycle(Bucket=bucket)
    clients.athena.update_work_group(
        WorkGroup=request.workgroup, ConfigurationUpdates={"PublishCloudWatchMetricsEnabled": False}
    )
    for role in request.attach_to_roles:
        clients.iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    kept = {"Name": "kept", "PartitionKeys": [{"Name": "dt", "Type": "string"}]}
    clients.glue.create_table(DatabaseName=request.database, TableInput=kept)


ANEW = {
    "s3:ListBucket": "Bucket {bucket} .*lacks s3:ListBucket",
    "s3:CreateBucket": "create bucket {bucket}",
    "s3:PutBucketTagging": "tag bucket {bucket}",
    "s3:PutBucketPublicAccessBlock": "block public access to bucket {bucket}",
    "s3:PutEncryptionConfiguration": "encrypt bucket {bucket}",
    "s3:PutLifecycleConfiguration": "set the lifecycle rule of bucket {bucket}",
    "athena:GetWorkGroup": "look at workgroup {workgroup}",
    "athena:CreateWorkGroup": "create workgroup {workgroup}",
    "glue:GetDatabase": "look at database {database}",
    "glue:GetDatabases": "list the databases in Glue",
    "glue:CreateDatabase": "create database {database}",
    "s3:GetBucketTagging": "read the tags of bucket {bucket}",
    "iam:ListPolicies": "list the policies of the account",
    "iam:CreatePolicy": "create policy {policy}",
    "iam:GetRole": "look at role {role}",
    "iam:ListAttachedRolePolicies": "list the policies of role {role}",
    "iam:AttachRolePolicy": "attach policy .*{policy} to role {role}",
}
AGAIN = {
    "iam:GetPolicy": "look at policy .*{policy}",
    "s3:GetBucketLocation": "find the region of bucket {bucket}",
    "s3:GetBucketPublicAccessBlock": "read the public access block of bucket {bucket}",
    "s3:GetEncryptionConfiguration": "read the encryption of bucket {bucket}",
    "s3:GetLifecycleConfiguration": "read the lifecycle rules of bucket {bucket}",
    "athena:ListTagsForResource": "read the tags of {workgroup}",
    "athena:UpdateWorkGroup": "change workgroup {workgroup}",
    "glue:GetTables": "list the tables of database {database}",
    "glue:GetPartitions": "list partitions of table {database}.kept",
    "iam:GetPolicyVersion": "read policy .*{policy}",
    "iam:ListPolicyVersions": "list the versions of policy .*{policy}",
    "iam:CreatePolicyVersion": "change policy .*{policy}",
    "iam:DeletePolicyVersion": "delete version v1 of policy .*{policy}",
    "iam:ListEntitiesForPolicy": "list who holds policy .*{policy}-4",
    "iam:DetachRolePolicy": "take policy .*{policy}-4 from its holders",
    "iam:DeletePolicy": "delete policy .*{policy}-4",
}


@pytest.fixture(scope="module")
def provisioner(aws: LocalAthena, clients: AwsClients) -> AwsClients:
    """Clients of a user whose permissions a test sets."""
    clients.iam.create_user(UserName="provisioner")
    key = clients.iam.create_access_key(UserName="provisioner")["AccessKey"]
    return _clients(aws, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


@pytest.fixture
def enforced(aws: LocalAthena) -> Iterator[None]:
    aws.enforce_iam(True)  # concerns the provisioner; the owner of the account may do all
    yield
    aws.enforce_iam(False)


def _allow_all_but(clients: AwsClients, action: str) -> None:
    statements = [
        {"Effect": effect, "Action": actions, "Resource": "*"}
        for effect, actions in (("Allow", "*"), ("Deny", action))
    ]
    clients.iam.put_user_policy(
        UserName="provisioner",
        PolicyName="most",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )


@pytest.mark.usefixtures("enforced")
@pytest.mark.parametrize("action", [*ANEW, *AGAIN])
def test_a_missing_permission_is_named_with_what_it_is_missing_on(
    clients: AwsClients, provisioner: AwsClients, request_: ProvisionRequest, role: str, action: str
) -> None:
    wanted = dataclasses.replace(request_, attach_to_roles=(role,), allow_narrowing=True)
    if action in AGAIN:
        wear_down(clients, wanted)
    _allow_all_but(clients, action)
    with pytest.raises(AccessError, match=action) as refusal:
        provision(provisioner, wanted)
    doing = (ANEW | AGAIN)[action].format(
        bucket=wanted.results_bucket,
        workgroup=wanted.workgroup,
        database=wanted.database,
        policy=wanted.policy_name,
        role=role,
    )
    assert refusal.match(doing)
    _allow_all_but(clients, "sts:AssumeRole")
    assert provision(provisioner, wanted).changed  # the rest of it, with the permission
    assert not provision(provisioner, wanted).changed


def test_every_call_of_provisioning_is_among_those_whose_permission_is_taken_away(
    aws: LocalAthena, clients: AwsClients, request_: ProvisionRequest, role: str
) -> None:
    wanted = dataclasses.replace(request_, attach_to_roles=(role,), allow_narrowing=True)
    aws.clear_calls()
    provision(clients, wanted)
    made = {call.name for call in aws.calls}
    wear_down(clients, wanted)
    aws.clear_calls()
    provision(clients, wanted)
    made |= {call.name for call in aws.calls}
    # Permissions that S3 names otherwise than the call.
    renamed = {
        "s3:HeadBucket": "s3:ListBucket",
        "s3:ListObjectsV2": "s3:ListBucket",
        "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
        "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
        "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
        "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
        "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
        "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    }
    needed = {renamed.get(name, name) for name in made}
    # Nobody needs a permission to ask who they are (AWS STS API reference, GetCallerIdentity).
    assert needed - {"sts:GetCallerIdentity"} == set(ANEW) | set(AGAIN)


# ------------------------------------------------------------------------------- stopped half-way

WRITES = (
    "s3:CreateBucket",
    "s3:PutBucketTagging",
    "s3:PutPublicAccessBlock",
    "s3:PutBucketEncryption",
    "s3:PutBucketLifecycleConfiguration",
    "athena:CreateWorkGroup",
    "glue:CreateDatabase",
    "iam:CreatePolicy",
    "iam:AttachRolePolicy",
)


@pytest.fixture
def faulty(aws: LocalAthena) -> Iterator[LocalAthena]:
    yield aws
    aws.set_faults()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", WRITES)
def test_stopped_at_any_call_and_run_again_it_does_the_rest(
    faulty: LocalAthena, clients: AwsClients, request_: ProvisionRequest, role: str, call: str, when: Any
) -> None:
    wanted = dataclasses.replace(request_, attach_to_roles=(role,))
    faulty.set_faults(Fault(call=call, error="ValidationException", when=when))
    with pytest.raises(InvalidCallError, match="ValidationException"):
        provision(clients, wanted)
    provision(clients, wanted)
    assert not provision(clients, wanted).changed
    block = clients.s3.get_public_access_block(Bucket=wanted.results_bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    attached = clients.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == [wanted.policy_name]


@pytest.mark.parametrize("call", WRITES)
def test_a_lost_answer_does_not_stop_it(
    faulty: LocalAthena, clients: AwsClients, request_: ProvisionRequest, role: str, call: str
) -> None:
    wanted = dataclasses.replace(request_, attach_to_roles=(role,))
    faulty.set_faults(Fault(call=call, when="lost"))
    provision(clients, wanted)
    assert not provision(clients, wanted).changed


def test_a_temporary_table_of_an_overwrite_among_the_results_is_no_matter(
    clients: AwsClients, request_: ProvisionRequest
) -> None:
    provision(clients, request_)
    place = f"s3://{request_.results_bucket}/results/tables/1/"
    table = {"Name": "tmp_quilt_x", "StorageDescriptor": {"Location": place}}
    clients.glue.create_table(DatabaseName=request_.database, TableInput=table)
    assert not provision(clients, request_).changed
