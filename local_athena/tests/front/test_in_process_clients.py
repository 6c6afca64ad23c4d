"""AWS as a query sees it: a Glue client in process, that acts as the query's caller."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import pytest
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends

from local_athena.account import ACCOUNT_ID, ROOT_ACCESS_KEY_ID
from local_athena.errors import ApiError
from local_athena.front.in_process_clients import InsideClients
from local_athena.front.router import Front, Moto
from local_athena.iam.identities import Identities
from local_athena.moto_fixes import build_fixes
from local_athena.wire.call_log import CallLog
from local_athena.wire.callers import Caller
from local_athena.wire.faults import Fault, Knobs
from local_athena.wire.operation_names import CredentialScope


class Inside:
    """A front in this process, without HTTP."""

    def __init__(self) -> None:
        self.knobs = Knobs()
        self.log = CallLog()
        self.identities = Identities(self.knobs)
        moto = Moto()
        front = Front(moto, self.knobs, self.log, self.identities, build_fixes(self.identities), _no_athena)
        self.clients = InsideClients(
            front.answer_inside, self.identities, self.knobs, self.log, moto.lock("s3"), moto.s3_keys
        )

    def caller(self, key_id: str, region: str = "us-east-1") -> Caller:
        return self.identities.caller(CredentialScope(key_id, region, "athena"), None)

    def glue(self, caller: Caller) -> Any:
        return self.clients.clients_for(caller).glue

    def user(self, *statements: dict[str, Any]) -> Caller:
        iam, name = iam_backends[ACCOUNT_ID]["aws"], f"user-{uuid.uuid4().hex}"
        iam.create_user("us-east-1", name)
        iam.put_user_policy(name, "p", json.dumps({"Version": "2012-10-17", "Statement": statements}))
        return self.caller(iam.create_access_key(name).access_key_id)


def _no_athena() -> NoReturn:
    raise AssertionError("A query does not call Athena.")


@pytest.fixture(scope="module")
def inside() -> Inside:
    return Inside()


def test_calls_of_a_query_are_mended_and_logged_as_athenas_own(inside: Inside) -> None:
    glue, name = inside.glue(inside.caller(ROOT_ACCESS_KEY_ID)), f"db_{uuid.uuid4().hex}"
    inside.log.clear()
    glue.create_database(DatabaseInput={"Name": name.upper()})
    assert glue.get_database(Name=name)["Database"]["Name"] == name
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_table(DatabaseName=name, Name="t")
    assert [(c.name, c.status, c.by_athena, c.detail) for c in inside.log.calls()] == [
        ("glue:CreateDatabase", 200, True, name.upper()),
        ("glue:GetDatabase", 200, True, name),
        ("glue:GetTable", 400, True, f"{name}.t"),
    ]


def test_a_query_may_do_in_glue_what_its_caller_may(inside: Inside) -> None:
    arns = ["catalog", "database/*", "table/*/mine"]
    resources = [f"arn:aws:glue:us-east-1:{ACCOUNT_ID}:{arn}" for arn in arns]
    caller = inside.user({"Effect": "Allow", "Action": "glue:Get*", "Resource": resources})
    root, name = inside.glue(inside.caller(ROOT_ACCESS_KEY_ID)), f"db_{uuid.uuid4().hex}"
    root.create_database(DatabaseInput={"Name": name})
    root.create_table(DatabaseName=name, TableInput={"Name": "mine"})
    inside.knobs.iam = True
    try:
        glue = inside.glue(caller)
        assert glue.get_table(DatabaseName=name, Name="mine")["Table"]["Name"] == "mine"
        with pytest.raises(ClientError, match="is not authorized to perform: glue:CreateTable") as error:
            glue.create_table(DatabaseName=name, TableInput={"Name": "mine2"})
        assert error.value.response["Error"]["Code"] == "AccessDeniedException"
        with pytest.raises(
            ApiError, match=r"athena:StartQueryExecution on resource: arn:aws:athena:.*/primary"
        ):
            inside.identities.authorize(
                caller,
                "athena:StartQueryExecution",
                f"arn:aws:athena:us-east-1:{ACCOUNT_ID}:workgroup/primary",
            )
        assert inside.identities.write_refusal(caller, "results", "a.csv") is not None
    finally:
        inside.knobs.iam = False
    assert inside.identities.write_refusal(caller, "results", "a.csv") is None


def test_faults_for_clients_do_not_hit_queries_nor_the_other_way_round(inside: Inside) -> None:
    glue = inside.glue(inside.caller(ROOT_ACCESS_KEY_ID))
    inside.knobs.set_faults([Fault("glue:GetDatabases", "ThrottlingException")])
    glue.get_databases()
    inside.knobs.set_faults([Fault("glue:GetDatabases", "ThrottlingException", by_athena=True)])
    with pytest.raises(ClientError, match="ThrottlingException"):
        glue.get_databases()
    inside.knobs.set_faults([])


def test_each_region_has_a_catalog_of_its_own(inside: Inside) -> None:
    here, there = (inside.caller(ROOT_ACCESS_KEY_ID, region) for region in ("us-east-1", "eu-west-1"))
    name = f"db_{uuid.uuid4().hex}"
    inside.glue(there).create_database(DatabaseInput={"Name": name})
    assert name in {d["Name"] for d in inside.glue(there).get_databases()["DatabaseList"]}
    assert name not in {d["Name"] for d in inside.glue(here).get_databases()["DatabaseList"]}
    assert inside.clients.clients_for(there).region == "eu-west-1"


def test_many_queries_at_once_share_the_catalog(inside: Inside) -> None:
    caller, name = inside.caller(ROOT_ACCESS_KEY_ID), f"db_{uuid.uuid4().hex}"
    inside.glue(caller).create_database(DatabaseInput={"Name": name})

    def create(number: int) -> None:
        inside.glue(caller).create_table(DatabaseName=name, TableInput={"Name": f"t{number}"})
        inside.glue(caller).get_tables(DatabaseName=name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(40)))
    assert len(inside.glue(caller).get_tables(DatabaseName=name)["TableList"]) == 40


def test_a_query_fault_is_found_by_the_querys_text_and_used_up() -> None:
    knobs = Knobs(
        {"athena:query": 0.5, "*": 9},
        [Fault("athena:query", "GENERIC_INTERNAL_ERROR", message="boom", matching="INSERT", retryable=True)],
    )
    assert knobs.query_latency() == 0.5
    assert knobs.query_fault("SELECT 1") is None
    fault = knobs.query_fault("INSERT INTO t VALUES 1")
    assert fault is not None
    assert (fault.reason, fault.retryable) == ("GENERIC_INTERNAL_ERROR: boom", True)
    assert knobs.query_fault("INSERT INTO t VALUES 1") is None
