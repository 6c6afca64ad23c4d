"""Workgroups, tags and who may do what with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local_athena.errors import ApiError
from support.athena_fakes import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.api.close()


def configuration(world: World, name: str) -> Any:
    return world.call("GetWorkGroup", WorkGroup=name)["WorkGroup"]["Configuration"]


def refusal(world: World, operation: str, **request: Any) -> str:
    with pytest.raises(ApiError) as caught:
        world.call(operation, **request)
    return f"{caught.value.code}: {caught.value.message}"


def test_primary_is_there_from_the_start_without_an_output_location(world: World) -> None:
    primary = world.call("GetWorkGroup", WorkGroup="primary")["WorkGroup"]
    assert primary["State"] == "ENABLED"
    assert primary["Configuration"]["ResultConfiguration"] == {}
    assert primary["Configuration"]["EnforceWorkGroupConfiguration"] is False
    assert primary["Configuration"]["EngineVersion"] == {
        "SelectedEngineVersion": "AUTO",
        "EffectiveEngineVersion": "Athena engine version 3",
    }


def test_a_workgroup_made_without_a_word_enforces_its_settings_as_on_aws(world: World) -> None:
    world.call("CreateWorkGroup", Name="wg", Description="mine")
    assert configuration(world, "wg")["EnforceWorkGroupConfiguration"] is True
    assert world.call("GetWorkGroup", WorkGroup="wg")["WorkGroup"]["Description"] == "mine"


def test_a_second_workgroup_of_the_same_name_is_refused(world: World) -> None:
    world.call("CreateWorkGroup", Name="wg")
    assert refusal(world, "CreateWorkGroup", Name="wg") == (
        "InvalidRequestException: WorkGroup is already created"
    )


def test_an_unknown_workgroup_is_named_in_the_refusal(world: World) -> None:
    expected = "InvalidRequestException: WorkGroup nope is not found."
    assert refusal(world, "GetWorkGroup", WorkGroup="nope") == expected
    assert refusal(world, "UpdateWorkGroup", WorkGroup="nope") == expected
    assert refusal(world, "DeleteWorkGroup", WorkGroup="nope") == expected
    assert refusal(world, "ListQueryExecutions", WorkGroup="nope") == expected
    with pytest.raises(ApiError, match=r"WorkGroup nope is not found\."):
        world.start(WorkGroup="nope")


def test_an_update_changes_what_it_names_and_leaves_the_rest(world: World) -> None:
    world.call(
        "CreateWorkGroup",
        Name="wg",
        Configuration={
            "ResultConfiguration": {"OutputLocation": "s3://b/one/", "ExpectedBucketOwner": "123456789012"},
            "BytesScannedCutoffPerQuery": 10_000_000,
        },
    )
    world.call(
        "UpdateWorkGroup",
        WorkGroup="wg",
        Description="new",
        ConfigurationUpdates={
            "EnforceWorkGroupConfiguration": False,
            "PublishCloudWatchMetricsEnabled": True,
            "ResultConfigurationUpdates": {
                "OutputLocation": "s3://b/two/",
                "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
            },
        },
    )
    found = configuration(world, "wg")
    assert found["EnforceWorkGroupConfiguration"] is False
    assert found["PublishCloudWatchMetricsEnabled"] is True
    assert found["BytesScannedCutoffPerQuery"] == 10_000_000
    assert found["ResultConfiguration"] == {
        "OutputLocation": "s3://b/two/",
        "ExpectedBucketOwner": "123456789012",
        "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
    }


def test_what_an_update_removes_is_gone(world: World) -> None:
    world.call(
        "CreateWorkGroup",
        Name="wg",
        Configuration={
            "ResultConfiguration": {
                "OutputLocation": "s3://b/one/",
                "ExpectedBucketOwner": "123456789012",
                "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
                "AclConfiguration": {"S3AclOption": "BUCKET_OWNER_FULL_CONTROL"},
            },
            "BytesScannedCutoffPerQuery": 10_000_000,
        },
    )
    world.call(
        "UpdateWorkGroup",
        WorkGroup="wg",
        ConfigurationUpdates={
            "RemoveBytesScannedCutoffPerQuery": True,
            "ResultConfigurationUpdates": {
                "RemoveOutputLocation": True,
                "RemoveExpectedBucketOwner": True,
                "RemoveEncryptionConfiguration": True,
                "RemoveAclConfiguration": True,
            },
        },
    )
    found = configuration(world, "wg")
    assert found["ResultConfiguration"] == {}
    assert "BytesScannedCutoffPerQuery" not in found


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"Name": "a b"}, "at 'name' failed to satisfy constraint: Member must satisfy regular expression"),
        (
            {"Name": "wg", "Configuration": {"BytesScannedCutoffPerQuery": 9_999_999}},
            "Value '9999999' at 'configuration.bytesScannedCutoffPerQuery' failed to satisfy constraint: "
            "Member must have value greater than or equal to 10000000",
        ),
        (
            {"Name": "wg", "Configuration": {"ResultConfiguration": {"OutputLocation": "here"}}},
            "outputLocation is not a valid S3 path.",
        ),
        (
            {
                "Name": "wg",
                "Configuration": {
                    "ResultConfiguration": {"EncryptionConfiguration": {"EncryptionOption": "ROT13"}}
                },
            },
            "enum value set: [SSE_S3, SSE_KMS, CSE_KMS]",
        ),
        (
            {"Name": "wg", "Configuration": {"EngineVersion": {"SelectedEngineVersion": "PySpark"}}},
            "Engine version PySpark is not supported",
        ),
        (
            {
                "Name": "wg",
                "Configuration": {
                    "ManagedQueryResultsConfiguration": {"Enabled": True},
                    "ResultConfiguration": {"OutputLocation": "s3://b/r/"},
                },
            },
            "cannot be set together",
        ),
        ({}, "Value null at 'name' failed to satisfy constraint: Member must not be null"),
        ({"Name": 7}, "Value at 'name' failed to satisfy constraint: Member must be of type string"),
    ],
)
def test_a_workgroup_that_aws_would_not_make_is_refused(
    world: World, request_: dict[str, Any], words: str
) -> None:
    said = refusal(world, "CreateWorkGroup", **request_)
    assert said.startswith("InvalidRequestException: ")
    assert words in said


def test_every_fault_of_a_request_is_told_at_once(world: World) -> None:
    said = refusal(world, "GetQueryResults", MaxResults=1001)
    assert said.startswith("InvalidRequestException: 2 validation errors detected: ")
    assert "'queryExecutionId'" in said
    assert "'maxResults'" in said


def test_workgroups_are_listed_in_pages_in_the_order_of_names(world: World) -> None:
    for name in ("delta", "alpha", "charlie", "bravo"):
        world.call("CreateWorkGroup", Name=name)
    seen: list[str] = []
    token: dict[str, Any] = {}
    while True:
        page = world.call("ListWorkGroups", MaxResults=2, **token)
        seen += [group["Name"] for group in page["WorkGroups"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
        world.call("CreateWorkGroup", Name=f"aaa{len(seen)}")  # behind us: neither seen nor in the way
    assert seen == ["alpha", "bravo", "charlie", "delta", "primary"]


def test_a_token_of_another_list_is_refused(world: World) -> None:
    for name in ("one", "two"):
        world.call("CreateWorkGroup", Name=name)
    token = world.call("ListWorkGroups", MaxResults=1)["NextToken"]
    assert "Invalid NextToken" in refusal(world, "ListQueryExecutions", NextToken=token)
    assert "Invalid NextToken" in refusal(world, "ListWorkGroups", NextToken="nonsense")


def test_primary_cannot_be_deleted(world: World) -> None:
    assert "primary workgroup cannot be deleted" in refusal(
        world, "DeleteWorkGroup", WorkGroup="primary", RecursiveDeleteOption=True
    )


def test_a_workgroup_with_contents_goes_only_recursively(world: World) -> None:
    world.call("CreateWorkGroup", Name="wg", Configuration={"EnforceWorkGroupConfiguration": False})
    query = world.run(WorkGroup="wg")["QueryExecutionId"]
    assert refusal(world, "DeleteWorkGroup", WorkGroup="wg") == (
        "InvalidRequestException: WorkGroup wg is not empty"
    )
    world.call("DeleteWorkGroup", WorkGroup="wg", RecursiveDeleteOption=True)
    assert "not found" in refusal(world, "GetWorkGroup", WorkGroup="wg")
    assert "was not found" in refusal(world, "GetQueryExecution", QueryExecutionId=query)


def test_a_disabled_workgroup_takes_no_queries_until_it_is_enabled(world: World) -> None:
    world.call("UpdateWorkGroup", WorkGroup="primary", State="DISABLED")
    with pytest.raises(ApiError, match="WorkGroup primary is disabled"):
        world.start()
    world.call("UpdateWorkGroup", WorkGroup="primary", State="ENABLED")
    assert world.run()["Status"]["State"] == "SUCCEEDED"


def test_tags_are_added_replaced_and_removed(world: World) -> None:
    arn = "arn:aws:athena:us-east-1:123456789012:workgroup/wg"
    world.call("CreateWorkGroup", Name="wg", Tags=[{"Key": "a", "Value": "1"}])
    world.call("TagResource", ResourceARN=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
    assert world.call("ListTagsForResource", ResourceARN=arn)["Tags"] == [
        {"Key": "a", "Value": "3"},
        {"Key": "b", "Value": "2"},
    ]
    world.call("UntagResource", ResourceARN=arn, TagKeys=["a", "zzz"])
    assert world.call("ListTagsForResource", ResourceARN=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    gone = refusal(world, "ListTagsForResource", ResourceARN=arn + "x")
    assert gone.startswith("ResourceNotFoundException")


def test_a_workgroup_has_at_most_fifty_tags_and_only_workgroups_have_any(world: World) -> None:
    world.call("CreateWorkGroup", Name="wg")
    arn = "arn:aws:athena:us-east-1:123456789012:workgroup/wg"
    world.call("TagResource", ResourceARN=arn, Tags=[{"Key": f"k{i}", "Value": ""} for i in range(50)])
    world.call("TagResource", ResourceARN=arn, Tags=[{"Key": "k7", "Value": "changed"}])
    assert "at most 50 tags" in refusal(world, "TagResource", ResourceARN=arn, Tags=[{"Key": "one-more"}])
    catalog = "arn:aws:athena:us-east-1:123456789012:datacatalog/x"
    assert "is not the ARN of a workgroup" in refusal(world, "ListTagsForResource", ResourceARN=catalog)


def test_each_call_is_authorized_on_the_resource_that_aws_names(world: World) -> None:
    root = "arn:aws:athena:us-east-1:123456789012"
    world.call("CreateWorkGroup", Name="wg", Configuration={"EnforceWorkGroupConfiguration": False})
    query = world.start(WorkGroup="wg")
    world.wait(query)
    world.asked.clear()
    world.call("GetQueryResults", QueryExecutionId=query)
    world.call("BatchGetQueryExecution", QueryExecutionIds=[query])
    world.call("ListQueryExecutions")
    world.call("ListWorkGroups")
    world.call("GetDataCatalog", Name="awsdatacatalog")
    assert world.asked == [
        ("athena:GetQueryResults", f"{root}:workgroup/wg"),
        ("athena:BatchGetQueryExecution", f"{root}:workgroup/wg"),
        ("athena:ListQueryExecutions", f"{root}:workgroup/primary"),
        ("athena:ListWorkGroups", "*"),
        ("athena:GetDataCatalog", f"{root}:datacatalog/AwsDataCatalog"),
    ]


def test_a_caller_who_may_not_start_queries_starts_none(world: World) -> None:
    world.forbidden.add("athena:StartQueryExecution")
    with pytest.raises(ApiError, match="not authorized to perform: athena:StartQueryExecution"):
        world.start()
    assert world.statements.ran == []


def test_an_operation_that_is_not_offered_is_a_plain_refusal(world: World) -> None:
    assert refusal(world, "StartSession", WorkGroup="x", EngineConfiguration={}) == (
        "UnknownOperationException: The local Athena does not offer StartSession."
    )
    assert refusal(world, "MakeCoffee") == "UnknownOperationException: There is no MakeCoffee."


KEPT: dict[str, dict[str, Any]] = {
    "managed": {"ManagedQueryResultsConfiguration": {"Enabled": True}},
    "identities": {
        "IdentityCenterConfiguration": {
            "EnableIdentityCenter": True,
            "IdentityCenterInstanceArn": "arn:aws:sso:::instance/ssoins-0123456789abcdef",
        },
        "ResultConfiguration": {"OutputLocation": "s3://b/r/"},
    },
    "spark": {"EngineVersion": {"SelectedEngineVersion": "PySpark engine version 3"}},
    "newer": {
        "EngineVersion": {"SelectedEngineVersion": "Athena engine version 4"},
        "ResultConfiguration": {"OutputLocation": "s3://b/r/"},
    },
}


@pytest.mark.parametrize("name", KEPT)
def test_workgroups_that_run_nothing_here_are_kept_and_say_so(world: World, name: str) -> None:
    world.call("CreateWorkGroup", Name=name, Configuration=KEPT[name])
    found = world.call("GetWorkGroup", WorkGroup=name)["WorkGroup"]["Configuration"]
    for member, value in KEPT[name].items():
        assert found[member].items() >= value.items()
    start = {"WorkGroup": name, "QueryString": "SELECT 1", "ClientRequestToken": "t" * 32}
    said = refusal(world, "StartQueryExecution", **start)
    assert "runs no queries in WorkGroup" in said


def test_managed_results_are_turned_off_again(world: World) -> None:
    world.call("CreateWorkGroup", Name="wg", Configuration=KEPT["managed"])
    updates = {"ManagedQueryResultsConfigurationUpdates": {"Enabled": False}}
    world.call("UpdateWorkGroup", WorkGroup="wg", ConfigurationUpdates=updates)
    found = world.call("GetWorkGroup", WorkGroup="wg")["WorkGroup"]["Configuration"]
    assert found["ManagedQueryResultsConfiguration"] == {"Enabled": False}
