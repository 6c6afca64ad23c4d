"""Partitions by Hive DDL, and MSCK REPAIR TABLE."""

from __future__ import annotations

import pytest

from local_athena.errors import QueryFailed
from support.statement_lab import Lab


@pytest.fixture
def sales(lab: Lab) -> Lab:
    lab.run(
        "CREATE EXTERNAL TABLE sales (a int) PARTITIONED BY (dt string, n int) STORED AS PARQUET "
        "LOCATION 's3://lab/sales'"
    )
    return lab


def test_partitions_are_added_at_their_natural_or_a_given_place(sales: Lab) -> None:
    sales.run(
        "ALTER TABLE sales ADD PARTITION (dt = '2026-01-01', n = 1)\n"
        "PARTITION (n=2, dt='a/b:c') LOCATION 's3://lab/elsewhere/'"
    )
    assert sales.partitions("sales") == {
        ("2026-01-01", "1"): "s3://lab/sales/dt=2026-01-01/n=1",
        ("a/b:c", "2"): "s3://lab/elsewhere/",
    }
    stored = sales.glue.get_partitions(DatabaseName="db", TableName="sales")["Partitions"][0]
    table = sales.table("sales")["StorageDescriptor"]
    assert {**stored["StorageDescriptor"], "Location": ""} == {**table, "Location": ""}


def test_adding_a_partition_twice_fails_unless_it_may_exist(sales: Lab) -> None:
    sales.run("ALTER TABLE sales ADD PARTITION (dt='x', n=1)")
    with pytest.raises(QueryFailed, match=r"AlreadyExistsException\(message:Partition already exists"):
        sales.run("ALTER TABLE sales ADD PARTITION (dt='x', n=1) LOCATION 's3://lab/other/'")
    sales.run(
        "ALTER TABLE `db`.`sales`\nADD IF NOT EXISTS PARTITION (`dt` = 'x', `n` = 1) LOCATION 's3://lab/other/'"
    )
    assert sales.partitions("sales") == {("x", "1"): "s3://lab/sales/dt=x/n=1"}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("(dt='x')", "doesn't contain all (2) partition columns"),
        ("(dt='x', m=1)", "[Error 10098]: Non-Partition column appears in the partition specification: m"),
        ("(dt)", "mismatched input ')' expecting '='"),
        ("(dt=x, n=1)", "mismatched input 'x' expecting string"),
    ],
)
def test_a_partition_spec_that_does_not_fit_is_refused(sales: Lab, spec: str, said: str) -> None:
    with pytest.raises(QueryFailed) as failed:
        sales.run(f"ALTER TABLE sales ADD PARTITION {spec}")
    assert said in failed.value.reason


def test_dropping_takes_whole_or_partial_specs(sales: Lab) -> None:
    for dt, n in (("x", 1), ("x", 2), ("y", 1), ("z", 1)):
        sales.run(f"ALTER TABLE sales ADD PARTITION (dt='{dt}', n={n})")
    sales.run("ALTER TABLE sales DROP PARTITION (dt='x'), PARTITION (dt='y', n=1)")
    assert list(sales.partitions("sales")) == [("z", "1")]
    with pytest.raises(QueryFailed, match=r"\[Error 10006\]: Partition not found \{dt=x\}"):
        sales.run("ALTER TABLE sales DROP PARTITION (dt='x')")
    sales.run("ALTER TABLE sales DROP IF EXISTS PARTITION (dt='x')")


def test_a_partition_is_moved_and_renamed(sales: Lab) -> None:
    sales.run("ALTER TABLE sales ADD PARTITION (dt='x', n=1) PARTITION (dt='y', n=1)")
    sales.run("ALTER TABLE sales PARTITION (dt='x', n=1) SET LOCATION 's3://lab/moved/'")
    assert sales.partitions("sales")["x", "1"] == "s3://lab/moved/"
    with pytest.raises(QueryFailed, match="Partition already exists"):
        sales.run("ALTER TABLE sales PARTITION (dt='x', n=1) RENAME TO PARTITION (dt='y', n=1)")
    sales.run("ALTER TABLE sales PARTITION (dt='x', n=1) RENAME TO PARTITION (dt='x2', n=1)")
    assert sales.partitions("sales") == {
        ("x2", "1"): "s3://lab/moved/",
        ("y", "1"): "s3://lab/sales/dt=y/n=1",
    }
    with pytest.raises(QueryFailed, match="Partition not found"):
        sales.run("ALTER TABLE sales PARTITION (dt='x', n=1) SET LOCATION 's3://lab/moved/'")


def test_a_table_without_keys_has_no_partitions(lab: Lab) -> None:
    lab.run("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://lab/t'")
    with pytest.raises(QueryFailed, match="table is not partitioned but partition spec exists"):
        lab.run("ALTER TABLE t ADD PARTITION (dt='x')")
    with pytest.raises(QueryFailed, match=r"\[Error 10241\]: Table t is not a partitioned table"):
        lab.run("SHOW PARTITIONS t")
    lab.put("t/dt=1/a")
    assert lab.lines("MSCK REPAIR TABLE t") == []


def test_msck_adds_natural_folders_and_removes_nothing(sales: Lab) -> None:
    sales.run(
        "ALTER TABLE sales ADD PARTITION (dt='gone', n=1) PARTITION (dt='known', n=1) LOCATION 's3://lab/k/'"
    )
    sales.put(
        "sales/dt=2026-01-01/n=1/a.parquet",
        "sales/dt=2026-01-01/n=1/b.parquet",
        "sales/dt=a%3Ab%2Fc/n=2/a.parquet",
        "sales/dt=__HIVE_DEFAULT_PARTITION__/n=3/",
        "sales/dt=known/n=1/a.parquet",
        # none of these is a partition's folder:
        "sales/dt=shallow/a.parquet",
        "sales/n=1/dt=turned/a.parquet",
        "sales/.generations/dt=2026-02-02/n=1/a.parquet",
        "sales/_tmp/dt=2026-02-02/n=1/a.parquet",
        "sales/.dt=2026-02-02/n=1/a.parquet",
        "sales/DT=2026-02-02/n=1/a.parquet",
        "sales/dt=10:30/n=1/a.parquet",
        "sales/dt=/n=1/a.parquet",
        "sales2/dt=2026-03-03/n=1/a.parquet",
        "sales/dt=file",
    )
    lines = sales.lines("MSCK REPAIR TABLE `sales`;")
    assert sales.partitions("sales") == {
        ("gone", "1"): "s3://lab/sales/dt=gone/n=1",
        ("known", "1"): "s3://lab/k/",
        ("2026-01-01", "1"): "s3://lab/sales/dt=2026-01-01/n=1/",
        ("a:b/c", "2"): "s3://lab/sales/dt=a%3Ab%2Fc/n=2/",
        ("__HIVE_DEFAULT_PARTITION__", "3"): "s3://lab/sales/dt=__HIVE_DEFAULT_PARTITION__/n=3/",
    }
    added = ["sales:dt=2026-01-01/n=1", "sales:dt=__HIVE_DEFAULT_PARTITION__/n=3", "sales:dt=a%3Ab%2Fc/n=2"]
    assert lines == [
        "\t".join(["Partitions not in metastore:", *added]),
        *(f"Repair: Added partition to metastore {path}" for path in added),
    ]
    assert sales.lines("MSCK REPAIR TABLE db.sales") == []


def test_show_partitions_escapes_values_and_filters(sales: Lab) -> None:
    sales.run("ALTER TABLE sales ADD PARTITION (dt='b c', n=1) PARTITION (dt='a:b', n=1)")
    assert sales.lines("SHOW PARTITIONS sales") == ["dt=a%3Ab/n=1", "dt=b c/n=1"]
    assert sales.lines("SHOW PARTITIONS db.sales PARTITION (dt='b c')") == ["dt=b c/n=1"]
    assert sales.run("SHOW PARTITIONS sales").columns[0].name == "partition"
