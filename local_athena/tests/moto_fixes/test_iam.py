"""IAM as AWS has it: names apart, few policies to a role, each counted once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_athena import LocalAthena

DOCUMENT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
)


@pytest.fixture
def iam(aws: LocalAthena) -> Any:
    return aws.client("iam")


def make(iam: Any, kind: str, name: str, **more: Any) -> None:
    document = {"Policy": "PolicyDocument", "Role": "AssumeRolePolicyDocument"}.get(kind)
    given = {f"{kind}Name": name, **({document: DOCUMENT} if document else {}), **more}
    getattr(iam, f"create_{kind.lower()}")(**given)


@pytest.mark.parametrize("kind", ["Policy", "Role", "User", "Group"])
@pytest.mark.parametrize("path", ["/", "/team/"])
def test_a_name_is_taken_whatever_its_case_and_path(
    iam: Any, unique: Callable[[str], str], kind: str, path: str
) -> None:
    name = unique("Name")
    make(iam, kind, name)
    for twin in (name, name.upper()):
        with pytest.raises(ClientError, match="EntityAlreadyExists"):
            make(iam, kind, twin, Path=path)
    make(iam, kind, f"{name}-2", Path=path)


def test_a_role_holds_ten_policies_each_counted_once(iam: Any, unique: Callable[[str], str]) -> None:
    role = unique("role")
    make(iam, "Role", role)
    arns = []
    for number in range(11):
        made = iam.create_policy(PolicyName=unique(f"policy{number}"), PolicyDocument=DOCUMENT)
        arns.append(made["Policy"]["Arn"])
    for arn in arns[:10]:
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    with pytest.raises(ClientError, match=r"LimitExceeded.*PoliciesPerRole: 10"):
        iam.attach_role_policy(RoleName=role, PolicyArn=arns[10])
    iam.attach_role_policy(RoleName=role, PolicyArn=arns[0])
    assert iam.get_policy(PolicyArn=arns[0])["Policy"]["AttachmentCount"] == 1
    iam.detach_role_policy(RoleName=role, PolicyArn=arns[0])
    iam.delete_policy(PolicyArn=arns[0])


def test_rules_of_the_old_form_and_the_new_do_not_mix(aws: LocalAthena, unique: Callable[[str], str]) -> None:
    s3, bucket = aws.client("s3"), unique("bucket-b")
    s3.create_bucket(Bucket=bucket)
    common = {"Status": "Enabled", "Expiration": {"Days": 3}}
    old = {"ID": "old", "Prefix": "logs/", **common}
    new = {"ID": "new", "Filter": {"Prefix": "results/"}, **common}
    for rules in ([old], [new]):
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    with pytest.raises(ClientError, match="Base level prefix cannot be used in Lifecycle V2"):
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [old, new]})


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_each_region_has_its_own_athena_and_the_arns_of_its_partition(
    aws: LocalAthena, unique: Callable[[str], str], region: str, partition: str
) -> None:
    here, there = aws.client("athena"), aws.client("athena", region_name=region)
    name, bucket = unique("wg"), unique("results-b")
    aws.client("s3").create_bucket(Bucket=bucket)
    there.create_work_group(
        Name=name,
        Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{bucket}/"}},
        Tags=[{"Key": "a", "Value": "b"}],
    )
    arn = f"arn:{partition}:athena:{region}:123456789012:workgroup/{name}"
    assert there.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    with pytest.raises(ClientError, match="not found"):
        here.get_work_group(WorkGroup=name)
    started = there.start_query_execution(QueryString="SELECT 1", WorkGroup=name)["QueryExecutionId"]
    assert there.get_query_execution(QueryExecutionId=started)
    with pytest.raises(ClientError, match="not found"):
        here.get_query_execution(QueryExecutionId=started)
    identity = aws.client("sts", region_name=region).get_caller_identity()
    assert identity["Arn"].split(":")[1] == partition
