"""CreateQuiltPackageOperator on a running local Athena: what quilt3 then browses is what the rows said."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.operators.create_quilt_package import CreateQuiltPackageOperator
from local_athena import Fault, LocalAthena
from tests.integration.lab import Lab, Ran, connection
from tests.integration.quilt_registry import AWKWARD, BASE, Registry, push, reached_by_quilt3

pytestmark = [
    pytest.mark.integration,
    # quilt3's, of Python 3.11 and 3.12, which name importlib as the caller.
    pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated. Use files:DeprecationWarning"),
]

SELECT = "SELECT logical_key, physical_key, size, hash_type, hash_value, meta FROM {entries} WHERE {where}"


@pytest.fixture(scope="module")
def source(aws: LocalAthena) -> Registry:
    """A registry with packages to select from."""
    registry = Registry(aws)
    with reached_by_quilt3(aws) as quilt3:
        push(quilt3, registry.uri, "team/awkward", AWKWARD, at=BASE, message="as is", meta={"Plate": 7})
    registry.refresh()
    return registry


@pytest.fixture
def target(aws: LocalAthena) -> Registry:
    return Registry(aws)


@pytest.fixture(autouse=True)
def _reached(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield
    aws.set_faults()


def task(into: Registry, **arguments: Any) -> CreateQuiltPackageOperator:
    named = {"registry": into.uri, "package": "team/made", "message": "made"}
    place = {"database": into.lab.database, "workgroup": into.lab.workgroup}
    return CreateQuiltPackageOperator(task_id="package", **(named | place | arguments))


def make(into: Registry, run_id: str | None = None, **arguments: Any) -> Ran:
    return into.lab.run_task(task(into, **arguments), run_id=run_id or uuid.uuid4().hex)


def browse(registry: Registry, name: str = "team/made", top_hash: str | None = None) -> Any:
    with reached_by_quilt3(registry.aws) as quilt3:
        return quilt3.Package.browse(name, registry=registry.uri, top_hash=top_hash)


def pointers(registry: Registry, name: str = "team/made") -> dict[str, str]:
    prefix = f".quilt/named_packages/{name}/"
    listed = registry.s3.list_objects_v2(Bucket=registry.bucket, Prefix=prefix).get("Contents", ())
    return {
        item["Key"].removeprefix(prefix): registry.s3.get_object(Bucket=registry.bucket, Key=item["Key"])[
            "Body"
        ]
        .read()
        .decode()
        for item in listed
    }


def manifests(registry: Registry) -> set[str]:
    listed = registry.s3.list_objects_v2(Bucket=registry.bucket, Prefix=".quilt/packages/")
    return {item["Key"].rpartition("/")[2] for item in listed.get("Contents", ())}


def put(registry: Registry, key: str, content: str) -> dict[str, Any]:
    """Put an object; return the row that tells of it."""
    answer = registry.s3.put_object(Bucket=registry.bucket, Key=key, Body=content.encode())
    inner = hashlib.sha256(content.encode()).digest()
    return {
        "logical_key": key.rpartition("/")[2],
        "physical_key": f"s3://{registry.bucket}/{key}?versionId={answer['VersionId']}",
        "size": len(content.encode()),
        "hash": {"type": "SHA256", "value": inner.hex()},
    }


def given_rows(registry: Registry) -> list[dict[str, Any]]:
    return [put(registry, f"raw/{name}.txt", name * 3) for name in ("a", "b")]


# ----------------------------------------------------------------------------------------- the rows


def test_a_package_from_a_query_is_what_the_package_it_came_from_says(
    source: Registry, target: Registry
) -> None:
    query = SELECT.format(entries=source.names.entries, where="is_latest")
    ran = source.lab.run_task(
        task(source, registry=target.uri, query=query, message="as is", metadata={"Plate": 7})
    )
    theirs, ours = browse(source, "team/awkward"), browse(target)
    assert [(key, entry.as_dict()) for key, entry in ours.walk()] == [
        (key, entry.as_dict()) for key, entry in theirs.walk()
    ]
    assert ours.meta == {"Plate": 7}
    assert ours.top_hash == theirs.top_hash == ran.result["top_hash"]
    assert ran.result["created"]
    assert ran.result["entries"] == len(AWKWARD)
    assert pointers(target) == {ran.result["revision"]: ours.top_hash, "latest": ours.top_hash}


def test_the_catalogs_own_columns_are_taken_and_hashed_as_quilt3_hashes(target: Registry) -> None:
    put(target, "raw/a b.txt", "some text")
    put(target, "raw/empty", "")
    query = (
        f"SELECT * FROM (VALUES ('x/a b.txt', ARRAY['s3://{target.bucket}/raw/a b.txt'], 9), "
        f"('empty', ARRAY['s3://{target.bucket}/raw/empty'], 0)) AS t (logical_key, physical_keys, size)"
    )
    make(target, query=query)
    with reached_by_quilt3(target.aws) as quilt3:
        theirs = quilt3.Package()
        theirs.set("x/a b.txt", f"{target.uri}/raw/a b.txt")
        theirs.set("empty", f"{target.uri}/raw/empty")
        theirs.build("team/theirs", registry=target.uri, message="made")
    ours = browse(target)
    assert [(key, entry.as_dict()) for key, entry in ours.walk()] == [
        (key, entry.as_dict()) for key, entry in theirs.walk()
    ]


def test_a_large_object_is_hashed_in_quilts_chunks(target: Registry) -> None:
    target.s3.put_object(Bucket=target.bucket, Key="big", Body=bytes(range(256)) * (9 << 12))  # 9 MiB
    row = {"logical_key": "big", "physical_key": f"{target.uri}/big", "size": 9 << 20}
    make(target, rows=[row])
    with reached_by_quilt3(target.aws) as quilt3:
        theirs = quilt3.Package().set("big", f"{target.uri}/big")
        theirs._calculate_missing_hashes()
    assert browse(target)["big"].hash == theirs["big"].hash


def test_a_query_by_its_id_and_rows_of_an_xcom_make_the_same_package(
    source: Registry, target: Registry
) -> None:
    query = SELECT.format(entries=source.names.entries, where="is_latest")
    query_execution_id = source.lab.run(query)
    first = make(target, query_execution_id={"query_execution_ids": [query_execution_id]})
    columns = ["logical_key", "physical_key", "size", "hash_type", "hash_value", "meta"]
    rows = [list(row) for row in source.lab.rows(query)]
    second = make(target, rows={"columns": columns, "rows": rows})
    assert second.result["top_hash"] == first.result["top_hash"]
    assert not second.result["created"]
    assert first.result["query_execution_id"] == first.xcoms["query_execution_id"] == query_execution_id


def test_a_partition_is_made_a_package(source: Registry, target: Registry) -> None:
    place = f"s3://{source.lab.bucket}/days/"
    source.lab.run(
        f"CREATE TABLE days WITH (external_location = '{place}', partitioned_by = ARRAY['dt']) AS "
        f"SELECT logical_key, physical_key, size, hash_type, hash_value, CAST(dt AS date) AS dt "
        f"FROM {source.names.entries} CROSS JOIN (VALUES '2026-01-01', '2026-01-02') AS d (dt) "
        "WHERE dt = '2026-01-01' OR logical_key LIKE '%a%'"
    )
    whole = task(source, registry=target.uri, table="days", partition={"dt": "2026-01-01"})
    part = task(source, registry=target.uri, table="days", package="team/part")
    assert source.lab.run_task(whole).result["entries"] == len(AWKWARD)
    ran = source.lab.run_task(part, partition_key="2026-01-02")
    assert {key for key, _ in browse(target, "team/part").walk()} == {key for key in AWKWARD if "a" in key}
    assert ran.result["entries"] == sum("a" in key for key in AWKWARD)


def test_a_thousand_rows_come_from_the_results_file_or_page_by_page(target: Registry) -> None:
    digest = "'SHA256' AS hash_type, lpad(CAST(n AS varchar), 64, '0') AS hash_value"
    query = (
        f"SELECT 'd/' || CAST(n AS varchar) AS logical_key, {digest}, n AS size, "
        f"'{target.uri}/d/' || CAST(n AS varchar) || '?versionId=v' AS physical_key "
        "FROM UNNEST(sequence(1, 2345)) AS t (n)"
    )
    first = make(target, query=query)
    refused = Fault("s3:GetObject", error="AccessDenied", status=403, times=None, matching="/results/")
    target.aws.set_faults(refused)
    second = make(target, query=query)
    assert first.result["entries"] == second.result["entries"] == 2345
    assert first.result["top_hash"] == second.result["top_hash"]


_NAMES = st.text(st.sampled_from("abAB é%+#?&=,;'\"[]{}~日"), min_size=1, max_size=6)


@given(
    files=st.dictionaries(
        st.lists(_NAMES, min_size=1, max_size=2).map("/".join),
        st.tuples(
            _NAMES,
            st.binary(max_size=4),
            st.one_of(st.none(), st.dictionaries(_NAMES, st.integers(), max_size=2)),
        ),
        min_size=1,
        max_size=4,
    ).filter(lambda files: not any(other.startswith(f"{key}/") for key in files for other in files)),
    metadata=st.one_of(st.none(), st.dictionaries(_NAMES, st.one_of(st.floats(-9, 9), _NAMES), max_size=2)),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_made_is_what_the_rows_said(source: Registry, files: Any, metadata: Any) -> None:
    name = f"law/{uuid.uuid4().hex}"
    rows, wanted = [], {}
    for logical_key, (key, content, meta) in files.items():
        version = source.s3.put_object(Bucket=source.bucket, Key=f"law/{key}", Body=content)["VersionId"]
        value = hashlib.sha256(content).hexdigest()
        rows.append(
            {
                "logical_key": logical_key,
                "physical_key": f"{source.uri}/law/{key}".replace("%", "%25")
                .replace("#", "%23")
                .replace("?", "%3F"),
                "version_id": version,
                "size": len(content),
                "hash_type": "SHA256",
                "hash_value": value,
                "meta": None if meta is None else json.dumps({"user_meta": meta}),
            }
        )
        wanted[logical_key] = (source.bucket, f"law/{key}", version, len(content), value, meta or {})
    ran = make(source, package=name, rows=rows, metadata=metadata, check_objects=True)
    made = browse(source, name)
    found = {
        key: (*(getattr(entry.physical_key, part) for part in ("bucket", "path", "version_id")),
              entry.size, entry.hash["value"], entry.meta)
        for key, entry in made.walk()
    }  # fmt: skip
    assert found == wanted
    assert made.meta == (metadata or {})
    assert made.top_hash == ran.result["top_hash"]
    again = make(source, package=name, rows=list(reversed(rows)), metadata=metadata)
    assert (again.result["top_hash"], again.result["created"]) == (made.top_hash, False)


# ------------------------------------------------------------------------------ once, and told which


def test_the_same_content_makes_no_second_revision_and_tells_the_one_there_is(target: Registry) -> None:
    rows = given_rows(target)
    first = make(target, rows=rows).result
    target.aws.clear_calls()
    second = make(target, rows=rows).result
    assert (first["created"], second["created"]) == (True, False)
    assert {name: second[name] for name in ("top_hash", "revision", "revision_at", "manifest")} == {
        name: first[name] for name in ("top_hash", "revision", "revision_at", "manifest")
    }
    assert not [call for call in target.aws.calls if call.operation == "PutObject"]


def test_other_content_makes_another_revision(target: Registry) -> None:
    rows = given_rows(target)
    first = make(target, rows=rows).result
    second = make(target, rows=rows[:1]).result
    assert second["created"]
    found = pointers(target)
    assert found == {
        first["revision"]: first["top_hash"],
        second["revision"]: second["top_hash"],
        "latest": second["top_hash"],
    }


def test_without_dedupe_a_run_makes_a_revision_and_its_retry_none(target: Registry) -> None:
    rows = given_rows(target)
    make(target, rows=rows)
    second = make(target, "again", rows=rows, dedupe=False).result
    retry = make(target, "again", rows=rows, dedupe=False).result
    assert (second["created"], retry["created"], retry["revision"]) == (True, False, second["revision"])
    assert len(pointers(target)) == 3


def test_content_that_was_rolled_back_from_is_made_latest_again(target: Registry) -> None:
    rows = given_rows(target)
    first = make(target, rows=rows[:1]).result
    second = make(target, rows=rows).result
    target.put_pointer("team/made", "latest", first["top_hash"])
    third = make(target, rows=rows).result
    assert third["created"]
    assert third["top_hash"] == second["top_hash"] == pointers(target)["latest"]


def test_tags_move_with_the_revision(target: Registry) -> None:
    rows = given_rows(target)
    make(target, rows=rows, tags=["approved", "v1.0"])
    second = make(target, rows=rows[:1], tags="approved").result
    found = pointers(target)
    assert found["approved"] == found["latest"] == second["top_hash"]
    assert found["v1.0"] != second["top_hash"]


def test_a_manifest_that_names_other_objects_is_refused_with_what_differs(target: Registry) -> None:
    rows = given_rows(target)
    first = make(target, rows=rows).result
    newer = [put(target, "raw/a.txt", "aaa"), rows[1]]
    before = (
        pointers(target),
        target.s3.get_object(Bucket=target.bucket, Key=f".quilt/packages/{first['top_hash']}")["ETag"],
    )
    with pytest.raises(AirflowFailException, match=r"1 entries differ:\n  a\.txt: .*versionId") as caught:
        make(target, rows=newer, package="team/other")
    assert newer[0]["physical_key"] in str(caught.value)
    assert rows[0]["physical_key"] in str(caught.value)
    after = target.s3.get_object(Bucket=target.bucket, Key=f".quilt/packages/{first['top_hash']}")["ETag"]
    assert (pointers(target), after) == before
    assert pointers(target, "team/other") == {}


def test_a_manifest_that_quilt3_made_is_shared(target: Registry) -> None:
    rows = given_rows(target)
    with reached_by_quilt3(target.aws) as quilt3:
        from quilt3.packages import PackageEntry
        from quilt3.util import PhysicalKey

        theirs = quilt3.Package()
        for row in rows:
            place = PhysicalKey.from_url(row["physical_key"])
            theirs.set(row["logical_key"], PackageEntry(place, row["size"], row["hash"], None))
        top_hash = theirs.build("team/theirs", registry=target.uri, message="made")
    ours = make(target, rows=rows).result
    assert ours["top_hash"] == top_hash
    assert manifests(target) == {top_hash}


# ---------------------------------------------------------------------------------------- unusable


def unusable_rows(registry: Registry) -> list[dict[str, Any]]:
    good = given_rows(registry)
    return [
        *good,
        {**good[0], "logical_key": "twice", "size": 1},
        {**good[1], "logical_key": "twice"},
        {**good[0], "logical_key": "b.txt/under"},
        {**good[0], "logical_key": "../up"},
        {**good[0], "logical_key": "no size", "size": None},
        {**good[0], "logical_key": "nan", "meta": {"a": float("nan")}},
        {**good[0], "logical_key": "gone", "physical_key": f"{registry.uri}/gone"},
        {**good[0], "logical_key": "elsewhere", "physical_key": "s3://no-such-bucket-at-all/a?versionId=v"},
        {**good[0], "logical_key": "grown", "size": 99, "physical_key": f"{registry.uri}/raw/a.txt"},
    ]


def test_every_unusable_row_is_told_and_nothing_is_pushed(target: Registry) -> None:
    rows = unusable_rows(target)
    with pytest.raises(AirflowFailException) as caught:
        make(target, rows=rows)
    for words in (
        "9 rows cannot be entries",
        "row 3, twice: its logical key is also that of row 4",
        "row 4, twice: its logical key is also that of row 3",
        "row 2, b.txt: it is a folder as well, with b.txt/under",
        "row 6, ../up: a part of its logical key is '..'",
        "row 7, no size: it has no size",
        "row 8, nan: its metadata holds nan at user_meta.a",
        f"row 9, gone: there is no {target.uri}/gone",
        "row 10, elsewhere: there is no bucket no-such-bucket-at-all",
        f"row 11, grown: its size is 99, and that of {target.uri}/raw/a.txt 3",
    ):
        assert words in str(caught.value)
    assert (pointers(target), manifests(target)) == ({}, set())


def test_unusable_rows_are_left_out_when_asked(target: Registry) -> None:
    ran = make(target, rows=unusable_rows(target), on_unusable="skip")
    assert [key for key, _ in browse(target).walk()] == ["a.txt", "b.txt/under"]
    assert ran.result["unusable"]["count"] == 9
    assert {row["number"] for row in ran.result["unusable"]["examples"]} == {2, 3, 4, 6, 7, 8, 9, 10, 11}


def test_a_version_is_resolved_refused_or_left_out_as_asked(target: Registry) -> None:
    (row, _) = given_rows(target)
    bare = {**row, "physical_key": row["physical_key"].partition("?")[0]}
    make(target, rows=[bare])
    assert str(browse(target)["a.txt"].physical_key) == row["physical_key"]
    with pytest.raises(AirflowFailException, match="names no version"):
        make(target, rows=[bare], on_unversioned="refuse")
    make(target, rows=[bare], on_unversioned="keep", message="kept", package="team/kept")
    assert browse(target, "team/kept")["a.txt"].physical_key.version_id is None


def test_a_bucket_without_versions_is_taken_as_it_is(target: Registry) -> None:
    bucket = f"plain-{uuid.uuid4().hex[:8]}"
    target.s3.create_bucket(Bucket=bucket)
    target.s3.put_object(Bucket=bucket, Key="a", Body=b"aaa")
    make(target, rows=[{"logical_key": "a", "physical_key": f"s3://{bucket}/a", "size": 3}])
    assert str(browse(target)["a"].physical_key) == f"s3://{bucket}/a"


@pytest.mark.parametrize(
    ("on_empty", "error"), [("fail", AirflowFailException), ("skip", AirflowSkipException)]
)
def test_no_rows_make_no_revision_unless_asked(
    target: Registry, on_empty: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="no entry"):
        make(target, rows=[], on_empty=on_empty)
    assert pointers(target) == {}
    assert make(target, rows=[], on_empty="publish").result["created"]
    assert list(browse(target).walk()) == []


# --------------------------------------------------------------------------------------- workflows

CONFIG = """
version: "1"
is_workflow_required: {required}
default_workflow: alpha
workflows:
  alpha:
    name: Alpha
    is_message_required: true
    handle_pattern: ^team/
    metadata_schema: meta
    entries_schema: files
  beta:
    name: Beta
schemas:
  meta:
    url: {uri}/meta.json
  files:
    url: {uri}/files.json
"""


@pytest.fixture
def governed(target: Registry) -> Registry:
    config = CONFIG.format(required="true", uri=target.uri)
    schemas = {
        "meta.json": {"type": "object", "required": ["Plate"]},
        "files.json": {"type": "array", "items": {"properties": {"size": {"maximum": 5}}}},
    }
    for key, body in schemas.items():
        target.s3.put_object(Bucket=target.bucket, Key=key, Body=json.dumps(body).encode())
    target.s3.put_object(Bucket=target.bucket, Key=".quilt/workflows/config.yml", Body=config.encode())
    return target


def test_a_package_keeps_its_workflow_as_quilt3_keeps_it(governed: Registry) -> None:
    rows = given_rows(governed)
    make(governed, rows=rows, metadata={"Plate": 1})
    with reached_by_quilt3(governed.aws) as quilt3:
        theirs = quilt3.Package.browse("team/made", registry=governed.uri)
        theirs.build("team/theirs", registry=governed.uri, message="made")
    ours = browse(governed)
    assert next(ours.manifest) == next(theirs.manifest)
    assert ours.top_hash == theirs.top_hash


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metadata": {"Dish": 1}}, "Metadata failed validation: 'Plate' is a required property"),
        ({"message": None}, "Commit message is required"),
        ({"package": "other/made"}, "name doesn't match"),
        ({"workflow": "gamma"}, "There is no 'gamma' workflow"),
        ({"workflow": None}, "Workflow required, but none specified"),
        ({"workflow": ""}, "Workflow required, but none specified"),
        ({"name": "long enough"}, "Package entries failed validation"),
    ],
)
def test_what_a_workflow_refuses_is_not_pushed(
    governed: Registry, changes: dict[str, Any], words: str
) -> None:
    changes = dict(changes)
    rows = [put(governed, "raw/a.txt", changes.pop("name", "aaa"))]
    arguments = {"metadata": {"Plate": 1}, **changes}
    with pytest.raises(AirflowFailException, match=words):
        make(governed, rows=rows, **arguments)
    assert manifests(governed) == set()


def test_quilt3_writes_nothing_into_the_workers_home_and_sees_no_credentials(
    governed: Registry, tmp_path: Path
) -> None:
    """In a process of its own: quilt3 finds its folders when it is imported."""
    (row,) = given_rows(governed)[:1]
    bare = {name: value for name, value in row.items() if name != "hash"}
    program = f"""
import boto3, os, sys
from airflow_quilt_athena.core.quilt.package_request import PackageRequest
from airflow_quilt_athena.flows.quilt.packages import create_package
key, secret, endpoint = sys.argv[1:]
s3 = boto3.client("s3", "us-east-1", endpoint_url=endpoint,
                  aws_access_key_id=key, aws_secret_access_key=secret)
before = dict(os.environ)
request = PackageRequest({governed.bucket!r}, "team/home", message="m", metadata={{"Plate": 1}})
assert create_package(s3, request, [{bare!r}]).created
import quilt3.hooks
assert "quilt3.workflows" in sys.modules and "quilt3.checksums" in sys.modules
assert quilt3.hooks.get_build_s3_client_hook() is None
assert dict(os.environ) == before
"""
    environment = governed.aws.environment
    arguments = [environment[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    arguments.append(governed.aws.endpoint_url)
    home = {name: str(tmp_path) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], **home},
        check=True,
        timeout=120,
    )
    assert list(tmp_path.rglob("*")) == []


def test_another_workflow_is_chosen_by_its_id(governed: Registry) -> None:
    make(governed, rows=given_rows(governed), workflow="beta", package="other/made", message=None)
    assert next(browse(governed, "other/made").manifest)["workflow"]["id"] == "beta"


def test_a_workflow_where_there_are_none_is_refused(target: Registry) -> None:
    with pytest.raises(AirflowFailException, match=r"has no \.quilt/workflows/config\.yml"):
        make(target, rows=given_rows(target), workflow="alpha")


# ----------------------------------------------------------------------------------- asked wrongly


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "one of query, query_execution_id, table, rows; given: none"),
        ({"query": "SELECT 1", "rows": []}, "given: query, rows"),
        ({"rows": [], "partition": "x"}, "partition goes with table"),
        ({"rows": [], "on_unusable": "drop"}, "on_unusable is 'drop'"),
        ({"rows": [], "on_unversioned": "drop"}, "on_unversioned is 'drop'"),
        ({"rows": [], "on_empty": "drop"}, "on_empty is 'drop'"),
    ],
)
def test_a_typo_fails_where_the_dag_is_written(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidCallError, match=words):
        CreateQuiltPackageOperator(task_id="package", registry="acme", package="team/made", **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"query": "SELECT 1 AS size"}, "no logical_key, no physical_key or physical_keys"),
        ({"query": "SELECT 1 AS a, 2 AS a"}, "columns of one name|ambiguous|Duplicate|duplicate"),
        ({"query": "SHOW TABLES"}, "has no rows to read"),
        ({"query_execution_id": "None"}, "no query execution id"),
        ({"table": "no_such_table"}, "no table"),
        ({"rows": ["a"]}, "Row 1 is 'a'"),
        ({"rows": "a"}, r"rows is 'a'\. Expected a list of mappings, .*; this text is no JSON .*column 1"),
        ({"rows": {"a": 1}}, "Expected a list of mappings"),
        ({"rows": [], "package": "team"}, "Not a package's name"),
        ({"rows": [], "registry": "s3://acme/x"}, "Expected a bucket"),
        ({"rows": [], "tags": ["latest"]}, "Not a tag"),
        ({"rows": [], "metadata": {"a": float("inf")}}, "holds inf at a"),
        ({"rows": [], "registry": "no-such-bucket-at-all"}, "no-such-bucket-at-all"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    lab: Lab, target: Registry, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(AirflowException, match=words):
        make(target, **arguments)
    assert manifests(target) == set()


def test_the_link_leads_to_the_package_in_the_catalog(target: Registry) -> None:
    ran = make(target, rows=given_rows(target), catalog_url="https://quilt.example.com/")
    url = f"https://quilt.example.com/b/{target.bucket}/packages/team/made/tree/{ran.result['top_hash']}"
    assert ran.result["url"] == ran.xcoms["quilt_athena_package_url"] == url
