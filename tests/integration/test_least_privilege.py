"""The policy that provisioning makes, used by a role that holds nothing else: enough, and not too much."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator
from botocore.exceptions import ClientError

import airflow_quilt_athena
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.provisioning.policy import Account, Grant, Statement, build_policies
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.table_ddl import build_table_input, define_tables
from airflow_quilt_athena.core.quilt.watch import WATCHERS_FOLDER, Memory
from airflow_quilt_athena.exceptions import AccessError
from airflow_quilt_athena.flows.overwrite.sweep import sweep_generations
from airflow_quilt_athena.flows.provisioning.provision import ProvisionRequest, provision
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from airflow_quilt_athena.flows.quilt.package_events import delete_messages, receive_hints
from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from airflow_quilt_athena.operators.create_quilt_package import CreateQuiltPackageOperator
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.operators.deprovision_quilt_athena import DeprovisionQuiltAthenaOperator
from airflow_quilt_athena.operators.drop_bucket_views import DropBucketViewsOperator
from airflow_quilt_athena.operators.lake import lake_clients
from airflow_quilt_athena.operators.late_revisions import LateRevisionsOperator
from airflow_quilt_athena.operators.materialize_quilt_tables import MaterializeQuiltTablesOperator
from airflow_quilt_athena.operators.provision_quilt_athena import ProvisionQuiltAthenaOperator
from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.operators.rollback_partitions import RollbackPartitionsOperator
from airflow_quilt_athena.operators.sweep_generations import SweepGenerationsOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor
from airflow_quilt_athena.sensors.quilt_package import QuiltPackageSensor
from airflow_quilt_athena.triggers.watch_memory import ObjectStore
from local_athena import LocalAthena
from tests.integration.lab import Ran, run_task

pytestmark = pytest.mark.integration

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
CONNECTION = "least_privilege"
DAY = {"dt": "2026-01-01"}
TOP_HASH = "ab" * 32
ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
    "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3"
)
REFUSED = r"(?i)access ?denied|not authorized|insufficient permissions"


class Worker:
    """A role with the policy and nothing else, what its tasks work on, and what is none of its business."""

    def __init__(self, aws: LocalAthena) -> None:
        self.aws = aws
        self.token = uuid.uuid4().hex[:8]
        self.results, self.bucket, self.other_bucket, self.lake = (
            f"{name}-{self.token}" for name in ("acme-results", "acme-data", "other-data", "acme-lake")
        )
        self.database, self.other_database, self.platform = (
            f"{name}_{self.token}" for name in ("lake", "theirs", "platform")
        )
        self.workgroup, self.other_workgroup = f"acme-{self.token}", f"theirs-{self.token}"
        self.role, self.policy = f"worker-{self.token}", f"AcmeAccess-{self.token}"
        self.key = "arn:aws:kms:us-east-1:123456789012:key/0a1b"
        self._build_world()
        self._provision()
        self.ran: set[type] = set()
        self.hook = QuiltAthenaHook(aws_conn_id=CONNECTION)

    @cache  # noqa: B019 - as long as the module's fixture
    def admin(self, service: str) -> Any:
        """A client of the account's owner, whom no policy concerns."""
        return self.aws.client(service)

    def client(self, service: str) -> Any:
        """A client of the role."""
        return self.hook.client(service)

    def _build_world(self) -> None:
        s3, glue = self.admin("s3"), self.admin("glue")
        for bucket in (self.bucket, self.other_bucket, self.lake):
            s3.create_bucket(Bucket=bucket)
        for bucket in (self.bucket, self.other_bucket):
            self._put_package(bucket)
        for database in (self.other_database, self.platform):
            glue.create_database(DatabaseInput={"Name": database})
        self.put_table(self.other_database, "secrets", self.lake, "theirs/secrets/")
        # Tables of a Quilt platform, under its names, over the bucket's files.
        for definition, name in zip(
            define_tables(BucketNames.of(self.bucket)), ("manifests", "packages"), strict=True
        ):
            table = build_table_input(definition, {}) | {"Name": f"{self.bucket}_{name}"}
            glue.create_table(DatabaseName=self.platform, TableInput=table)

    def _put_package(self, bucket: str) -> None:
        s3 = self.admin("s3")
        header = {"version": "v0", "message": "hello"}
        entry = {
            "logical_key": "a.csv",
            "physical_keys": [f"s3://{bucket}/raw/a.csv"],
            "size": 3,
            "hash": {"type": "SHA256", "value": "cd" * 32},
            "meta": {},
        }
        lines = "".join(json.dumps(line) + "\n" for line in (header, entry))
        s3.put_object(Bucket=bucket, Key=f".quilt/packages/{TOP_HASH}", Body=lines.encode())
        s3.put_object(Bucket=bucket, Key="raw/a.csv", Body=b"1,2")
        for pointer in ("1767225600", "latest"):
            key = f".quilt/named_packages/team/pkg/{pointer}"
            s3.put_object(Bucket=bucket, Key=key, Body=TOP_HASH.encode())

    def put_table(self, database: str, name: str, bucket: str, folder: str) -> None:
        """Make a table of text files, by the owner's hand."""
        serde = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
        descriptor = {
            "Columns": [{"Name": "line", "Type": "string"}],
            "Location": f"s3://{bucket}/{folder}",
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "SerdeInfo": {"SerializationLibrary": serde, "Parameters": {}},
        }
        table = {"Name": name, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": descriptor}
        self.admin("glue").create_table(DatabaseName=database, TableInput=table)

    def _provision(self) -> None:
        iam = self.admin("iam")
        role = iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        provision(AwsClients(*map(self.admin, ("athena", "glue", "s3", "iam", "sts"))), self.request)
        location = {"Name": self.database, "LocationUri": f"s3://{self.lake}/tables/"}
        self.admin("glue").update_database(Name=self.database, DatabaseInput=location)
        self.admin("athena").create_work_group(
            Name=self.other_workgroup,
            Configuration={"ResultConfiguration": {"OutputLocation": f"s3://{self.results}/results/"}},
        )
        self.arn = f"arn:aws:iam::123456789012:policy/{self.policy}"
        given = self.admin("sts").assume_role(RoleArn=role, RoleSessionName="worker")["Credentials"]
        self.connection = json.dumps(
            {
                "conn_type": "aws",
                "login": given["AccessKeyId"],
                "password": given["SecretAccessKey"],
                "extra": {
                    "aws_session_token": given["SessionToken"],
                    "region_name": "us-east-1",
                    "endpoint_url": self.aws.endpoint_url,
                },
            }
        )

    @property
    def request(self) -> ProvisionRequest:
        """What the role was provisioned for."""
        return ProvisionRequest(
            results_bucket=self.results,
            quilt_buckets=(self.bucket,),
            database=self.database,
            workgroup=self.workgroup,
            warehouse=S3Uri(self.lake, "tables/"),
            source_database=self.platform,
            policy_name=self.policy,
            attach_to_roles=(self.role,),
            kms_key_arn=self.key,
        )

    @property
    def grant(self) -> Grant:
        """The same, as the policy has it."""
        request = self.request
        return Grant(
            account=Account("aws", "us-east-1", "123456789012"),
            results=S3Uri(request.results_bucket, "results/"),
            quilt_buckets=request.quilt_buckets,
            database=request.database,
            workgroup=request.workgroup,
            warehouse=request.warehouse,
            source_database=request.source_database,
            kms_key_arn=request.kms_key_arn,
        )

    @contextmanager
    def holding(self, statements: list[Statement]) -> Iterator[None]:
        """Let the role hold these statements instead, for the time of the block."""
        iam = self.admin("iam")
        version = iam.create_policy_version(
            PolicyArn=self.arn,
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
            SetAsDefault=True,
        )["PolicyVersion"]["VersionId"]
        try:
            yield
        finally:
            iam.set_default_policy_version(PolicyArn=self.arn, VersionId="v1")
            iam.delete_policy_version(PolicyArn=self.arn, VersionId=version)

    # ----------------------------------------------------------------------------------------- tasks

    def run(self, operator: Any, **facts: Any) -> Ran:
        """Run a task as the role."""
        operator.__dict__["hook"] = self.hook
        self.ran.add(type(operator))
        return run_task(operator, **facts)

    def query(self, sql: Any, **arguments: Any) -> Ran:
        given: dict[str, Any] = {"database": self.database, "workgroup": self.workgroup, "max_rows": 10}
        return self.run(
            QuiltAthenaQueryOperator(
                task_id="query", query=sql, aws_conn_id=CONNECTION, **(given | arguments)
            )
        )

    def views(self, bucket: str, **arguments: Any) -> Ran:
        given: dict[str, Any] = {"database": self.database, "workgroup": self.workgroup}
        return self.run(CreateBucketViewsOperator(task_id="views", bucket=bucket, **(given | arguments)))

    def drop_views(self, bucket: str) -> Ran:
        return self.run(DropBucketViewsOperator(task_id="drop", bucket=bucket, database=self.database))

    def overwrite(self, table: str, query: str, partition: Any = DAY, **arguments: Any) -> Ran:
        given: dict[str, Any] = {
            "database": self.database,
            "workgroup": self.workgroup,
            "location": f"s3://{self.lake}/tables/{table}/",
            "kms_key_arn": self.key,
        }
        task = CtasInsertOverwriteOperator(
            task_id="overwrite", query=query, table=table, partition=partition, **(given | arguments)
        )
        return self.run(task, run_id=uuid.uuid4().hex)

    def rollback(self, table: str) -> Ran:
        task = RollbackPartitionsOperator(task_id="rollback", table=table, database=self.database)
        return self.run(task, run_id=uuid.uuid4().hex)

    def sweep(self, table: str) -> Ran:
        return self.run(SweepGenerationsOperator(task_id="sweep", table=table, database=self.database))

    def sense(self, ids: list[str], **arguments: Any) -> Ran:
        given: dict[str, Any] = {"poke_interval": 0.1, "timeout": 30}
        task = AthenaCompletionSensor(
            task_id="done", query_execution_ids=ids, aws_conn_id=CONNECTION, **(given | arguments)
        )
        return self.run(task)

    def definition(self, database: str, table: str) -> Any:
        return self.admin("glue").get_table(DatabaseName=database, Name=table)["Table"]

    def new_table(self) -> str:
        return f"t_{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def worker(aws: LocalAthena) -> Iterator[Worker]:
    with pytest.MonkeyPatch.context() as patch:
        made = Worker(aws)
        patch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", made.connection)
        yield made


@pytest.fixture(autouse=True)
def _enforced(aws: LocalAthena) -> Iterator[None]:
    aws.enforce_iam(True)
    yield
    aws.enforce_iam(False)
    aws.set_latency({})


# ------------------------------------------------------------------------------------ what is done with it

# Each prepares while the role holds the whole policy, and returns what then wants a grant.
Deed = Callable[[], object]
Operation = Callable[[Worker], Deed]


def run_a_query_and_read_its_rows(worker: Worker) -> Deed:
    def deed() -> None:
        assert worker.query("SELECT 7 AS n").result["rows"] == [["7"]]

    return deed


def wait_for_two_submitted_queries(worker: Worker) -> Deed:
    submitted = [worker.query("SELECT 1", wait_for_completion=False) for _ in range(2)]
    ids = [ran.result["query_execution_ids"][0] for ran in submitted]
    return lambda: worker.sense(ids)


def stop_a_query_that_is_late(worker: Worker) -> Deed:
    def deed() -> None:
        worker.aws.clear_calls()
        with pytest.raises(AirflowFailException, match="the timeout"):
            worker.query(ENDLESS, timeout=0.3)
        (stop,) = (call for call in worker.aws.calls if call.operation == "StopQueryExecution")
        (started,) = worker.admin("athena").list_query_executions(WorkGroup=worker.workgroup, MaxResults=1)[
            "QueryExecutionIds"
        ]
        worker.admin("athena").stop_query_execution(QueryExecutionId=started)
        if stop.error:
            raise AirflowException(f"{stop.name}: {stop.error}")

    return deed


def make_the_views_of_a_bucket(worker: Worker) -> Deed:
    bucket = f"new-{uuid.uuid4().hex[:8]}"
    return lambda: worker.views(bucket, find_hidden=False)


def make_views_on_a_platforms_tables(worker: Worker) -> Deed:
    names = BucketNames.of(worker.bucket)
    for name in names.views:
        with _if_there():
            worker.admin("glue").delete_table(DatabaseName=worker.database, Name=name)

    def deed() -> None:
        worker.views(worker.bucket, source="quilt_tables", source_database=worker.platform)
        rows = worker.query(f"SELECT logical_key FROM {names.entries}").result["rows"]
        assert rows == [["a.csv"]]

    return deed


def look_for_hidden_packages(worker: Worker) -> Deed:
    def deed() -> None:
        worker.aws.clear_calls()
        worker.views(worker.bucket)
        # The operator goes on with a warning.
        if any(call.error == "AccessDenied" for call in worker.aws.calls):
            raise AirflowException("AccessDenied: s3:ListBucket")

    return deed


def query_the_manifests_of_a_bucket(worker: Worker) -> Deed:
    return _query_table(worker, BucketNames.of(worker.bucket).manifests)


def query_the_pointers_of_a_bucket(worker: Worker) -> Deed:
    return _query_table(worker, BucketNames.of(worker.bucket).packages)


def _query_table(worker: Worker, table: str) -> Deed:
    worker.views(worker.bucket, source="manifests")
    return lambda: worker.query(f"SELECT * FROM {table}")


def query_the_views_of_a_bucket(worker: Worker) -> Deed:
    worker.views(worker.bucket, source="manifests")
    names = BucketNames.of(worker.bucket)

    def deed() -> None:
        joined = f"SELECT pkg_name, logical_key FROM {names.entries}"
        assert worker.query(joined).result["rows"] == [["team/pkg", "a.csv"]]

    return deed


def drop_the_views_of_a_bucket(worker: Worker) -> Deed:
    bucket = f"old-{uuid.uuid4().hex[:8]}"
    for definition in define_tables(BucketNames.of(bucket)):
        worker.admin("glue").create_table(
            DatabaseName=worker.database,
            TableInput=build_table_input(definition, {"quilt_athena.created_by": "airflow-quilt-athena"}),
        )
    return lambda: worker.drop_views(bucket)


def write_a_first_partition(worker: Worker) -> Deed:
    table = worker.new_table()
    return lambda: worker.overwrite(table, "SELECT 1 AS n")


def write_a_table_where_its_database_lies(worker: Worker) -> Deed:
    table = worker.new_table()
    return lambda: worker.overwrite(table, "SELECT 1 AS n", location=None)


def write_a_table_without_partitions_twice(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.overwrite(table, "SELECT 1 AS n", {})
    return lambda: worker.overwrite(table, "SELECT 2 AS n", {})


def write_one_partition_again(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.overwrite(table, "SELECT 1 AS n")
    return lambda: worker.overwrite(
        table, "SELECT 2 AS n", checks={"one": "SELECT count(*) = 1 FROM {staged}"}
    )


def write_many_partitions(worker: Worker) -> Deed:
    table = worker.new_table()
    return lambda: worker.overwrite(table, days(1, 2, 3), {}, partitioned_by=("dt",))


def write_many_partitions_again(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.overwrite(table, days(1, 2), {}, partitioned_by=("dt",))
    return lambda: worker.overwrite(table, days(1, 2), {})


def write_a_whole_table_with_fewer_partitions(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.overwrite(table, days(1, 2, 3), {}, partitioned_by=("dt",))
    return lambda: worker.overwrite(table, days(1), {}, replace="table")


def write_more_partitions_than_one_query_may(worker: Worker) -> Deed:
    table = worker.new_table()
    rows = "SELECT n, CAST(n AS varchar) AS k FROM UNNEST(sequence(1, 101)) AS t (n)"
    return lambda: worker.overwrite(table, rows, {}, partitioned_by=("k",))


def write_many_by_unload_where_the_workgroup_enforces(worker: Worker) -> Deed:
    table = worker.new_table()

    def deed() -> None:
        with _enforcing(worker):
            worker.overwrite(table, days(1, 2), {}, partitioned_by=("dt",))

    return deed


def write_by_unload_where_the_workgroup_enforces(worker: Worker) -> Deed:
    table = worker.new_table()

    def deed() -> None:
        with _enforcing(worker):
            worker.overwrite(table, "SELECT 1 AS n")

    return deed


def write_the_revisions_of_a_day(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.views(worker.bucket, source="manifests")
    interval = {"bucket": worker.bucket, "start": "2026-01-01", "end": "2026-01-02"}
    return lambda: worker.overwrite(
        table, "SELECT pkg_name, logical_key FROM {entries}", quilt_revisions=interval
    )


def find_late_revisions(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.views(worker.bucket, source="manifests")
    interval = {"bucket": worker.bucket, "start": "2026-01-01", "end": "2026-01-02"}
    worker.overwrite(table, "SELECT pkg_name, logical_key FROM {entries}", quilt_revisions=interval)

    def deed() -> None:
        task = LateRevisionsOperator(task_id="late", table=table, database=worker.database)
        assert worker.run(task).result == []

    return deed


def keep_the_rows_of_a_bucket(worker: Worker) -> Deed:
    worker.views(worker.bucket, source="manifests")
    names = BucketNames.of(worker.bucket)
    for name in names.kept_tables:
        with _if_there():
            worker.admin("glue").delete_table(DatabaseName=worker.database, Name=name)

    def deed() -> None:
        task = MaterializeQuiltTablesOperator(
            task_id="tables", bucket=worker.bucket, database=worker.database, workgroup=worker.workgroup,
            location=f"s3://{worker.lake}/tables/", kms_key_arn=worker.key,
        )  # fmt: skip
        assert worker.run(task, run_id=uuid.uuid4().hex).result[worker.bucket]["revisions"] == 1

    return deed


def roll_a_partition_back(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.overwrite(table, "SELECT 1 AS n")
    worker.overwrite(table, "SELECT 2 AS n")
    return lambda: worker.rollback(table)


def sweep_a_table(worker: Worker) -> Deed:
    table = worker.new_table()
    worker.overwrite(table, "SELECT 1 AS n")
    worker.overwrite(table, "SELECT 2 AS n")
    later = datetime.now(UTC) + timedelta(hours=25)

    def deed() -> None:
        worker.sweep(table)
        # The operator goes by the clock; the flow by the one it is given.
        result = sweep_generations(lake_clients(worker.hook), TableName(worker.database, table), now=later)
        if result.stayed:
            raise AirflowException(" ".join(result.stayed))
        assert sum(result.folders.values()) > 0

    return deed


def days(*numbers: int) -> str:
    rows = ", ".join(f"({number}, '2026-01-{number:02}')" for number in numbers)
    return f"SELECT * FROM (VALUES {rows}) AS t (n, dt)"


@contextmanager
def _enforcing(worker: Worker) -> Iterator[None]:
    def enforce(wanted: bool) -> None:
        worker.admin("athena").update_work_group(
            WorkGroup=worker.workgroup, ConfigurationUpdates={"EnforceWorkGroupConfiguration": wanted}
        )

    enforce(True)
    try:
        yield
    finally:
        enforce(False)


@contextmanager
def _if_there() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise


def wait_for_a_revision(worker: Worker) -> Deed:
    def deed() -> None:
        task = QuiltPackageSensor(
            task_id="wait", bucket=worker.bucket, package="team/*", aws_conn_id=CONNECTION, poke_interval=0.1
        )
        assert worker.run(task).result["top_hash"] == TOP_HASH

    return deed


def make_a_package(worker: Worker) -> Deed:
    """With the statements for packages, which nobody needs who makes none."""
    registry = _registry(worker)
    more = dataclasses.replace(worker.grant, package_registries=(registry,), package_sources=(registry,))

    def deed() -> None:
        with worker.holding(_statements(more)):
            _package(worker, registry)

    return deed


def _registry(worker: Worker) -> str:
    """A bucket with versions, a workflow and two objects."""
    bucket, s3 = f"registry-{uuid.uuid4().hex[:8]}", worker.admin("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1,2")
    config = 'version: "1"\nis_workflow_required: false\nworkflows: {alpha: {name: Alpha}}\n'
    s3.put_object(Bucket=bucket, Key=".quilt/workflows/config.yml", Body=config.encode())
    return bucket


def _package(worker: Worker, registry: str, **arguments: Any) -> Ran:
    """Make a package of an object by its version, and of one whose version and hash are to be found."""
    version = worker.admin("s3").head_object(Bucket=registry, Key="a")["VersionId"]
    query = (
        "SELECT logical_key, physical_key, 3 AS size, hash_type, hash_value FROM (VALUES "
        f"('a', 's3://{registry}/a?versionId={version}', 'SHA256', '{TOP_HASH}'), "
        f"('b', 's3://{registry}/b', NULL, NULL)) AS t (logical_key, physical_key, hash_type, hash_value)"
    )
    given: dict[str, Any] = {"query": query, "database": worker.database, "workgroup": worker.workgroup}
    task = CreateQuiltPackageOperator(
        task_id="package",
        registry=registry,
        package="team/made",
        aws_conn_id=CONNECTION,
        **(given | arguments),
    )
    return worker.run(task, run_id=uuid.uuid4().hex)


# By what each runs as, beside the sensor.
OPERATIONS: dict[Operation, type] = {
    run_a_query_and_read_its_rows: QuiltAthenaQueryOperator,
    wait_for_two_submitted_queries: AthenaCompletionSensor,
    stop_a_query_that_is_late: QuiltAthenaQueryOperator,
    make_the_views_of_a_bucket: CreateBucketViewsOperator,
    make_views_on_a_platforms_tables: CreateBucketViewsOperator,
    look_for_hidden_packages: CreateBucketViewsOperator,
    query_the_views_of_a_bucket: QuiltAthenaQueryOperator,
    drop_the_views_of_a_bucket: DropBucketViewsOperator,
    write_a_first_partition: CtasInsertOverwriteOperator,
    write_a_table_where_its_database_lies: CtasInsertOverwriteOperator,
    write_a_table_without_partitions_twice: CtasInsertOverwriteOperator,
    write_one_partition_again: CtasInsertOverwriteOperator,
    write_many_partitions: CtasInsertOverwriteOperator,
    write_many_partitions_again: CtasInsertOverwriteOperator,
    write_a_whole_table_with_fewer_partitions: CtasInsertOverwriteOperator,
    write_more_partitions_than_one_query_may: CtasInsertOverwriteOperator,
    write_by_unload_where_the_workgroup_enforces: CtasInsertOverwriteOperator,
    write_many_by_unload_where_the_workgroup_enforces: CtasInsertOverwriteOperator,
    write_the_revisions_of_a_day: CtasInsertOverwriteOperator,
    find_late_revisions: LateRevisionsOperator,
    keep_the_rows_of_a_bucket: MaterializeQuiltTablesOperator,
    roll_a_partition_back: RollbackPartitionsOperator,
    sweep_a_table: SweepGenerationsOperator,
    make_a_package: CreateQuiltPackageOperator,
    wait_for_a_revision: QuiltPackageSensor,
}
# These make and unmake the policy, and are run by somebody else.
PROVISIONERS = {ProvisionQuiltAthenaOperator, DeprovisionQuiltAthenaOperator}


def test_every_operator_and_sensor_is_among_what_is_run() -> None:
    folder = Path(airflow_quilt_athena.__file__).parent
    modules = [
        import_module(f"airflow_quilt_athena.{kind}.{path.stem}")
        for kind in ("operators", "sensors")
        for path in (folder / kind).glob("*.py")
        if path.stem != "retry_policy"  # is none, and needs Airflow 3.3
    ]
    offered = {
        found
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, BaseOperator) and found.__module__ == module.__name__
    }
    runnable = {found for found in offered if "execute" in vars(found)}
    assert runnable - PROVISIONERS == set(OPERATIONS.values())


def _name(operation: Operation) -> str:
    return operation.__name__


@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated. Use files:DeprecationWarning")  # quilt3's
@pytest.mark.parametrize("operation", OPERATIONS, ids=_name)
def test_the_policy_is_enough_to(worker: Worker, operation: Operation) -> None:
    deed = operation(worker)
    worker.ran.clear()
    deed()
    assert OPERATIONS[operation] in worker.ran


# --------------------------------------------------------------------------------- each grant in turn

WITH_ALL = Grant(
    account=Account("aws", "us-east-1", "123456789012"),
    results=S3Uri("acme-results", "results/"),
    quilt_buckets=("acme-data",),
    database="lake",
    workgroup="acme",
    warehouse=S3Uri("acme-lake", "tables/"),
    source_database="platform",
    kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/0a1b",
)
WITHOUT_WAREHOUSE = dataclasses.replace(WITH_ALL, warehouse=None)

ATHENA, DEFINE, WRITE = (
    "RunWatchAndStopQueriesInOneWorkgroup",
    "ReadTheDefinitionsOfOneDatabase",
    "CreateTablesAndRepointTheirPartitions",
)
RESULTS, WAREHOUSE = "WriteAndReadResults", "WriteReadAndCleanTheWarehouse"
NEEDED_TO: dict[str, Operation] = {
    f"{ATHENA}/athena:BatchGetQueryExecution": wait_for_two_submitted_queries,
    f"{ATHENA}/athena:GetQueryExecution": run_a_query_and_read_its_rows,
    f"{ATHENA}/athena:GetQueryResults": run_a_query_and_read_its_rows,
    f"{ATHENA}/athena:GetWorkGroup": write_a_first_partition,
    f"{ATHENA}/athena:StartQueryExecution": run_a_query_and_read_its_rows,
    f"{ATHENA}/athena:StopQueryExecution": stop_a_query_that_is_late,
    f"{DEFINE}/glue:GetDatabase": write_a_table_where_its_database_lies,
    f"{DEFINE}/glue:GetTable": write_a_first_partition,
    f"{DEFINE}/glue:GetTables": make_the_views_of_a_bucket,
    f"{DEFINE}/glue:BatchGetPartition": write_many_partitions,
    f"{DEFINE}/glue:GetPartition": write_one_partition_again,
    f"{DEFINE}/glue:GetPartitions": write_a_whole_table_with_fewer_partitions,
    "ReadTheDefinitionsOfTheQuiltPlatform/glue:GetTable": make_views_on_a_platforms_tables,
    "CreateAndRefreshQuiltTablesAndViews/glue:CreateTable": make_the_views_of_a_bucket,
    "CreateAndRefreshQuiltTablesAndViews/glue:UpdateTable": make_the_views_of_a_bucket,
    f"{WRITE}/glue:CreateTable": make_the_views_of_a_bucket,
    f"{WRITE}/glue:UpdateTable": write_a_table_without_partitions_twice,
    f"{WRITE}/glue:BatchCreatePartition": write_many_partitions,
    f"{WRITE}/glue:BatchDeletePartition": write_a_whole_table_with_fewer_partitions,
    f"{WRITE}/glue:BatchUpdatePartition": write_many_partitions_again,
    f"{WRITE}/glue:CreatePartition": write_a_first_partition,
    f"{WRITE}/glue:UpdatePartition": write_one_partition_again,
    "DropOnlyQuiltViewsAndTemporaryTables/glue:DeleteTable": drop_the_views_of_a_bucket,
    "ListResults/s3:ListBucket": write_many_partitions,
    f"{RESULTS}/s3:GetObject": run_a_query_and_read_its_rows,
    f"{RESULTS}/s3:PutObject": run_a_query_and_read_its_rows,
    "ListTheWarehouse/s3:ListBucket": sweep_a_table,
    f"{WAREHOUSE}/s3:DeleteObject": sweep_a_table,
    f"{WAREHOUSE}/s3:GetObject": write_one_partition_again,
    f"{WAREHOUSE}/s3:PutObject": write_a_first_partition,
    "ListManifestsAndPointers/s3:ListBucket": look_for_hidden_packages,
    "ReadManifestsAndPointersNotTheirObjects/s3:GetObject": write_the_revisions_of_a_day,
}
# What the local Athena does not ask for and AWS says its own does. Athena user guide, read 2026-11.
_GLUE = "Configure access to databases and tables in the AWS Glue Data Catalog: "
_RESULTS = "AWS managed policy AmazonAthenaFullAccess, results: "
_DATA = "Configure cross-account access in Athena to Amazon S3 buckets, example bucket policy: "
_KEY = "Encryption at rest, permissions to encrypted data in Amazon S3: "
ASKED_BY_AWS = {
    "AthenaItselfLooksForTheDefaultDatabase/glue:GetDatabase": _GLUE + "the default database, mandatory",
    "ReadTheDefinitionsOfTheQuiltPlatform/glue:GetDatabase": _GLUE + "GetDatabase, in each example",
    "FindTheResultsBucket/s3:GetBucketLocation": _RESULTS + "GetBucketLocation",
    f"{RESULTS}/s3:AbortMultipartUpload": _RESULTS + "AbortMultipartUpload",
    f"{RESULTS}/s3:ListMultipartUploadParts": _RESULTS + "ListMultipartUploadParts",
    "FindTheWarehouse/s3:GetBucketLocation": _DATA + "GetBucketLocation",
    f"{WAREHOUSE}/s3:AbortMultipartUpload": _DATA + "AbortMultipartUpload",
    f"{WAREHOUSE}/s3:ListMultipartUploadParts": _DATA + "ListMultipartUploadParts",
    "FindQuiltBuckets/s3:GetBucketLocation": _DATA + "GetBucketLocation",
    "EncryptAndDecryptResultsAndTables/kms:Decrypt": _KEY + "kms:Decrypt to read",
    "EncryptAndDecryptResultsAndTables/kms:GenerateDataKey": _KEY + "kms:GenerateDataKey to write results",
}


def _statements(grant: Grant) -> list[Statement]:
    (policy,) = build_policies("AcmeAccess", grant)
    return list(policy.statements)


def _sids(grant: Grant) -> set[str]:
    return {statement["Sid"] for statement in _statements(grant)}


def _grants() -> list[str]:
    found = [*_statements(WITH_ALL), *_statements(WITHOUT_WAREHOUSE)]
    return list(dict.fromkeys(f"{one['Sid']}/{action}" for one in found for action in one["Action"]))


def _policy_with(worker: Worker, sid: str) -> list[Statement]:
    """The worker's own policy, or what it would be without a warehouse, whichever has the statement."""
    grant = worker.grant
    return _statements(grant if sid in _sids(WITH_ALL) else dataclasses.replace(grant, warehouse=None))


def test_each_exception_and_each_use_is_of_a_grant_there_is() -> None:
    assert set(NEEDED_TO) | set(ASKED_BY_AWS) == set(_grants())
    assert not set(NEEDED_TO) & set(ASKED_BY_AWS)


def test_the_policy_is_the_one_that_provisioning_made(worker: Worker) -> None:
    held = worker.admin("iam").get_policy_version(PolicyArn=worker.arn, VersionId="v1")["PolicyVersion"]
    assert held["Document"]["Statement"] == _statements(worker.grant)


@pytest.mark.parametrize("grant", [grant for grant in _grants() if grant not in ASKED_BY_AWS])
def test_without_this_grant_something_fails(worker: Worker, grant: str) -> None:
    assert grant in NEEDED_TO, "nothing is named that needs it: it is not needed"
    sid, _, action = grant.partition("/")
    deed = NEEDED_TO[grant](worker)
    rest = [
        {**one, "Action": actions}
        for one in _policy_with(worker, sid)
        if (actions := [name for name in one["Action"] if one["Sid"] != sid or name != action])
    ]
    with worker.holding(rest), pytest.raises(AirflowException, match=action):
        deed()


def _more_statements(grant: Grant, **more: Any) -> list[Statement]:
    """What a policy has beyond that of others when these are named."""
    return [one for one in _statements(dataclasses.replace(grant, **more)) if one["Sid"] not in _sids(grant)]


PACKAGE_GRANTS = [
    f"{statement['Sid']}/{action}"
    for statement in _more_statements(
        WITH_ALL, package_registries=("acme-data",), package_sources=("acme-data",)
    )
    for action in statement["Action"]
]


# Quilt3's, of Python 3.11 and 3.12, which name importlib as the caller.
@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated. Use files:DeprecationWarning")
@pytest.mark.parametrize("grant", PACKAGE_GRANTS)
def test_without_this_grant_no_package_is_made(worker: Worker, grant: str) -> None:
    registry, (sid, _, action) = _registry(worker), grant.partition("/")
    statements = _more_statements(worker.grant, package_registries=(registry,), package_sources=(registry,))
    rest = [
        {**one, "Action": [name for name in one["Action"] if one["Sid"] != sid or name != action]}
        for one in statements
    ]
    # The registry is a source as well here, and its objects' grant would cover Quilt's own files.
    rest[-1]["Resource"] = [f"arn:aws:s3:::{registry}/{key}" for key in ("a", "b")]
    rest = [one for one in rest if one["Action"]]
    # Made before, so that there are pointers to be read.
    with worker.holding([*_statements(worker.grant), *statements]):
        _package(worker, registry)
    with worker.holding([*_statements(worker.grant), *rest]), pytest.raises(AirflowException):
        _package(worker, registry, message="another")


@pytest.mark.parametrize("missing", [None, "sqs:ReceiveMessage", "sqs:DeleteMessage"])
def test_a_queue_of_events_is_heard_with_its_grants_and_not_without(
    worker: Worker, missing: str | None
) -> None:
    admin, sqs = worker.admin("sqs"), worker.client("sqs")
    url = admin.create_queue(QueueName=f"events-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = admin.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    detail = {"type": "created", "bucket": worker.bucket, "handle": "team/pkg", "topHash": TOP_HASH}
    event = {"source": "com.quiltdata", "detail-type": "package-revision", "detail": detail}
    admin.send_message(QueueUrl=url, MessageBody=json.dumps(event))
    (statement,) = _more_statements(worker.grant, event_queue_arns=(arn,))
    held = {**statement, "Action": [name for name in statement["Action"] if name != missing]}

    def hear() -> None:
        hints = receive_hints(sqs, url, worker.bucket, 1)
        assert hints.packages == {"team/pkg"}
        delete_messages(sqs, url, hints.receipts)

    with worker.holding([*_statements(worker.grant), held]):
        if missing is None:
            hear()
        else:
            with pytest.raises(AccessError, match=missing):
                hear()


@pytest.mark.parametrize("missing", [None, "s3:ListBucket", "s3:GetObject", "s3:PutObject"])
def test_what_was_told_is_kept_with_its_grants_and_not_without(worker: Worker, missing: str | None) -> None:
    statements = _more_statements(worker.grant, watched_buckets=(worker.bucket,))
    held = [{**one, "Action": [name for name in one["Action"] if name != missing]} for one in statements]

    async def keep() -> None:
        memory = Memory(datetime(2026, 1, 1, tzinfo=UTC))
        place = S3Uri(worker.bucket, f"{WATCHERS_FOLDER}{uuid.uuid4().hex}.json")
        store = ObjectStore(worker.client("s3"), place)
        assert await store.load() is None
        await store.save(memory)
        assert await store.load() == memory

    with worker.holding([*_statements(worker.grant), *(one for one in held if one["Action"])]):
        if missing is None:
            asyncio.run(keep())
        else:
            with pytest.raises(AccessError, match="AccessDenied"):
                asyncio.run(keep())


def _without_folder(statement: Statement, folder: str) -> Statement:
    if "Condition" not in statement:
        return {**statement, "Resource": [arn for arn in statement["Resource"] if folder not in arn]}
    prefixes = [
        prefix for prefix in statement["Condition"]["StringLike"]["s3:prefix"] if folder not in prefix
    ]
    return {**statement, "Condition": {"StringLike": {"s3:prefix": prefixes}}}


@pytest.mark.parametrize(
    ("sid", "folder", "operation"),
    [
        ("ListManifestsAndPointers", ".quilt/packages/", query_the_manifests_of_a_bucket),
        ("ListManifestsAndPointers", ".quilt/named_packages/", look_for_hidden_packages),
        ("ReadManifestsAndPointersNotTheirObjects", ".quilt/packages/", query_the_manifests_of_a_bucket),
        ("ReadManifestsAndPointersNotTheirObjects", ".quilt/named_packages/", query_the_pointers_of_a_bucket),
    ],
)
def test_without_either_folder_of_a_bucket_something_fails(
    worker: Worker, sid: str, folder: str, operation: Operation
) -> None:
    deed = operation(worker)
    narrowed = [
        _without_folder(one, folder) if one["Sid"] == sid else one for one in _statements(worker.grant)
    ]
    assert narrowed != _statements(worker.grant)
    with worker.holding(narrowed), pytest.raises(AirflowException, match=REFUSED):
        deed()


def test_without_a_warehouse_views_are_made_and_no_table_is_written(worker: Worker) -> None:
    make_views = make_the_views_of_a_bucket(worker)
    table = worker.new_table()
    with worker.holding(_statements(dataclasses.replace(worker.grant, warehouse=None))):
        make_views()
        # The look at the place of a new table, before anything is written.
        with pytest.raises(AirflowFailException, match=r"s3:ListBucket on resource.*acme-lake"):
            worker.overwrite(table, "SELECT 1 AS n")
    tables = worker.admin("glue").get_tables(DatabaseName=worker.database)["TableList"]
    assert table not in {found["Name"] for found in tables}


# -------------------------------------------------------------------------------------- what is refused


def test_another_buckets_manifests_are_not_read(worker: Worker) -> None:
    worker.views(worker.other_bucket, find_hidden=False)  # names in its own database, over others' files
    names = BucketNames.of(worker.other_bucket)
    with pytest.raises(
        AirflowException, match=rf"s3:ListBucket on resource: arn:aws:s3:::{worker.other_bucket}"
    ):
        worker.query(f"SELECT * FROM {names.entries}")
    key = f".quilt/packages/{TOP_HASH}"
    _refuses("s3:GetObject", worker.client("s3").get_object, Bucket=worker.other_bucket, Key=key)


def test_the_files_of_a_package_are_not_read(worker: Worker) -> None:
    _refuses("s3:GetObject", worker.client("s3").get_object, Bucket=worker.bucket, Key="raw/a.csv")
    _refuses("s3:ListBucket", worker.client("s3").list_objects_v2, Bucket=worker.bucket)
    table = worker.new_table()
    worker.put_table(worker.database, table, worker.bucket, "raw/")
    with pytest.raises(AirflowException, match=rf"s3:ListBucket on resource: arn:aws:s3:::{worker.bucket}"):
        worker.query(f"SELECT * FROM {table}")


def test_quilts_own_files_are_not_written_or_deleted(worker: Worker) -> None:
    s3, at = worker.client("s3"), {"Bucket": worker.bucket, "Key": f".quilt/packages/{TOP_HASH}"}
    before = worker.admin("s3").get_object(**at)["ETag"]
    _refuses("s3:PutObject", s3.put_object, **at, Body=b"")
    _refuses("s3:DeleteObject", s3.delete_object, **at)
    assert worker.admin("s3").get_object(**at)["ETag"] == before


def test_another_databases_tables_are_not_read(worker: Worker) -> None:
    with pytest.raises(AirflowException, match=rf"glue:GetTable on resource.*{worker.other_database}"):
        worker.query(f"SELECT * FROM {worker.other_database}.secrets")
    with pytest.raises(AirflowException, match=rf"glue:GetTables on resource.*{worker.other_database}"):
        worker.query(f"SHOW TABLES IN {worker.other_database}")


def test_another_databases_tables_are_not_written(worker: Worker) -> None:
    definition = worker.definition(worker.other_database, "secrets")
    with pytest.raises(AirflowException, match=rf"glue:GetTable on resource.*{worker.other_database}"):
        worker.overwrite(f"{worker.other_database}.secrets", "SELECT 'x' AS line", {})
    glue, database = worker.client("glue"), worker.other_database
    more = {"Name": "more", "StorageDescriptor": {"Columns": []}}
    secrets = {**more, "Name": "secrets"}
    _refuses("glue:CreateTable", glue.create_table, DatabaseName=database, TableInput=more)
    _refuses("glue:UpdateTable", glue.update_table, DatabaseName=database, TableInput=secrets)
    _refuses("glue:DeleteTable", glue.delete_table, DatabaseName=database, Name="secrets")
    assert worker.definition(worker.other_database, "secrets") == definition


def test_the_platforms_tables_are_not_written(worker: Worker) -> None:
    name = f"{worker.bucket}_manifests"
    glue, at = worker.client("glue"), {"DatabaseName": worker.platform}
    _refuses("glue:UpdateTable", glue.update_table, **at, TableInput={"Name": name})
    _refuses("glue:DeleteTable", glue.delete_table, **at, Name=name)


def test_nothing_runs_in_another_workgroup_and_its_queries_are_not_seen(worker: Worker) -> None:
    with pytest.raises(AirflowException, match=rf"athena:StartQueryExecution.*{worker.other_workgroup}"):
        worker.query("SELECT 1", workgroup=worker.other_workgroup)
    theirs = worker.admin("athena").start_query_execution(
        QueryString="SELECT 1", WorkGroup=worker.other_workgroup
    )
    athena, group = worker.client("athena"), worker.other_workgroup
    for call in (athena.get_query_execution, athena.get_query_results, athena.stop_query_execution):
        _refuses(group, call, QueryExecutionId=theirs["QueryExecutionId"])


def test_a_workgroup_is_not_changed(worker: Worker) -> None:
    athena = worker.client("athena")
    _refuses("athena:UpdateWorkGroup", athena.update_work_group, WorkGroup=worker.workgroup)
    _refuses("athena:DeleteWorkGroup", athena.delete_work_group, WorkGroup=worker.workgroup)


def test_nothing_is_deleted_outside_the_warehouse(worker: Worker) -> None:
    kept = [(worker.lake, "theirs/secrets/a.txt"), (worker.results, "results/kept.csv")]
    for bucket, key in kept:
        worker.admin("s3").put_object(Bucket=bucket, Key=key, Body=b"kept")
        _refuses("s3:DeleteObject", worker.client("s3").delete_object, Bucket=bucket, Key=key)
        assert worker.admin("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == b"kept"


def test_nothing_is_written_outside_the_warehouse(worker: Worker) -> None:
    table, place = worker.new_table(), f"s3://{worker.lake}/theirs/new/"
    with pytest.raises(AirflowException, match=rf"s3:ListBucket on resource.*{worker.lake}"):
        worker.overwrite(table, "SELECT 1 AS n", location=place)
    statement = f"CREATE TABLE {table} WITH (external_location = '{place}') AS SELECT 1 AS n"
    with pytest.raises(AirflowException, match=REFUSED):
        worker.query(statement)
    listed = worker.admin("s3").list_objects_v2(Bucket=worker.lake, Prefix="theirs/new/")
    assert listed["KeyCount"] == 0


def test_a_table_that_is_not_quilts_is_not_dropped(worker: Worker) -> None:
    table = worker.new_table()
    worker.overwrite(table, "SELECT 1 AS n")
    before = worker.definition(worker.database, table)
    with pytest.raises(AirflowException, match=rf"glue:DeleteTable on resource.*{table}"):
        worker.query(f"DROP TABLE {table}")
    glue = worker.client("glue")
    _refuses("glue:DeleteTable", glue.delete_table, DatabaseName=worker.database, Name=table)
    assert worker.definition(worker.database, table) == before


def test_the_database_is_not_dropped_and_no_other_is_made(worker: Worker) -> None:
    glue = worker.client("glue")
    _refuses("glue:DeleteDatabase", glue.delete_database, Name=worker.database)
    _refuses("glue:CreateDatabase", glue.create_database, DatabaseInput={"Name": "mine"})


def test_a_role_does_not_widen_its_own_policy(worker: Worker) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam, change = worker.client("iam"), {"PolicyDocument": document}
    _refuses("iam:CreatePolicyVersion", iam.create_policy_version, PolicyArn=worker.arn, **change)
    _refuses("iam:PutRolePolicy", iam.put_role_policy, RoleName=worker.role, PolicyName="more", **change)
    held = worker.admin("iam").get_policy(PolicyArn=worker.arn)["Policy"]
    assert held["DefaultVersionId"] == "v1"


def _refuses(reason: str, call: Callable[..., object], **request: Any) -> None:
    with pytest.raises(ClientError, match=r"AccessDenied.*not authorized") as refusal:
        call(**request)
    assert reason in str(refusal.value)
