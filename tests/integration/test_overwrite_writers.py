"""In a workgroup that enforces its result location UNLOAD writes, and a table is laid over what it wrote."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.integration.lab import Lab, Ran
from tests.integration.overwriting import (
    BASE,
    DAY,
    EMPTY,
    actions,
    data_keys,
    overwrite,
    queries,
    registered,
    select,
    sorted_rows,
    stored,
    table,
    temporary_tables,
    values,
)

pytestmark = pytest.mark.integration

Write = Callable[..., Ran]


@pytest.fixture
def enforcing(lab: Lab, unique: Callable[[str], str]) -> str:
    return lab.create_workgroup(unique("enforcing"), enforce=True)


@pytest.fixture(params=["enforcing", "told to"])
def write(lab: Lab, enforcing: str, request: pytest.FixtureRequest) -> Write:
    """Overwrite by UNLOAD: because the workgroup enforces its location, or because the call says so."""
    how = {"workgroup": enforcing} if request.param == "enforcing" else {"writer": "unload"}
    return lambda query, partition=DAY, **arguments: overwrite(lab, query, partition, **how, **arguments)


def test_a_partition_is_written(lab: Lab, write: Write) -> None:
    for number, action in ((1, "created"), (2, "replaced")):
        ran = write(values((number, "a"), (number, "b")))
        assert stored(lab) == sorted_rows([(number, "a", "2026-01-01"), (number, "b", "2026-01-01")])
        assert actions(ran) == {("2026-01-01",): action}
        assert ran.result["rows"] == 2
    assert temporary_tables(lab) == set()
    assert all(key.startswith(f"{BASE}.generations/dt=2026-01-01/") for key in data_keys(lab))


@pytest.mark.parametrize("told", ["none", "zero", "rows"])
def test_what_athena_says_of_an_unload_is_not_believed(lab: Lab, write: Write, told: str) -> None:
    lab.aws.tell_unload_rows(told)
    try:
        ran = write(values((1, "a"), (2, "b")), min_rows=2, on_empty="fail")
        assert ran.result["rows"] == 2
        with pytest.raises(AirflowFailException, match=r"2 rows .* at least 3"):
            write(values((1, "a"), (2, "c")), min_rows=3)
        with pytest.raises(AirflowFailException, match="gave no rows"):
            write(EMPTY, on_empty="fail")
        ran = write(select("id, note, dt", [(5, "e", "d1"), (6, "f", "d2"), (7, "g", "d2")]), {}, min_rows=3)
        rows = {found["values"]["dt"]: found["rows"] for found in ran.result["partitions"]}
        assert rows == {"d1": 1, "d2": 2}
    finally:
        lab.aws.tell_unload_rows()
    assert stored(lab) == sorted_rows(
        [(1, "a", "2026-01-01"), (2, "b", "2026-01-01"), (5, "e", "d1"), (6, "f", "d2"), (7, "g", "d2")]
    )


def test_the_users_query_writes_once(lab: Lab, enforcing: str) -> None:
    with queries(lab, enforcing) as sent:
        overwrite(lab, values((1, "only once")), workgroup=enforcing)
    written = [sql for sql in sent if "only once" in sql and "NO DATA" not in sql]
    assert [sql.split()[0] for sql in written] == ["UNLOAD"]


def test_a_set_is_written(lab: Lab, write: Write) -> None:
    write(select("id, note, dt", [(1, "a", "d1"), (2, "b", "d2")]), {}, partitioned_by=["dt"])
    ran = write(select("id, note, dt", [(3, "c", "d2"), (4, "d", None)]), {})
    assert stored(lab) == sorted_rows([(1, "a", "d1"), (3, "c", "d2"), (4, "d", None)])
    assert set(actions(ran).values()) == {"replaced", "created"}
    assert temporary_tables(lab) == set()


def test_a_set_below_a_prefix_is_written(lab: Lab, write: Write) -> None:
    keys = ["dt", "country"]
    write(select("id, country", [(1, "ch"), (2, "de")]), {"dt": "d1"}, partitioned_by=keys)
    write(select("id, country", [(3, "a/b c"), (4, "de")]), {"dt": "d1"})
    assert stored(lab, "id, dt, country") == sorted_rows([(3, "d1", "a/b c"), (4, "d1", "de")])
    assert registered(lab).keys() == {("d1", "a/b c"), ("d1", "de")}


def test_more_than_a_hundred_partitions_are_written_by_one_run_of_the_query(lab: Lab, enforcing: str) -> None:
    marker = "sequence(1, 260)"
    query = f"SELECT n AS id, 'p' || CAST(n % 130 AS varchar) AS k FROM UNNEST({marker}) AS t (n)"
    overwrite(lab, "SELECT CAST(1 AS bigint) AS id, 'p0' AS k", {}, partitioned_by=["k"])
    with queries(lab, enforcing) as sent:
        overwrite(lab, query, {}, workgroup=enforcing)
    assert len([sql for sql in sent if marker in sql and "NO DATA" not in sql]) == 1
    expected = sorted_rows([(f"p{n}", 2, n + n + 130 if n else 390) for n in range(130)])
    assert lab.rows("SELECT k, count(*), sum(id) FROM orders GROUP BY k") == expected


def test_a_table_without_partitions_is_written(lab: Lab, write: Write) -> None:
    for number in (1, 2, 3):
        write(values((number, "a")), {}, run_id=f"run {number}")
        assert stored(lab, "id, note") == [(str(number), "a")]
    assert temporary_tables(lab) == set()


def test_an_empty_result_is_written(lab: Lab, write: Write) -> None:
    write("SELECT 1 AS id, 'a' AS note WHERE false")
    assert stored(lab) == []
    write(values((1, "a")))
    assert write("SELECT 1 AS id, 'a' AS note WHERE false").result["rows"] == 0
    assert stored(lab) == []


@pytest.mark.parametrize("file_format", ["PARQUET", "ORC", "JSON", "TEXTFILE"])
def test_a_set_of_every_format_reads_back_what_was_written(
    lab: Lab, enforcing: str, file_format: str
) -> None:
    query = (
        "SELECT * FROM (VALUES (1, 'ä, \"b\"', 1.5e0, DATE '2026-01-02', 'k1'), (2, NULL, NULL, NULL, 'k2')) "
        "AS t (n, s, x, d, k)"
    )
    for _ in range(2):
        overwrite(lab, query, {}, partitioned_by=["k"], file_format=file_format, workgroup=enforcing)
    assert stored(lab, "n, s, x, d, k") == sorted_rows(
        [(1, 'ä, "b"', 1.5, "2026-01-02", "k1"), (2, None, None, None, "k2")]
    )


def test_a_level_of_compression_is_kept(lab: Lab, enforcing: str) -> None:
    overwrite(lab, values((1, "a")), compression="ZSTD", compression_level=9, workgroup=enforcing)
    with queries(lab, enforcing) as sent:
        overwrite(lab, values((2, "b")), workgroup=enforcing)
    (unload,) = [sql for sql in sent if sql.startswith("UNLOAD")]
    assert "compression = 'ZSTD'" in unload
    assert "compression_level = 9" in unload
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_the_new_rows_are_audited(lab: Lab, write: Write) -> None:
    checks = {"small": "SELECT max(id) < 3 FROM {staged}"}
    write(values((1, "a")), checks=checks, min_rows=1)
    with pytest.raises(AirflowFailException, match="'small' did not pass"):
        write(values((3, "a")), checks=checks)
    with pytest.raises(AirflowFailException, match="at least 2"):
        write(values((2, "a")), min_rows=2)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert temporary_tables(lab) == set()


def test_buckets_are_refused(lab: Lab, write: Write) -> None:
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match="UNLOAD writes no buckets"):
        write(values((1, "a")), bucketed_by=["id"], bucket_count=2)
    assert lab.started() == []
    overwrite(lab, values((1, "a")), bucketed_by=["id"], bucket_count=2)
    with pytest.raises(AirflowFailException, match="UNLOAD writes no buckets"):
        write(values((2, "b")))
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_a_ctas_is_refused_where_the_workgroup_enforces_its_location(lab: Lab, enforcing: str) -> None:
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=r"(?s)writer is .ctas.*enforces its result location"):
        overwrite(lab, values((1, "a")), workgroup=enforcing, writer="ctas")
    assert lab.started() == []
    assert lab.keys(BASE) == set()


def test_a_table_made_by_one_writer_goes_on_by_the_other(lab: Lab, enforcing: str) -> None:
    overwrite(lab, values((1, "a")), workgroup=enforcing)
    made = table(lab)
    overwrite(lab, values((2, "b")))
    overwrite(lab, values((3, "c")), workgroup=enforcing)
    assert stored(lab) == [("3", "c", "2026-01-01")]
    assert table(lab)["StorageDescriptor"] == made["StorageDescriptor"]
