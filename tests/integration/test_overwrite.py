"""Insert overwrite on a running local Athena: one partition, replaced whole.

Expected rows are the Python values that were put in.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset

from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from local_athena import Fault
from tests.integration.lab import Lab, run_task
from tests.integration.overwriting import (
    BASE,
    GENERATIONS,
    JOURNAL,
    literal,
    overwrite,
    queries,
    registered,
    requests_to,
    rollback,
    select,
    stored,
    sweep,
    table,
    temporary_tables,
    values,
)

pytestmark = pytest.mark.integration

# -------------------------------------------------------------------------------------------------- replacing


def test_the_first_run_makes_the_table_and_the_second_replaces_its_partition(lab: Lab) -> None:
    first = overwrite(lab, values((1, "a"), (2, "b"))).result
    assert stored(lab) == [("1", "a", "2026-01-01"), ("2", "b", "2026-01-01")]
    second = overwrite(lab, values((3, "c"))).result
    assert stored(lab) == [("3", "c", "2026-01-01")]
    assert (first["partitions"][0]["action"], second["partitions"][0]["action"]) == ("created", "replaced")
    assert second["partitions"][0]["previous_location"] == first["partitions"][0]["location"]
    assert temporary_tables(lab) == set()


def test_a_task_makes_its_own_clients_from_its_connection(lab: Lab) -> None:
    operator = CtasInsertOverwriteOperator(
        task_id="overwrite",
        query=values((1, "a")),
        table=f"{lab.database}.orders",
        partition="2026-01-01",
        partitioned_by=["dt"],
        workgroup=lab.workgroup,
        location=f"s3://{lab.bucket}/orders/",
        region_name="us-east-1",
        botocore_config={"connect_timeout": 5},
    )
    assert run_task(operator).result["rows"] == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_the_same_run_twice_ends_in_the_same_rows(lab: Lab) -> None:
    for _ in range(2):
        overwrite(lab, values((1, "a"), (1, "a")))
    assert stored(lab) == [("1", "a", "2026-01-01")] * 2


def test_other_partitions_stay_as_they_are(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {"dt": "2026-01-01"})
    overwrite(lab, values((2, "b")), {"dt": "2026-01-02"})
    overwrite(lab, values((3, "c")), {"dt": "2026-01-02"})
    assert stored(lab) == [("1", "a", "2026-01-01"), ("3", "c", "2026-01-02")]


def test_a_failed_ctas_leaves_the_old_rows_and_a_retry_works(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    before = lab.partitions("orders")
    failing = "SELECT id / (id - id) AS id, note FROM (VALUES (1, 'x')) AS t (id, note)"
    with pytest.raises(AirflowFailException, match=r"(?i)FAILED in workgroup .*division.by.zero.*console"):
        overwrite(lab, failing)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert lab.partitions("orders") == before
    assert temporary_tables(lab) == set()
    overwrite(lab, values((2, "b")))
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_nothing_that_was_live_is_deleted(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    old = lab.keys("warehouse/")
    lab.aws.clear_calls()
    overwrite(lab, values((2, "b")))
    assert old
    assert old < lab.keys("warehouse/")
    deletes = [call for call in lab.aws.calls if call.operation.startswith("Delete") and call.service == "s3"]
    assert [call.detail.rpartition("/")[2].partition("-")[0] for call in deletes] == ["lease"]


def test_a_query_may_read_the_partition_it_replaces(lab: Lab) -> None:
    overwrite(lab, values((1, "a"), (1, "a"), (2, "b")))
    overwrite(lab, "SELECT DISTINCT id, note FROM orders WHERE dt = '2026-01-01'")
    assert stored(lab) == [("1", "a", "2026-01-01"), ("2", "b", "2026-01-01")]


def test_a_partition_that_something_else_wrote_is_replaced_and_its_files_stay(lab: Lab) -> None:
    root = f"s3://{lab.bucket}/warehouse/orders/"
    lab.run(
        f"CREATE TABLE orders WITH (external_location = '{root}', format = 'ORC', "
        "partitioned_by = ARRAY['dt']) AS SELECT CAST(9 AS bigint) AS id, 'old' AS note, '2026-01-01' AS dt"
    )
    natural = lab.keys("warehouse/orders/dt=2026-01-01/")
    ran = overwrite(lab, values((1, "a")))
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert natural
    assert natural <= lab.keys("warehouse/")
    assert ran.result["partitions"][0]["previous_location"].rstrip("/") == f"{root}dt=2026-01-01"
    assert table(lab)["Parameters"]["quilt_athena.base"] == root


def test_repairing_the_table_finds_nothing_to_double(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    overwrite(lab, values((2, "b")))
    lab.run("MSCK REPAIR TABLE orders")
    assert stored(lab) == [("2", "b", "2026-01-01")]


# ----------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    "value",
    ["two words", "a/b", "it's", "a=b", "100%", "10:30", "%3A", "a\\b", 'say "hi"', "{staged}", "#1?*"],
)
def test_an_awkward_value_names_one_partition_however_often_it_is_written(lab: Lab, value: str) -> None:
    for note in ("old", "new"):
        overwrite(lab, values((1, note)), {"k": value}, partitioned_by=("k",))
    assert stored(lab, "id, note, k") == [("1", "new", value)]
    assert lab.rows(f"SELECT note FROM orders WHERE k = {literal(value)}") == [("new",)]
    assert [partition["Values"] for partition in lab.partitions("orders")] == [[value]]


@pytest.mark.parametrize(
    ("hive_type", "value", "predicate", "shown"),
    [
        ("date", "2026-01-31", "k = DATE '2026-01-31'", "2026-01-31"),
        ("int", "007", "k = 7", "7"),
        ("bigint", 12, "k > 11", "12"),
    ],
)
def test_typed_keys_are_compared_by_type(
    lab: Lab, hive_type: str, value: Any, predicate: str, shown: str
) -> None:
    for note in ("old", "new"):
        overwrite(lab, values((1, note)), {"k": value}, partitioned_by={"k": hive_type})
    assert lab.rows(f"SELECT note, k FROM orders WHERE {predicate}") == [("new", shown)]


def test_a_partition_registered_under_another_spelling_is_replaced_not_doubled(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {"k": 1}, partitioned_by={"k": "int"})
    lab.run("ALTER TABLE orders DROP PARTITION (k = 1)")
    place = f"s3://{lab.bucket}/elsewhere/"
    lab.run(
        f"CREATE TABLE other WITH (external_location = '{place}', format = 'PARQUET') AS {values((9, 'z'))}"
    )
    descriptor = table(lab)["StorageDescriptor"] | {"Location": place}
    lab.client("glue").create_partition(
        DatabaseName=lab.database,
        TableName="orders",
        PartitionInput={"Values": ["01"], "StorageDescriptor": descriptor},
    )
    assert stored(lab, "id, note, k") == [("9", "z", "1")]
    ran = overwrite(lab, values((2, "b")), {"k": 1})
    assert stored(lab, "id, note, k") == [("2", "b", "1")]
    assert ran.result["partitions"][0]["previous_location"] == place


def test_several_keys_are_given_in_any_order(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {"country": "ch", "dt": "d"}, partitioned_by=("dt", "country"))
    overwrite(lab, values((2, "b")), {"dt": "d", "country": "ch"})
    assert stored(lab, "id, dt, country") == [("2", "d", "ch")]


@pytest.mark.parametrize("value", ["", "None", {"dt": None}, {"dt": ""}, {"dt": "None"}])
def test_a_partition_without_a_value_is_refused(lab: Lab, value: Any) -> None:
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=r"no value"):
        overwrite(lab, values((1, "a")), value)
    assert lab.started() == []
    assert lab.keys("warehouse/") == set()


# -------------------------------------------------------------------------------------------------- reporting


def test_xcom_asset_event_and_partition_tell_the_same_facts(lab: Lab) -> None:
    asset = Asset(name="orders", uri="x-quilt://orders")
    overwrite(lab, values((7, "before")), run_id="one")
    ((old, old_location),) = registered(lab).items()
    ran = overwrite(lab, values((1, "a"), (2, "b")), outlets=[asset], run_id="two")
    (partition,) = lab.partitions("orders")
    location = partition["StorageDescriptor"]["Location"]
    generation, previous = (
        place.removeprefix(f"{GENERATIONS}dt=2026-01-01/").rstrip("/")
        for place in (location.removeprefix(f"s3://{lab.bucket}/"), old_location)
    )
    (query_execution_id,) = ran.result["query_execution_ids"]
    execution = lab.client("athena").get_query_execution(QueryExecutionId=query_execution_id)[
        "QueryExecution"
    ]
    assert old == ("2026-01-01",)
    assert ran.result == {
        "query_execution_ids": [execution["QueryExecutionId"]],
        "state": "SUCCEEDED",
        "outcome": "published",
        "rows": 2,
        "bytes_scanned": execution["Statistics"]["DataScannedInBytes"],
        "estimated_cost_usd": 0.00005,  # 10 MB at least, at 5 dollars for 1 TB
        "table": f"{lab.database}.orders",
        "partitions": [
            {
                "values": {"dt": "2026-01-01"},
                "action": "replaced",
                "rows": 2,
                "location": location,
                "generation": generation,
                "previous_location": f"s3://{lab.bucket}/{old_location}",
                "previous_generation": previous,
            }
        ],
        "partitions_total": 1,
        "partitions_by_action": {"replaced": 1},
        "journal_entry": ran.result["journal_entry"],
    }
    key = ran.result["journal_entry"].removeprefix(f"s3://{lab.bucket}/")
    entry = lab.client("s3").get_object(Bucket=lab.bucket, Key=key)["Body"].read()
    assert json.loads(entry)["task_key"].endswith("/two/0")
    assert json.loads(json.dumps(ran.result)) == ran.result
    assert ran.outlet_events[asset].extra == ran.result
    ours = {
        name.removeprefix("quilt_athena."): value
        for name, value in partition["Parameters"].items()
        if name.startswith("quilt_athena.")
    }
    written_at = datetime.fromisoformat(ours.pop("written_at"))
    assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=1)
    assert ours == {
        "generation": generation,
        "query_id": query_execution_id,
        "rows": "2",
        "written_by": "dag/overwrite/-1/two/0",
        "previous_location": f"s3://{lab.bucket}/{old_location}",
    }
    assert ran.xcoms["quilt_athena_query_url"].endswith(query_execution_id)
    assert "prefix=warehouse%2Forders%2F.generations" in ran.xcoms["quilt_athena_data_url"]


def test_a_catalog_is_named_in_every_call_about_the_table(lab: Lab) -> None:
    account = "123456789012"
    with requests_to(lab, "glue") as sent:
        for run_id in ("one", "two"):
            overwrite(lab, values((1, run_id)), catalog_id=account, run_id=run_id)
        rollback(lab, catalog_id=account)
        sweep(lab, catalog_id=account)
    about_the_table = [
        (operation, request)
        for operation, request in sent
        if "orders"
        in (request.get("TableName"), request.get("Name"), request.get("TableInput", {}).get("Name"))
    ]
    seen = {operation for operation, _ in about_the_table}
    assert {"GetTable", "CreateTable", "CreatePartition", "UpdatePartition", "GetPartitions"} <= seen
    assert [sent for sent in about_the_table if sent[1].get("CatalogId") != account] == []
    assert stored(lab) == [("1", "one", "2026-01-01")]


def test_a_key_encrypts_what_a_query_writes_and_the_journal(lab: Lab) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/0f0f0f0f-0000-4000-8000-000000000001"
    with requests_to(lab, "athena") as sent:
        overwrite(lab, values((1, "a")), kms_key_arn=key)
    (start,) = [request for operation, request in sent if operation == "StartQueryExecution"]
    encryption = {"EncryptionOption": "SSE_KMS", "KmsKey": key}
    assert start["ResultConfiguration"]["EncryptionConfiguration"] == encryption
    written = lab.keys(BASE)
    assert any(name.startswith(JOURNAL) for name in written)
    heads = {name: lab.client("s3").head_object(Bucket=lab.bucket, Key=name) for name in written}
    told = {name: (head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")) for name, head in heads.items()}
    assert told == dict.fromkeys(written, ("aws:kms", key))


# ------------------------------------------------------------------------------------------------------ calls


def calls_until_visible(lab: Lab) -> list[str]:
    """The clients' calls up to the flip, without the looks at a query that runs."""
    ours = [call.operation for call in lab.aws.calls if not call.by_athena]
    until = ours[: ours.index("UpdatePartition") + 1]
    return [
        operation for operation in until if operation not in {"GetQueryExecution", "BatchGetQueryExecution"}
    ]


def test_an_overwrite_is_one_query_and_few_other_calls_however_much_there_was(lab: Lab) -> None:
    def count(note: str) -> list[str]:
        lab.aws.clear_calls()
        overwrite(lab, values((1, note)), run_id=note)
        return calls_until_visible(lab)

    overwrite(lab, values((1, "first")), run_id="first")
    few = count("few files")
    copy_files(lab, registered(lab)[("2026-01-01",)], 299)
    add_partitions(lab, 500)
    many = count("many files and partitions")
    assert few == many
    assert few.count("StartQueryExecution") == 1
    assert len(few) <= 12, few
    assert lab.rows("SELECT note, count(*) FROM orders GROUP BY 1") == [("many files and partitions", "1")]


def test_the_first_overwrite_of_a_table_made_by_hand_is_one_query_and_few_other_calls(lab: Lab) -> None:
    lab.run(
        f"CREATE TABLE orders WITH (external_location = 's3://{lab.bucket}/{BASE}', format = 'PARQUET', "
        "partitioned_by = ARRAY['dt']) AS SELECT 9 AS id, 'old' AS note, '2026-01-01' AS dt"
    )
    copy_files(lab, f"{BASE}dt=2026-01-01/", 300)
    lab.aws.clear_calls()
    overwrite(lab, values((2, "b")))
    counted = calls_until_visible(lab)
    assert counted.count("StartQueryExecution") == 1
    assert len(counted) - 1 <= 15, counted
    assert stored(lab) == [("2", "b", "2026-01-01")]


def copy_files(lab: Lab, folder: str, count: int) -> None:
    """Put copies of a folder's one file beside it."""
    s3 = lab.client("s3")
    (key,) = lab.keys(folder)
    body = s3.get_object(Bucket=lab.bucket, Key=key)["Body"].read()
    for number in range(count):
        s3.put_object(Bucket=lab.bucket, Key=f"{folder}copy-{number}", Body=body)


def add_partitions(lab: Lab, count: int) -> None:
    """Register empty partitions of other days."""
    descriptor = table(lab)["StorageDescriptor"]
    inputs = [
        {
            "Values": [f"day-{number}"],
            "StorageDescriptor": descriptor | {"Location": f"s3://{lab.bucket}/{BASE}dt=day-{number}/"},
        }
        for number in range(count)
    ]
    for start in range(0, count, 100):
        answer = lab.client("glue").batch_create_partition(
            DatabaseName=lab.database, TableName="orders", PartitionInputList=inputs[start : start + 100]
        )
        assert answer.get("Errors", []) == []


# --------------------------------------------------------------------------------------------------- trouble


def test_a_deferred_overwrite_ends_as_one_on_the_worker(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 0.4})
    with queries(lab) as sent:
        ran = overwrite(lab, values((1, "a")), deferrable=True, defer_after=0.05)
    assert ran.deferrals == 1
    assert ran.result["rows"] == 1
    assert len(sent) == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_the_partition_of_the_run_is_the_same_after_a_deferral(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 0.4})
    ran = overwrite(
        lab,
        values((1, "a")),
        None,
        partitioned_by=["dt"],
        partition_key="2026-01-09",
        deferrable=True,
        defer_after=0.05,
    )
    assert ran.deferrals == 1
    assert stored(lab) == [("1", "a", "2026-01-09")]


def test_a_set_may_defer_for_each_of_its_phases(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 0.4})
    query = select("id, note, dt", [(1, "a", "d1"), (2, "b", "d2")])
    ran = overwrite(lab, query, {}, partitioned_by=["dt"], deferrable=True, defer_after=0.05)
    assert ran.deferrals == 3  # rows; count; the new table's definition and a slice, side by side
    assert stored(lab) == [("1", "a", "d1"), ("2", "b", "d2")]


def test_an_answer_lost_at_the_flip_is_not_an_error(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    lab.aws.set_faults(Fault(call="glue:UpdatePartition", when="lost", times=1))
    overwrite(lab, values((2, "b")))
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_a_lost_answer_to_a_start_starts_no_second_query(lab: Lab) -> None:
    lab.aws.set_faults(Fault(call="athena:StartQueryExecution", when="lost", times=1))
    ran = overwrite(lab, values((1, "a")))
    listed = lab.client("athena").list_query_executions(WorkGroup=lab.workgroup)["QueryExecutionIds"]
    assert listed == ran.result["query_execution_ids"]


def test_throttling_is_waited_out(lab: Lab) -> None:
    faults = [
        Fault(call=call, error="ThrottlingException", times=1)
        for call in ("athena:GetQueryExecution", "glue:GetTable", "glue:CreatePartition")
    ]
    lab.aws.set_faults(*faults)
    assert overwrite(lab, values((1, "a"))).result["rows"] == 1
