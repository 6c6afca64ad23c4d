"""Whose a policy is, what its holders have at every moment, and what is refused before anything is made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError, QuiltAthenaError
from airflow_quilt_athena.flows.provisioning.deprovision import DeprovisionRequest, deprovision
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from local_athena import Fault, LocalAthena
from tests.integration.lab import drop_database, put_quilt_bucket

pytestmark = pytest.mark.integration

Unique = Callable[[str], str]
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
)
ALL = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
)
# Three documents of them.
BUCKETS = tuple(f"rights-bucket-with-a-rather-long-name-{number:03}" for number in range(42))
KEY = ".quilt/named_packages/team/pkg/latest"


class Account:
    """What is provisioned under names of its own, for a role that holds nothing else."""

    def __init__(self, aws: LocalAthena, unique: Unique) -> None:
        self.aws = aws
        self.clients = _clients(aws)
        self.role = unique("worker-role")
        self.role_arn = self._role(self.role)
        self.request = ProvisionRequest(
            results_bucket=unique("acme-results"),
            quilt_buckets=BUCKETS[:20],
            database=unique("lake"),
            workgroup=unique("acme-workgroup"),
            warehouse=S3Uri(unique("acme-lake"), "tables/"),
            policy_name=unique("Stack"),
            attach_to_roles=(self.role,),
            allow_narrowing=True,
        )
        self.name = self.request.policy_name

    def _role(self, name: str) -> str:
        made = self.clients.iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        return str(made["Role"]["Arn"])

    def provision(self, *buckets: str, **changes: Any) -> Plan:
        changes |= {"quilt_buckets": buckets} if buckets else {}
        return provision(self.clients, dataclasses.replace(self.request, **changes))

    def deprovision(self) -> Plan:
        request = self.request
        names = DeprovisionRequest(
            request.results_bucket, request.database, request.workgroup, request.policy_name
        )
        return deprovision(self.clients, names)

    def arn(self, name: str | None = None) -> str:
        return f"arn:aws:iam::123456789012:policy/{name or self.name}"

    def policies(self) -> list[str]:
        listed = self.clients.iam.list_policies(Scope="Local", MaxItems=1000)["Policies"]
        return sorted(one["PolicyName"] for one in listed if one["PolicyName"].startswith(self.name))

    def held(self, role: str | None = None) -> list[str]:
        listed = self.clients.iam.list_attached_role_policies(RoleName=role or self.role)
        return sorted(one["PolicyName"] for one in listed["AttachedPolicies"])

    def document(self, name: str | None = None) -> Any:
        iam = self.clients.iam
        version = iam.get_policy(PolicyArn=self.arn(name))["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=self.arn(name), VersionId=version)
        return found["PolicyVersion"]["Document"]

    def reader(self, role_arn: str | None = None) -> Any:
        given = self.clients.sts.assume_role(RoleArn=role_arn or self.role_arn, RoleSessionName="worker")[
            "Credentials"
        ]
        return self.aws.client(
            "s3",
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )


def _clients(aws: LocalAthena, **more: Any) -> AwsClients:
    return AwsClients(*(aws.client(name, **more) for name in ("athena", "glue", "s3", "iam", "sts")))


def _can_read(reader: Any, bucket: str) -> bool:
    try:
        reader.get_object(Bucket=bucket, Key=KEY)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@pytest.fixture(scope="module", autouse=True)
def _buckets(aws: LocalAthena) -> None:
    put_quilt_bucket(aws.client("s3"), *BUCKETS)


@pytest.fixture
def account(aws: LocalAthena, unique: Unique) -> Iterator[Account]:
    yield (account := Account(aws, unique))
    aws.set_faults()
    aws.enforce_iam(False)
    drop_database(aws, account.request.database)


# --------------------------------------------------------------------------------------- whose it is


def test_a_policy_of_somebody_elses_is_refused_and_keeps_its_document(account: Account) -> None:
    iam = account.clients.iam
    iam.create_policy(PolicyName=account.name, PolicyDocument=ALL)
    iam.attach_role_policy(RoleName=account.role, PolicyArn=account.arn())
    with pytest.raises(ManualActionError, match=f"policy/{account.name} is made by somebody else"):
        account.provision()
    assert account.document() == json.loads(ALL)
    assert not _exists(lambda: account.clients.glue.get_database(Name=account.request.database))


def _exists(look: Callable[[], object]) -> bool:
    try:
        look()
    except ClientError:
        return False
    return True


def test_the_policy_of_quilts_documentation_is_adopted_when_its_rights_may_go(account: Account) -> None:
    account.clients.iam.create_policy(
        PolicyName=account.name, PolicyDocument=ALL, Description="Minimal Athena Access policy for Quilt"
    )
    with pytest.raises(ManualActionError, match=r"s3:\* \*"):
        account.provision(BUCKETS[0], allow_narrowing=False)
    assert account.document() == json.loads(ALL)
    plan = account.provision(BUCKETS[0])
    (step,) = (one for one in plan.steps if one.resource == "policy")
    assert step.details[0].setting == "adopt"
    assert not account.provision(BUCKETS[0]).changed
    assert "policy" not in [s.resource for s in account.deprovision().steps if s.action.value == "removed"]


def test_two_provisionings_whose_names_meet_leave_each_other_alone(account: Account, unique: Unique) -> None:
    other = f"{account.name}-2"
    account.provision(BUCKETS[0], policy_name=other)
    theirs = account.document(other)
    account.provision(*BUCKETS)
    assert account.policies() == sorted([account.name, other, f"{account.name}-3", f"{account.name}-4"])
    account.provision(BUCKETS[0])
    assert account.policies() == sorted([account.name, other])
    assert account.document(other) == theirs
    account.deprovision()
    assert account.policies() == [other]
    assert account.held() == [other]


def test_a_further_document_is_no_first_of_another_provisioning(account: Account) -> None:
    account.provision(*BUCKETS)
    with pytest.raises(ManualActionError, match=f"is of the provisioning of {account.name}"):
        account.provision(BUCKETS[0], policy_name=f"{account.name}-2")


@pytest.mark.parametrize("act", ["deprovision", "shrink"])
def test_a_gap_among_the_documents_hides_none(account: Account, act: str) -> None:
    account.provision(*BUCKETS)
    second = account.arn(f"{account.name}-2")
    account.clients.iam.detach_role_policy(RoleName=account.role, PolicyArn=second)
    account.clients.iam.delete_policy(PolicyArn=second)
    if act == "shrink":
        account.provision(BUCKETS[0])
    else:
        account.deprovision()
    assert account.policies() == account.held() == ([account.name] if act == "shrink" else [])


@pytest.mark.parametrize("path", ["/", "/team/"])
def test_a_name_that_exists_in_another_case_or_path_is_told(account: Account, path: str) -> None:
    name = account.name.upper() if path == "/" else account.name
    account.clients.iam.create_policy(PolicyName=name, PolicyDocument=ALL, Path=path)
    account.aws.clear_calls()
    with pytest.raises(ManualActionError, match=f"there is arn:.*{path}{name}, and IAM takes no two names"):
        account.provision()
    assert not [call for call in account.aws.calls if call.operation == "CreatePolicy"]


# --------------------------------------------------------------------------- given before it is taken


def _steps(account: Account, buckets: tuple[str, ...], always: tuple[str, ...]) -> list[str]:
    """Provision with IAM enforced; at every call of it the role reads what it always may."""
    reader = account.reader()
    seen: list[str] = []

    def read(event_name: str, **_: Any) -> None:
        seen.append(event_name.rpartition(".")[2])
        denied = [bucket for bucket in always if not _can_read(reader, bucket)]
        assert not denied, f"after {seen} the role may not read {denied}"

    account.aws.enforce_iam(True)
    clients = _clients(account.aws)
    clients.iam.meta.events.register("after-call.iam.*", read)
    provision(clients, dataclasses.replace(account.request, quilt_buckets=buckets))
    assert all(_can_read(reader, bucket) for bucket in buckets)
    account.aws.enforce_iam(False)
    return [name for name in seen if not name.startswith(("Get", "List"))]


def test_a_role_reads_its_old_buckets_while_the_policy_grows_and_shrinks(account: Account) -> None:
    account.provision(*BUCKETS[10:30])
    grown = _steps(account, BUCKETS, BUCKETS[10:30])
    assert grown.index("AttachRolePolicy") < grown.index("CreatePolicyVersion")
    assert grown.index("CreatePolicy") < grown.index("AttachRolePolicy")
    shrunk = _steps(account, BUCKETS[5:12], BUCKETS[5:12])
    assert "DeletePolicy" in shrunk
    assert shrunk.index("CreatePolicyVersion") < shrunk.index("DeletePolicy")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "call",
    [
        "iam:CreatePolicy",
        "iam:AttachRolePolicy",
        "iam:CreatePolicyVersion",
        "iam:DetachRolePolicy",
        "iam:DeletePolicy",
    ],
)
def test_stopped_while_it_grows_or_shrinks_nobody_has_less_and_the_next_run_ends_it(
    account: Account, call: str, when: Any
) -> None:
    account.provision(*BUCKETS[:20])
    grows = call in {"iam:CreatePolicy", "iam:AttachRolePolicy"}
    wanted = BUCKETS if grows else BUCKETS[3:5]
    if not grows:
        account.provision(*BUCKETS)
    reader = account.reader()
    account.aws.set_faults(Fault(call, "ValidationException", when=when))
    with pytest.raises(QuiltAthenaError, match="ValidationException"):
        account.provision(*wanted)
    account.aws.enforce_iam(True)
    always = BUCKETS[:20] if grows else wanted
    assert [bucket for bucket in always if not _can_read(reader, bucket)] == []
    account.aws.enforce_iam(False)
    account.provision(*wanted)
    assert not account.provision(*wanted).changed
    account.aws.enforce_iam(True)
    assert [bucket for bucket in BUCKETS if _can_read(reader, bucket)] == sorted(wanted)


def test_who_was_given_the_first_document_by_hand_gets_the_others(account: Account, unique: Unique) -> None:
    account.provision(BUCKETS[0])
    iam, by_hand, user = account.clients.iam, unique("by-hand"), unique("user")
    arn = account._role(by_hand)
    iam.create_user(UserName=user)
    iam.attach_role_policy(RoleName=by_hand, PolicyArn=account.arn())
    iam.attach_user_policy(UserName=user, PolicyArn=account.arn())
    plan = account.provision(*BUCKETS)
    assert {(s.resource, s.name) for s in plan.steps} >= {("role", by_hand), ("user", user)}
    assert account.held(by_hand) == account.held() == account.policies()
    account.aws.enforce_iam(True)
    reader = account.reader(arn)
    assert all(_can_read(reader, bucket) for bucket in BUCKETS)
    account.aws.enforce_iam(False)
    assert not account.provision(*BUCKETS).changed


@pytest.mark.parametrize(
    ("call", "error", "status"),
    [
        ("iam:AttachRolePolicy", "NoSuchEntity", 404),
        ("iam:CreatePolicy", "ConcurrentModification", 409),
        ("iam:CreatePolicyVersion", "NoSuchEntity", 404),
        ("iam:DeletePolicy", "DeleteConflict", 409),
        ("s3:PutPublicAccessBlock", "OperationAborted", 409),
        ("s3:PutBucketTagging", "NoSuchBucket", 404),
        ("s3:GetBucketTagging", "NoSuchBucket", 404),
        ("s3:PutBucketLifecycleConfiguration", "NoSuchBucket", 404),
        ("glue:CreateDatabase", "ConcurrentModificationException", 400),
        ("athena:CreateWorkGroup", "TooManyRequestsException", 400),
    ],
)
def test_what_aws_answers_while_it_settles_stops_nothing(
    account: Account, call: str, error: str, status: int
) -> None:
    fault = Fault(call, error, status, times=2)
    if call in {"iam:CreatePolicyVersion", "iam:DeletePolicy"}:
        account.provision(*BUCKETS)
    account.aws.set_faults(fault)
    account.provision(BUCKETS[1])
    assert [one.error for one in account.aws.calls if one.name == call].count(error) >= 2
    assert not account.provision(BUCKETS[1]).changed


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1"])
def test_any_region_and_partition_is_provisioned_once_and_taken_away(
    aws: LocalAthena, unique: Unique, region: str
) -> None:
    clients = _clients(aws, region_name=region)
    role = unique(f"role-{region}")
    arn = clients.iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    request = ProvisionRequest(
        results_bucket=unique(f"results-{region}"),
        quilt_buckets=BUCKETS[:2],
        database=unique("lake"),
        workgroup=unique("acme-workgroup"),
        policy_name=unique(f"Stack-{region}"),
        attach_to_roles=(arn,),
    )
    assert provision(clients, request).changed
    assert not provision(clients, request).changed
    names = DeprovisionRequest(
        request.results_bucket, request.database, request.workgroup, request.policy_name
    )
    gone = deprovision(clients, names)
    assert {step.action.value for step in gone.steps} == {"removed"}
    assert not deprovision(clients, names).changed


# ------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"ManagedQueryResultsConfiguration": {"Enabled": True}}, "has managed query results"),
        (
            {
                "IdentityCenterConfiguration": {
                    "EnableIdentityCenter": True,
                    "IdentityCenterInstanceArn": "arn:aws:sso:::instance/ssoins-0123456789abcdef",
                }
            },
            "is for identities of IAM Identity Center",
        ),
        ({"EngineVersion": {"SelectedEngineVersion": "PySpark engine version 3"}}, "which takes no SQL"),
        ({"EnforceWorkGroupConfiguration": False}, "was made by somebody else"),
        (
            {
                "EnforceWorkGroupConfiguration": False,
                "EngineVersion": {"SelectedEngineVersion": "Athena engine version 4"},
            },
            "was made by somebody else",
        ),
    ],
    ids=["managed", "identities", "spark", "plain", "newer engine"],
)
def test_a_workgroup_that_is_not_ours_is_refused_by_name_and_stays(
    account: Account, configuration: dict[str, Any], said: str
) -> None:
    athena, name = account.clients.athena, account.request.workgroup
    known = athena.meta.service_model.shape_for("WorkGroupConfiguration").members
    if not configuration.keys() <= known.keys():
        pytest.skip(f"this botocore does not know {', '.join(configuration.keys() - known.keys())} yet")
    athena.create_work_group(Name=name, Configuration=configuration)
    before = athena.get_work_group(WorkGroup=name)
    with pytest.raises(ManualActionError, match=f"Workgroup {name} .*{said}"):
        account.provision(BUCKETS[0])
    assert athena.get_work_group(WorkGroup=name)["WorkGroup"] == before["WorkGroup"]
    assert account.policies() == []


def test_the_primary_workgroup_is_not_taken_over(account: Account) -> None:
    with pytest.raises(ManualActionError, match="Workgroup primary was made by somebody else"):
        account.provision(BUCKETS[0], workgroup="primary")


def test_our_tags_are_put_back(account: Account) -> None:
    account.provision(*BUCKETS)
    clients, name = account.clients, account.request.workgroup
    workgroup = f"arn:aws:athena:us-east-1:123456789012:workgroup/{name}"
    tags: dict[str, Callable[[], Any]] = {
        "policy": lambda: clients.iam.list_policy_tags(PolicyArn=account.arn())["Tags"],
        "further policy": lambda: clients.iam.list_policy_tags(PolicyArn=account.arn(f"{account.name}-2"))[
            "Tags"
        ],
        "workgroup": lambda: clients.athena.list_tags_for_resource(ResourceARN=workgroup)["Tags"],
        "bucket": lambda: clients.s3.get_bucket_tagging(Bucket=account.request.results_bucket)["TagSet"],
    }
    before = {what: sorted(read(), key=str) for what, read in tags.items()}
    both = [tag["Key"] for tag in before["policy"]]
    clients.iam.untag_policy(PolicyArn=account.arn(), TagKeys=both)
    clients.iam.untag_policy(PolicyArn=account.arn(f"{account.name}-2"), TagKeys=["quilt-athena:created-by"])
    clients.athena.untag_resource(ResourceARN=workgroup, TagKeys=["quilt-athena:created-by"])
    clients.s3.delete_bucket_tagging(Bucket=account.request.results_bucket)
    plan = account.provision(*BUCKETS)
    changed = {step.name for step in plan.steps if step.does_something}
    assert changed == {account.name, f"{account.name}-2", name, account.request.results_bucket}
    assert {what: sorted(read(), key=str) for what, read in tags.items()} == before
    assert not account.provision(*BUCKETS).changed
    account.deprovision()
    assert account.policies() == []


def test_what_hinders_results_in_our_workgroup_is_put_right(account: Account) -> None:
    account.provision(BUCKETS[0])
    athena, name = account.clients.athena, account.request.workgroup
    results = {
        "ExpectedBucketOwner": "999999999999",
        "EncryptionConfiguration": {
            "EncryptionOption": "CSE_KMS",
            "KmsKey": "arn:aws:kms:us-east-1:123456789012:key/1",
        },
    }
    athena.update_work_group(WorkGroup=name, ConfigurationUpdates={"ResultConfigurationUpdates": results})
    (step,) = (step for step in account.provision(BUCKETS[0]).steps if step.does_something)
    assert {detail.setting for detail in step.details} == {"expected bucket owner", "client-side encryption"}
    found = athena.get_work_group(WorkGroup=name)["WorkGroup"]["Configuration"]["ResultConfiguration"]
    assert "EncryptionConfiguration" not in found
    assert not account.provision(BUCKETS[0]).changed


def test_a_plan_that_narrows_is_shown_and_refused(account: Account) -> None:
    account.provision(*BUCKETS[:2])
    before = account.document()
    narrow = dataclasses.replace(account.request, quilt_buckets=BUCKETS[1:3], allow_narrowing=False)
    with pytest.raises(ManualActionError, match=rf"(?s)allow_narrowing=True.*s3:GetObject .*{BUCKETS[0]}"):
        provision(account.clients, narrow)
    planned = provision(account.clients, narrow, dry_run=True)
    assert planned.changed
    assert account.document() == before
    assert provision(account.clients, dataclasses.replace(narrow, allow_narrowing=True)) == planned


def test_one_more_bucket_is_no_narrowing(account: Account) -> None:
    account.provision(BUCKETS[0])
    assert account.provision(*BUCKETS[:2], allow_narrowing=False).changed


def test_a_bucket_that_is_not_there_or_holds_no_packages_is_refused(account: Account, unique: Unique) -> None:
    empty, missing = unique("empty-bucket"), unique("missing-bucket")
    account.clients.s3.create_bucket(Bucket=empty)
    with pytest.raises(InvalidCallError) as raised:
        account.provision(BUCKETS[0], empty, missing)
    assert f"bucket {empty} holds no .quilt/" in str(raised.value)
    assert f"bucket {missing} does not exist" in str(raised.value)
    assert account.policies() == []


def test_a_misspelt_source_database_is_refused(account: Account) -> None:
    with pytest.raises(InvalidCallError, match="source_database is 'platfrom'"):
        account.provision(source_database="platfrom")
    assert account.policies() == []


def test_a_role_with_no_room_for_more_policies_is_told_before_anything_is_made(account: Account) -> None:
    iam = account.clients.iam
    for number in range(9):
        name = f"{account.role}-{number}"
        arn = iam.create_policy(PolicyName=name, PolicyDocument=ALL)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=account.role, PolicyArn=arn)
    with pytest.raises(InvalidCallError, match=r"holds 9 managed policies and would need 3 more; .* 10"):
        account.provision(*BUCKETS)
    assert account.policies() == []


def test_a_role_by_another_path_is_told(account: Account) -> None:
    wrong = f"arn:aws:iam::123456789012:role/other/{account.role}"
    with pytest.raises(InvalidCallError, match=f"There is no role {wrong}: the role of that name is"):
        account.provision(attach_to_roles=(wrong,))
    assert account.policies() == []


# -------------------------------------------------------------------------------- the results bucket


def _rules(account: Account) -> dict[str, Any]:
    bucket = account.request.results_bucket
    found = account.clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return {rule["ID"]: rule for rule in found}


def test_a_rule_of_the_old_form_stays_and_ours_takes_its_form(account: Account) -> None:
    s3, bucket = account.clients.s3, account.request.results_bucket
    s3.create_bucket(Bucket=bucket)
    theirs = {"ID": "logs", "Prefix": "logs/", "Status": "Enabled", "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [theirs]})
    account.provision(BUCKETS[0])
    rules = _rules(account)
    assert rules["logs"]["Prefix"] == "logs/"
    assert rules["quilt-athena-results"]["Prefix"] == "results/"
    assert not account.provision(BUCKETS[0]).changed
    account.deprovision()
    assert list(_rules(account)) == ["logs"]


def test_versions_that_results_replaced_go_as_well(account: Account) -> None:
    account.provision(BUCKETS[0])
    assert _rules(account)["quilt-athena-results"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 1


def test_a_bucket_that_a_stopped_run_left_unmarked_is_marked_by_the_next(account: Account) -> None:
    s3, bucket = account.clients.s3, account.request.results_bucket
    account.aws.set_faults(Fault("s3:PutBucketTagging", "ValidationException"))
    with pytest.raises(QuiltAthenaError, match="ValidationException"):
        account.provision(BUCKETS[0])
    account.provision(BUCKETS[0])
    tags = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    assert tags == [{"Key": "quilt-athena:created-by", "Value": "airflow-quilt-athena"}]
    assert not account.provision(BUCKETS[0]).changed


def test_a_bucket_that_appears_between_the_look_and_the_deed_keeps_its_tags_and_rules(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, bucket = account.clients.s3, account.request.results_bucket
    theirs = {"ID": "logs", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 3}}
    tags = [{"Key": "team", "Value": "them"}]
    create = s3.create_bucket

    def appear(**request: Any) -> Any:
        create(**request)
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [theirs]})
        return create(**request)

    monkeypatch.setattr(s3, "create_bucket", appear)
    account.provision(BUCKETS[0])
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    assert sorted(_rules(account)) == ["logs", "quilt-athena-results"]


def test_somebodys_key_on_the_bucket_is_granted(account: Account) -> None:
    s3, bucket = account.clients.s3, account.request.results_bucket
    key = "arn:aws:kms:us-east-1:123456789012:key/0a1b-2c3d"
    s3.create_bucket(Bucket=bucket)
    for named, granted in ((key, True), ("alias/theirs", False)):
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": named}
        rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)
        if granted:
            account.provision(BUCKETS[0])
            assert key in json.dumps(account.document())
        else:
            with pytest.raises(InvalidCallError, match="alias/theirs"):
                account.provision(BUCKETS[0])


@pytest.mark.parametrize("beside", [".quilt/packages/abc", "warehouse/t/part-0.parquet"])
def test_deleting_results_deletes_results_alone(account: Account, beside: str) -> None:
    account.provision(BUCKETS[0])
    s3, request = account.clients.s3, account.request
    for key in ("results/a.csv", "results/b.csv", beside):
        s3.put_object(Bucket=request.results_bucket, Key=key, Body=b"1")
    names = DeprovisionRequest(
        request.results_bucket, request.database, request.workgroup, request.policy_name, delete_results=True
    )
    plan = deprovision(account.clients, names)
    (step,) = (step for step in plan.steps if step.resource == "results bucket")
    assert "1 objects beside" in str(step.details[-1])
    left = s3.list_objects_v2(Bucket=request.results_bucket)["Contents"]
    assert [item["Key"] for item in left] == [beside]


@pytest.mark.parametrize(
    ("table", "partition", "said"),
    [
        ("results/t", None, "Table {name} lies among"),
        ("", None, "Table {name} lies among"),  # above them, and so over them
        ("tables/t", "results/t/dt=x", "Partition x of table {name} lies among"),
    ],
)
def test_results_that_are_a_tables_files_are_not_deleted(
    account: Account, unique: Unique, table: str, partition: str | None, said: str
) -> None:
    account.provision(BUCKETS[0])
    s3, glue, request = account.clients.s3, account.clients.glue, account.request
    s3.put_object(Bucket=request.results_bucket, Key="results/t/part-0", Body=b"1")
    other = unique("other")
    glue.create_database(DatabaseInput={"Name": other})

    def placed(key: str) -> Any:
        return {"StorageDescriptor": {"Columns": [], "Location": f"s3://{request.results_bucket}/{key}"}}

    keys = [{"Name": "dt", "Type": "string"}] if partition else []
    glue.create_table(
        DatabaseName=other, TableInput={"Name": "orders", "PartitionKeys": keys, **placed(table)}
    )
    if partition:
        glue.create_partition(
            DatabaseName=other, TableName="orders", PartitionInput={"Values": ["x"], **placed(partition)}
        )
    names = DeprovisionRequest(
        request.results_bucket, request.database, request.workgroup, request.policy_name, delete_results=True
    )
    with pytest.raises(ManualActionError, match=said.format(name=f"{other}.orders")):
        deprovision(account.clients, names)
    assert s3.list_objects_v2(Bucket=request.results_bucket)["KeyCount"] == 1
    assert account.policies() == [account.name]
    glue.delete_database(Name=other)
