"""What policy documents say, by IAM's rules. The expected answers are those of the IAM user guide."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from local_athena.iam.policies import Decision, Principal, UnknownConditionError, decide, parse_policy

GET, BUCKET = "s3:GetObject", "arn:aws:s3:::b"


def ask(
    *statements: Mapping[str, Any],
    action: str = GET,
    resource: str = f"{BUCKET}/k",
    principal: Principal | None = None,
    **context: str,
) -> Decision:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    values = {name.replace("__", ":").replace("_", "-"): (value,) for name, value in context.items()}
    return decide(parse_policy(document), action, resource, values, principal)


def allow(action: Any = GET, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = GET, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def test_what_no_statement_speaks_of_is_not_allowed() -> None:
    assert ask() is Decision.SILENT
    assert ask(allow("s3:PutObject")) is Decision.SILENT
    assert ask(allow(resource=f"{BUCKET}/other")) is Decision.SILENT


def test_a_deny_beats_any_allow() -> None:
    assert ask(allow(), deny(), allow()) is Decision.DENIED


@pytest.mark.parametrize(
    ("pattern", "action", "fits"),
    [
        ("s3:getobject", GET, True),
        ("s3:Get*", GET, True),
        ("s3:Get?bject", GET, True),
        ("*", GET, True),
        ("s3:Get", GET, False),
        ("s3:GetObject.", "s3:GetObjectX", False),  # a full stop is no wildcard
    ],
)
def test_actions_are_matched_with_wildcards_and_without_case(pattern: str, action: str, fits: bool) -> None:
    assert (ask(allow(pattern), action=action) is Decision.ALLOWED) == fits


@pytest.mark.parametrize(
    ("pattern", "resource", "fits"),
    [
        (f"{BUCKET}/*", f"{BUCKET}/a/b", True),
        (f"{BUCKET}/a?c", f"{BUCKET}/abc", True),
        (f"{BUCKET}/a?c", f"{BUCKET}/ac", False),
        (f"{BUCKET}/A", f"{BUCKET}/a", False),  # resources have a case
        (f"{BUCKET}/*", BUCKET, False),
        ("arn:aws:s3:::b.c/*", "arn:aws:s3:::bxc/k", False),
        (f"{BUCKET}/[a]+", f"{BUCKET}/[a]+", True),
        ("arn:aws:glue:*:*:table/db/*_quilt_*", "arn:aws:glue:us-east-1:1:table/db/x_quilt_y", True),
    ],
)
def test_resources_are_matched_with_wildcards_only(pattern: str, resource: str, fits: bool) -> None:
    assert (ask(allow(resource=pattern), resource=resource) is Decision.ALLOWED) == fits


def test_the_not_elements_turn_a_match_round() -> None:
    statement = {"Effect": "Allow", "NotAction": "iam:*", "NotResource": f"{BUCKET}/secret*"}
    assert ask(statement) is Decision.ALLOWED
    assert ask(statement, action="iam:CreateUser") is Decision.SILENT
    assert ask(statement, resource=f"{BUCKET}/secret/k") is Decision.SILENT


def test_policy_variables_are_filled_in_and_taken_literally() -> None:
    home = allow(resource=f"{BUCKET}/home/${{aws:username}}/*")
    assert ask(home, resource=f"{BUCKET}/home/ann/k", aws__username="ann") is Decision.ALLOWED
    assert ask(home, resource=f"{BUCKET}/home/bob/k", aws__username="ann") is Decision.SILENT
    assert ask(home, resource=f"{BUCKET}/home//k") is Decision.SILENT
    assert ask(allow(resource=f"{BUCKET}/${{*}}"), resource=f"{BUCKET}/*") is Decision.ALLOWED
    assert ask(allow(resource=f"{BUCKET}/${{*}}"), resource=f"{BUCKET}/x") is Decision.SILENT


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "fits"),
    [
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a", None, False),
        ("StringEqualsIfExists", "a", None, True),
        ("StringEqualsIfExists", "a", "b", False),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringNotEquals", "a", None, True),
        ("StringLike", "x/*", "x/y", True),
        ("StringNotLike", "x/*", "x/y", False),
        ("ArnLike", "arn:aws:iam::*:role/r", "arn:aws:iam::1:role/r", True),
        ("Bool", False, "false", True),
        ("Bool", "true", "false", False),
        ("Null", "true", None, True),
        ("Null", "true", "x", False),
        ("Null", "false", "x", True),
        ("IpAddress", "127.0.0.0/8", "127.0.0.1", True),
        ("NotIpAddress", "127.0.0.0/8", "127.0.0.1", False),
        ("NumericLessThanEquals", "10", "10", True),
        ("NumericGreaterThan", "10", "9", False),
        ("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", True),
        ("DateLessThan", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", False),
    ],
)
def test_conditions_are_met_as_documented(operator: str, wanted: Any, value: str | None, fits: bool) -> None:
    policy = parse_policy(json.dumps({"Statement": allow(Condition={operator: {"X:Y": wanted}})}))
    context = {} if value is None else {"x:y": (value,)}
    assert (decide(policy, GET, "r", context) is Decision.ALLOWED) == fits


def test_a_deny_whose_condition_is_not_met_denies_nothing() -> None:
    tls_only = deny("s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    assert ask(allow(), tls_only, aws__securetransport="true") is Decision.ALLOWED
    assert ask(allow(), tls_only, aws__securetransport="false") is Decision.DENIED


def test_quantifiers_ask_all_or_any_of_the_values() -> None:
    def ask_calls(quantifier: str, *values: str) -> bool:
        condition = {f"{quantifier}:StringEquals": {"aws:CalledVia": ["athena", "glue"]}}
        document = json.dumps({"Statement": allow(Condition=condition)})
        context = {"aws:calledvia": values} if values else {}
        return decide(parse_policy(document), GET, "r", context) is Decision.ALLOWED

    assert ask_calls("ForAnyValue", "athena", "other")
    assert not ask_calls("ForAnyValue", "other")
    assert not ask_calls("ForAnyValue")
    assert ask_calls("ForAllValues", "athena", "glue")
    assert not ask_calls("ForAllValues", "athena", "other")
    assert ask_calls("ForAllValues")


def test_every_condition_must_be_met() -> None:
    both = allow(Condition={"StringEquals": {"a:b": "1", "a:c": "2"}, "Bool": {"a:d": "true"}})
    assert ask(both, a__b="1", a__c="2", a__d="true") is Decision.ALLOWED
    assert ask(both, a__b="1", a__c="2", a__d="false") is Decision.SILENT


def test_a_condition_nobody_here_understands_is_not_guessed() -> None:
    with pytest.raises(UnknownConditionError, match="BinaryEquals"):
        ask(deny(Condition={"BinaryEquals": {"a:b": "eA=="}}), a__b="x")


@pytest.mark.parametrize(
    ("named", "fits"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": "arn:aws:iam::1:user/ann"}, True),
        ({"AWS": ["arn:aws:iam::1:user/bob", "1"]}, True),
        ({"AWS": "arn:aws:iam::1:root"}, True),
        ({"AWS": "arn:aws:iam::2:root"}, False),
        ({"Service": "athena.amazonaws.com"}, False),
    ],
)
def test_principals_are_named_by_arn_account_or_star(named: Any, fits: bool) -> None:
    ann = Principal(("arn:aws:iam::1:user/ann",), "1")
    assert (ask(allow(Principal=named), principal=ann) is Decision.ALLOWED) == fits
