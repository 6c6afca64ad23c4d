"""SQLAlchemy works unchanged over PyAthena: engine, inspector, reflection, DDL, and pandas on top of it.

Not covered: the dialects ``awsathena+arrow`` and ``awsathena+pandas``: their cursors are tested on their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from .client import Client, ClientError
from .lake import SRC, Lake

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def sqlalchemy(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("sqlalchemy")
    with Client(".venv-clients", "sqlalchemy_calls.py", lake.aws.environment, home) as client:
        yield client


@pytest.fixture(scope="module")
def url(lake: Lake) -> str:
    """Without keys in it: they come from the environment."""
    options = {
        "poll_interval": "0.02",
        "s3_staging_dir": lake.staging,
        "location": f"s3://{lake.bucket}/tables/",
        "file_format": "parquet",
    }
    return f"awsathena+rest://:@athena.us-east-1.amazonaws.com:443/{lake.database}?{urlencode(options)}"


def test_an_engine_selects_with_bound_parameters(sqlalchemy: Client, url: str) -> None:
    sql = "SELECT id FROM src WHERE name = :name"
    assert sqlalchemy("select", url=url, sql=sql, parameters={"name": "b"}) == [[2]]


def test_a_percent_sign_and_a_quote_survive_binding(sqlalchemy: Client, url: str) -> None:
    rows = sqlalchemy("select", url=url, sql="SELECT :text, 5 % 3", parameters={"text": "100% it's"})
    assert rows == [["100% it's", 2]]


def test_the_inspector_tells_what_there_is_and_what_is_not(sqlalchemy: Client, url: str, lake: Lake) -> None:
    sqlalchemy("select", url=url, sql="CREATE OR REPLACE VIEW v1 AS SELECT id FROM src", parameters={})
    answer = sqlalchemy("inspect", url=url, table="src", view="v1")
    assert lake.database in answer["schemas"]
    assert {"src", "wide_src"} <= set(answer["tables"])
    assert "v1" not in answer["tables"]
    assert answer["views"] == ["v1"]
    assert answer["has_table"] is True
    assert answer["has_missing_table"] is False
    assert answer["has_table_in_missing_schema"] is False
    assert answer["columns"] == [
        ["id", "BIGINT", None],
        ["name", "VARCHAR", None],
        ["amount", "DOUBLE", None],
        ["dt", "VARCHAR", True],
    ]
    assert answer["options"]["awsathena_location"].rstrip("/") == f"s3://{lake.bucket}/src"
    assert answer["options"]["awsathena_tblproperties"]["classification"] == "parquet"
    assert answer["definition"].startswith("CREATE VIEW")
    assert "SELECT" in answer["definition"]


def test_columns_of_a_missing_table_are_an_error_of_sqlalchemy(sqlalchemy: Client, url: str) -> None:
    with pytest.raises(ClientError) as caught:
        sqlalchemy("columns_of_a_missing_table", url=url)
    assert caught.value.kind == "sqlalchemy.exc.NoSuchTableError"


def test_a_reflected_table_is_queried_by_expressions(sqlalchemy: Client, url: str) -> None:
    answer = sqlalchemy("select_from_reflected", url=url, day="2026-01-01")
    assert answer["names"] == ["id", "name", "amount", "dt"]
    assert answer["of_day"] == [[row[0], len(row[1])] for row in SRC if row[3] == "2026-01-01"]
    assert answer["page"] == [[2], [3]]


def test_a_table_is_created_filled_read_and_dropped(sqlalchemy: Client, url: str, lake: Lake) -> None:
    location = f"s3://{lake.bucket}/sqt/"
    answer = sqlalchemy("create_insert_drop", url=url, database=lake.database, location=location)
    assert answer == {"existed": True, "rows": [[1, "x'y", "q"]], "k": "v", "left": False}
    assert "sqt" not in lake.tables()


def test_pandas_writes_and_reads_a_table(sqlalchemy: Client, url: str, lake: Lake) -> None:
    answer = sqlalchemy("through_pandas", url=url, frame={"a": [1, 2], "b": ["x", "ü'"]}, table="pdsql")
    assert answer == [["a", "b"], [1, "x"], [2, "ü'"]]
    assert sorted((row["a"], row["b"]) for row in lake.rows("pdsql")) == [(1, "x"), (2, "ü'")]
    more = {"url": url, "frame": {"a": [3], "b": ["z"]}, "table": "pdsql"}
    assert sqlalchemy("append_again", if_exists="append", **more) == [[1, "x"], [2, "ü'"], [3, "z"]]
    with pytest.raises(ClientError, match="already exists"):
        sqlalchemy("append_again", if_exists="fail", **more)
