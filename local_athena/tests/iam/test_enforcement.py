"""IAM is enforced: what a policy does not grant is refused. Through boto3 over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_athena import LocalAthena

Unique = Callable[[str], str]
ACCOUNT = "123456789012"
GLUE = f"arn:aws:glue:us-east-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def strict() -> Iterator[LocalAthena]:
    with LocalAthena(iam=True) as aws:
        yield aws


@pytest.fixture
def bucket(strict: LocalAthena, unique: Unique) -> str:
    name = unique("bucket-x")
    strict.client("s3").create_bucket(Bucket=name)
    for key in ("open/a", "open/b", "secret/a"):
        strict.client("s3").put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def allow(actions: Any, resources: Any = "*", **condition: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


def document(statements: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Person:
    """A user of the strict account with the statements given, and clients that act as they."""

    def __init__(self, aws: LocalAthena, name: str, *statements: dict[str, Any]) -> None:
        self._aws = aws
        iam = aws.client("iam")
        self.name, self.arn = name, iam.create_user(UserName=name)["User"]["Arn"]
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=document(statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self.keys = {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }

    def client(self, service: str) -> Any:
        return self._aws.client(service, **self.keys)


def refused(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ClientError) as error:
        call()
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_the_root_user_may_do_everything_and_a_new_user_nothing_but_ask_who_they_are(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    nobody = Person(strict, unique("nobody"))
    assert nobody.client("sts").get_caller_identity()["Arn"] == nobody.arn
    assert refused(lambda: nobody.client("s3").list_objects_v2(Bucket=bucket)) == ("AccessDenied", 403)
    assert refused(lambda: nobody.client("iam").list_users()) == ("AccessDenied", 403)
    with pytest.raises(ClientError) as error:
        nobody.client("glue").get_databases()
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert error.value.response["Error"]["Message"] == (
        f"User: {nobody.arn} is not authorized to perform: glue:GetDatabases on resource: {GLUE}:catalog "
        "because no identity-based policy allows the glue:GetDatabases action"
    )
    strict.client("glue").get_databases()


def test_keys_that_nobody_made_and_secrets_that_are_wrong_are_refused(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    made_up = {"aws_access_key_id": "AKIAMADEUPMADEUPMADE", "aws_secret_access_key": "x"}
    forged = {**Person(strict, unique("ann"), allow("*")).keys, "aws_secret_access_key": "wrong"}
    assert refused(lambda: strict.client("glue", **made_up).get_databases()) == (
        "UnrecognizedClientException",
        400,
    )
    assert refused(lambda: strict.client("s3", **made_up).list_buckets()) == ("InvalidAccessKeyId", 403)
    assert refused(lambda: strict.client("sts", **made_up).get_caller_identity()) == (
        "InvalidClientTokenId",
        403,
    )
    assert refused(lambda: strict.client("glue", **forged).get_databases()) == (
        "InvalidSignatureException",
        400,
    )
    assert refused(lambda: strict.client("s3", **forged).list_buckets()) == ("SignatureDoesNotMatch", 403)


def test_right_signatures_are_recognised_whatever_the_key_of_the_object(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    s3 = Person(strict, unique("ann"), allow("s3:*")).client("s3")
    for key in ("a b", "ü", "%20", "+", "a//b", "a#b&c=d", "~(x)'*"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x", Metadata={"a": "b  c"})
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"x"
    assert s3.list_objects_v2(Bucket=bucket, Prefix="a b&c=", StartAfter="+")["KeyCount"] == 0


def test_glue_asks_for_the_table_the_database_and_the_catalog(strict: LocalAthena, unique: Unique) -> None:
    database, glue = unique("db"), strict.client("glue")
    glue.create_database(DatabaseInput={"Name": database})
    for name in ("mine", "theirs"):
        glue.create_table(DatabaseName=database, TableInput={"Name": name})
    resources = [f"{GLUE}:catalog", f"{GLUE}:database/{database}", f"{GLUE}:table/{database}/mine"]
    reader = Person(strict, unique("ann"), allow("glue:GetTable", resources)).client("glue")
    assert reader.get_table(DatabaseName=database, Name="Mine")["Table"]["Name"] == "mine"
    assert (
        refused(lambda: reader.get_table(DatabaseName=database, Name="theirs"))[0] == "AccessDeniedException"
    )
    assert (
        refused(lambda: reader.delete_table(DatabaseName=database, Name="mine"))[0] == "AccessDeniedException"
    )
    for missing in resources:
        fewer = [r for r in resources if r != missing]
        poor = Person(
            strict, unique(f"poor{fewer.index(fewer[0])}{len(missing)}"), allow("glue:GetTable", fewer)
        )
        with pytest.raises(ClientError, match=f"on resource: {missing} "):
            poor.client("glue").get_table(DatabaseName=database, Name="mine")


def test_a_queue_is_asked_for_by_its_name_and_a_batch_as_what_it_is_a_batch_of(
    strict: LocalAthena, unique: Unique
) -> None:
    admin = strict.client("sqs")
    mine, theirs = (admin.create_queue(QueueName=unique(name))["QueueUrl"] for name in ("mine", "theirs"))
    arn = admin.get_queue_attributes(QueueUrl=mine, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    admin.send_message(QueueUrl=mine, MessageBody="hello")
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
    reader = Person(strict, unique("ann"), allow(actions, [arn])).client("sqs")
    (message,) = reader.receive_message(QueueUrl=mine)["Messages"]
    entry = {"Id": "1", "ReceiptHandle": message["ReceiptHandle"]}
    assert not reader.delete_message_batch(QueueUrl=mine, Entries=[entry]).get("Failed")
    with pytest.raises(ClientError, match="sqs:ReceiveMessage on resource: arn:aws:sqs:"):
        reader.receive_message(QueueUrl=theirs)


def test_listing_may_be_limited_to_a_prefix_and_reading_to_keys(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    s3 = Person(
        strict,
        unique("ann"),
        allow("s3:ListBucket", f"arn:aws:s3:::{bucket}", StringLike={"s3:prefix": "open/*"}),
        allow("s3:GetObject", f"arn:aws:s3:::{bucket}/open/*"),
    ).client("s3")
    assert s3.list_objects_v2(Bucket=bucket, Prefix="open/")["KeyCount"] == 2
    assert refused(lambda: s3.list_objects_v2(Bucket=bucket)) == ("AccessDenied", 403)
    assert s3.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"open/a"
    assert refused(lambda: s3.get_object(Bucket=bucket, Key="secret/a")) == ("AccessDenied", 403)
    assert refused(lambda: s3.head_object(Bucket=bucket, Key="secret/a")) == ("403", 403)
    assert refused(lambda: s3.put_object(Bucket=bucket, Key="open/a", Body=b"")) == ("AccessDenied", 403)
    copy = {"Bucket": bucket, "Key": "secret/a"}
    assert refused(lambda: s3.copy_object(Bucket=bucket, Key="open/c", CopySource=copy))[0] == "AccessDenied"


def test_a_missing_object_is_404_only_to_those_who_may_list(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    read = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*")
    blind = Person(strict, unique("blind"), read).client("s3")
    seeing = Person(strict, unique("seeing"), read, allow("s3:ListBucket", f"arn:aws:s3:::{bucket}")).client(
        "s3"
    )
    assert refused(lambda: blind.get_object(Bucket=bucket, Key="nope")) == ("AccessDenied", 403)
    assert refused(lambda: seeing.get_object(Bucket=bucket, Key="nope")) == ("NoSuchKey", 404)


def test_of_many_keys_those_are_deleted_that_may_be(strict: LocalAthena, bucket: str, unique: Unique) -> None:
    s3 = Person(strict, unique("ann"), allow("s3:DeleteObject", f"arn:aws:s3:::{bucket}/open/*")).client("s3")
    keys = [{"Key": "open/a"}, {"Key": "secret/a"}, {"Key": "open/b"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert [d["Key"] for d in answer["Deleted"]] == ["open/a", "open/b"]
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("secret/a", "AccessDenied")]
    left = strict.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert [o["Key"] for o in left] == ["secret/a"]
    none = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "secret/a"}]})
    assert [e["Key"] for e in none["Errors"]] == ["secret/a"]


def test_a_condition_on_an_etag_asks_for_leave_to_read(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    etag = strict.client("s3").head_object(Bucket=bucket, Key="open/a")["ETag"]
    writer = Person(strict, unique("u"), allow(["s3:PutObject", "s3:DeleteObject"])).client("s3")
    writer.put_object(Bucket=bucket, Key="open/new", Body=b"", IfNoneMatch="*")
    for call in (writer.put_object, writer.delete_object):
        with pytest.raises(ClientError, match="s3:GetObject"):
            call(Bucket=bucket, Key="open/a", IfMatch=etag)
    deletes = [{"Key": "open/a", "ETag": etag}, {"Key": "open/b"}]
    answer = writer.delete_objects(Bucket=bucket, Delete={"Objects": deletes})
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("open/a", "AccessDenied")]
    reader = Person(strict, unique("r"), allow(["s3:GetObject", "s3:DeleteObject"])).client("s3")
    reader.delete_object(Bucket=bucket, Key="open/a", IfMatch=etag)


def test_a_policy_may_ask_for_conditional_writes(strict: LocalAthena, bucket: str, unique: Unique) -> None:
    only_new = allow("s3:PutObject", StringEquals={"s3:if-none-match": "*"})
    writer = Person(strict, unique("u"), only_new).client("s3")
    writer.put_object(Bucket=bucket, Key="open/new", Body=b"", IfNoneMatch="*")
    with pytest.raises(ClientError, match="s3:PutObject"):
        writer.put_object(Bucket=bucket, Key="open/other", Body=b"")


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("BatchCreatePartition", {"PartitionInputList": [{"Values": ["2"]}]}),
        (
            "BatchUpdatePartition",
            {"Entries": [{"PartitionValueList": ["1"], "PartitionInput": {"Values": ["1"]}}]},
        ),
        ("BatchDeletePartition", {"PartitionsToDelete": [{"Values": ["1"]}]}),
        ("BatchGetPartition", {"PartitionsToGet": [{"Values": ["1"]}]}),
        ("GetPartitions", {"Expression": "k = '1'"}),
        ("UpdatePartition", {"PartitionValueList": ["1"], "PartitionInput": {"Values": ["1"]}}),
    ],
)
def test_each_call_on_partitions_is_judged_under_its_own_name(
    strict: LocalAthena, unique: Unique, operation: str, arguments: dict[str, Any]
) -> None:
    glue, database = strict.client("glue"), unique("db")
    glue.create_database(DatabaseInput={"Name": database})
    for name in ("t", "other"):
        keys = [{"Name": "k", "Type": "string"}]
        glue.create_table(DatabaseName=database, TableInput={"Name": name, "PartitionKeys": keys})
        glue.create_partition(DatabaseName=database, TableName=name, PartitionInput={"Values": ["1"]})
    resources = [f"{GLUE}:catalog", f"{GLUE}:database/{database}", f"{GLUE}:table/{database}/t"]
    theirs = Person(strict, unique("u"), allow(f"glue:{operation}", resources)).client("glue")
    call = getattr(theirs, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
    assert not call(DatabaseName=database, TableName="t", **arguments).get("Errors")
    with pytest.raises(ClientError, match=f"not authorized to perform: glue:{operation}"):
        call(DatabaseName=database, TableName="other", **arguments)


def test_groups_managed_policies_and_their_default_version_count(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    iam, person, group = strict.client("iam"), Person(strict, unique("ann")), unique("group")
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=person.name)
    granting = document([allow("s3:ListBucket", f"arn:aws:s3:::{bucket}")])
    arn = iam.create_policy(PolicyName=unique("policy"), PolicyDocument=granting)["Policy"]["Arn"]
    s3 = person.client("s3")
    assert refused(lambda: s3.list_objects_v2(Bucket=bucket))[0] == "AccessDenied"
    iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 3
    iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=document([allow("s3:GetObject")]), SetAsDefault=True
    )
    assert refused(lambda: s3.list_objects_v2(Bucket=bucket))[0] == "AccessDenied"


def test_a_role_is_assumed_by_whom_it_trusts_and_gives_what_it_grants(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    iam, trusted, stranger = (
        strict.client("iam"),
        Person(strict, unique("ann")),
        Person(strict, unique("bob")),
    )
    role = unique("role")
    trust = {"Effect": "Allow", "Principal": {"AWS": trusted.arn}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=document([trust]))["Role"]["Arn"]
    listing = [allow("s3:*", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"])]
    iam.put_role_policy(RoleName=role, PolicyName="inline", PolicyDocument=document(listing))

    def assume(person: Person, **more: Any) -> Any:
        sts = person.client("sts")
        keys = sts.assume_role(RoleArn=arn, RoleSessionName="session", **more)["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }

    assert refused(lambda: assume(stranger)) == ("AccessDenied", 403)
    keys = assume(trusted)
    assumed = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session"
    assert strict.client("sts", **keys).get_caller_identity()["Arn"] == assumed
    assert strict.client("s3", **keys).list_objects_v2(Bucket=bucket)["KeyCount"] == 3
    assert refused(lambda: strict.client("glue", **keys).get_databases())[0] == "AccessDeniedException"
    without_token = {name: value for name, value in keys.items() if name != "aws_session_token"}
    assert refused(lambda: strict.client("s3", **without_token).list_buckets())[0] == "InvalidAccessKeyId"

    limited = assume(trusted, Policy=document([allow("s3:GetObject")]))
    assert refused(lambda: strict.client("s3", **limited).list_objects_v2(Bucket=bucket))[0] == "AccessDenied"
    assert strict.client("s3", **limited).get_object(Bucket=bucket, Key="open/a")

    boundary = document([allow("s3:ListBucket")])
    policy = iam.create_policy(PolicyName=unique("boundary"), PolicyDocument=boundary)["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=policy)
    assert strict.client("s3", **keys).list_objects_v2(Bucket=bucket)["KeyCount"] == 3
    assert (
        refused(lambda: strict.client("s3", **keys).get_object(Bucket=bucket, Key="open/a"))[0]
        == "AccessDenied"
    )


def test_a_trust_in_the_account_leaves_it_to_the_callers_own_policy(
    strict: LocalAthena, unique: Unique
) -> None:
    role = unique("role")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    iam = strict.client("iam")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=document([trust]))["Role"]["Arn"]
    without, having = (
        Person(strict, unique("ann")),
        Person(strict, unique("bob"), allow("sts:AssumeRole", arn)),
    )
    assume = {"RoleArn": arn, "RoleSessionName": "session"}
    assert refused(lambda: without.client("sts").assume_role(**assume))[0] == "AccessDenied"
    assert having.client("sts").assume_role(**assume)["Credentials"]


def test_a_bucket_policy_grants_and_denies(strict: LocalAthena, bucket: str, unique: Unique) -> None:
    guest, member = Person(strict, unique("guest")), Person(strict, unique("member"), allow("s3:*"))
    policy = [
        {**allow("s3:GetObject", f"arn:aws:s3:::{bucket}/open/*"), "Principal": {"AWS": guest.arn}},
        {**allow("s3:*", f"arn:aws:s3:::{bucket}/secret/*"), "Effect": "Deny", "Principal": "*"},
    ]
    strict.client("s3").put_bucket_policy(Bucket=bucket, Policy=document(policy))
    assert guest.client("s3").get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"open/a"
    assert member.client("s3").get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"open/a"
    assert refused(lambda: guest.client("s3").list_objects_v2(Bucket=bucket))[0] == "AccessDenied"
    assert refused(lambda: member.client("s3").get_object(Bucket=bucket, Key="secret/a"))[0] == "AccessDenied"


def test_enforcement_is_switched_while_the_server_runs(
    strict: LocalAthena, bucket: str, unique: Unique
) -> None:
    s3 = Person(strict, unique("ann")).client("s3")
    strict.enforce_iam(False)
    try:
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 3
    finally:
        strict.enforce_iam(True)
    assert refused(lambda: s3.list_objects_v2(Bucket=bucket))[0] == "AccessDenied"


# ------------------------------------------------------------------------ what IAM's own API refuses


def test_a_managed_policy_holds_6144_characters_white_space_not_counted(
    aws: LocalAthena, unique: Unique
) -> None:
    iam = aws.client("iam")

    def padded(length: int) -> str:
        bare = len("".join(document([allow("s3:GetObject", "")]).split()))
        text = document([allow("s3:GetObject", "arn:aws:s3:::" + "x" * (length - bare - 13))])
        assert len("".join(text.split())) == length
        return text + " " * 1000

    created = iam.create_policy(PolicyName=unique("fits"), PolicyDocument=padded(6144))["Policy"]["Arn"]
    too_long = padded(6145)
    name = unique("long")
    assert refused(lambda: iam.create_policy(PolicyName=name, PolicyDocument=too_long))[0] == "LimitExceeded"
    with pytest.raises(ClientError, match="PolicySize: 6144"):
        iam.create_policy_version(PolicyArn=created, PolicyDocument=too_long)


def test_a_policy_in_use_is_not_deleted(aws: LocalAthena, unique: Unique) -> None:
    iam, role = aws.client("iam"), unique("role")
    text = document([allow("s3:GetObject")])
    arn = iam.create_policy(PolicyName=unique("policy"), PolicyDocument=text)["Policy"]["Arn"]
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=document([trust]))
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    assert refused(lambda: iam.delete_policy(PolicyArn=arn)) == ("DeleteConflict", 409)
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
    assert refused(lambda: iam.delete_policy(PolicyArn=arn)) == ("DeleteConflict", 409)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
    assert refused(lambda: iam.get_policy(PolicyArn=arn)) == ("NoSuchEntity", 404)


def test_a_policy_is_found_with_its_holders_however_many_others_there_are(
    aws: LocalAthena, unique: Unique
) -> None:
    iam = aws.client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:GetObject")]})
    arn = iam.create_policy(PolicyName=unique("held"), PolicyDocument=document)["Policy"]["Arn"]
    names = [unique(f"role{number}") for number in range(101)]
    for name in names:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    user = Person(aws, unique("ann"))
    iam.attach_user_policy(UserName=user.arn.rpartition("/")[2], PolicyArn=arn)
    held = iam.list_entities_for_policy(PolicyArn=arn)
    assert {role["RoleName"] for role in held["PolicyRoles"]} == set(names)
    assert len(held["PolicyUsers"]) == 1
