"""What goes wrong before the first call: it is ours, and names the connection."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import CredentialRetrievalError

from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, QuiltAthenaError
from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No credentials and no region but those of the connection."""
    for name in (
        "ACCESS_KEY_ID",
        "SECRET_ACCESS_KEY",
        "SESSION_TOKEN",
        "DEFAULT_REGION",
        "REGION",
        "PROFILE",
    ):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    nowhere = str(tmp_path_factory.mktemp("aws") / "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", nowhere)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def connect(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any] | None = None, **of: str
) -> QuiltAthenaHook:
    keys = {"login": "AKIA", "password": "secret"}
    given = {"conn_type": "aws", **keys, "extra": extra or {}, **of}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(given))
    return QuiltAthenaHook(aws_conn_id="lake")


@pytest.mark.parametrize(
    ("extra", "of", "kind", "said"),
    [
        ({}, {}, InvalidCallError, "no region is set. Set region_name"),
        ({"region_name": "eu-west-1"}, {"login": "", "password": ""}, AccessError, "Unable to locate cred"),
        ({"region_name": "not a region"}, {}, InvalidCallError, "not a region"),
        ({"region_name": "eu-west-1", "profile_name": "none"}, {}, InvalidCallError, "profile (none)"),
        (
            {"region_name": "eu-west-1", "role_arn": "arn:aws:iam::1:role/r", "assume_role_method": "magic"},
            {},
            InvalidCallError,
            "assume_role_method='magic'",
        ),
        (
            {"region_name": "eu-west-1", "config_kwargs": {"connect_timeout": "soon"}},
            {},
            InvalidCallError,
            "soon",
        ),
    ],
    ids=["region", "credentials", "misspelt region", "profile", "method", "configuration"],
)
def test_a_connection_that_does_not_do_is_named(
    extra: dict[str, Any],
    of: dict[str, str],
    kind: type[QuiltAthenaError],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(kind) as raised:
        connect(monkeypatch, extra, **of).client("glue")
    assert "glue" in str(raised.value)
    assert "'lake'" in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"no_such_option": 1}, "no_such_option"),
        ({"retries": {"mode": "eager"}}, "eager"),
        ({"s3": {"addressing_style": "odd"}}, "odd"),
    ],
    ids=["unknown", "retries", "s3"],
)
def test_a_wrong_botocore_config_is_ours(configuration: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidCallError, match=said):
        QuiltAthenaHook(aws_conn_id=None, region_name="eu-west-1", config=configuration)


def test_credentials_that_come_late_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = connect(monkeypatch, {"region_name": "eu-west-1"})
    late = [CredentialRetrievalError(provider="iam", error_msg="late")] * 2
    real = boto3.session.Session.get_credentials

    def get_credentials(session: boto3.session.Session) -> Any:
        if late:
            raise late.pop()
        return real(session)

    monkeypatch.setattr(boto3.session.Session, "get_credentials", get_credentials)
    assert hook.client("glue").meta.region_name == "eu-west-1"
    assert not late
