"""SHOW and DESCRIBE print what Hive prints."""

from __future__ import annotations

import pytest

from local_athena.errors import QueryFailed
from support.statement_lab import Lab


def test_describe_pads_its_cells_and_tells_the_partition_keys_twice(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE t (id int COMMENT 'the id', deep struct<a:int,b:array<string>>) "
        "PARTITIONED BY (dt string) LOCATION 's3://lab/t'"
    )
    outcome = lab.run("DESCRIBE t")
    assert outcome.statement_type == "UTILITY"
    assert [column.name for column in outcome.columns] == ["col_name", "data_type", "comment"]
    blank = " " * 20
    expected = [
        ["id".ljust(20), "int".ljust(20), "the id".ljust(20)],
        ["deep".ljust(20), "struct<a:int,b:array<string>>", blank],
        ["dt".ljust(20), "string".ljust(20), blank],
        ["", " ", " "],
        ["# Partition Information", " ", " "],
        ["# col_name".ljust(20), "data_type".ljust(20), "comment".ljust(20)],
        ["", " ", " "],
        ["dt".ljust(20), "string".ljust(20), blank],
    ]
    assert [row[0] for row in outcome.rows] == ["\t".join(cells) for cells in expected]
    assert lab.lines("DESC db.t id") == ["\t".join(expected[0])]
    with pytest.raises(QueryFailed, match="Invalid column reference nope"):
        lab.run("DESCRIBE t nope")


def test_describe_extended_adds_where_and_how_the_table_is_stored(lab: Lab) -> None:
    lab.run("CREATE EXTERNAL TABLE t (id int) PARTITIONED BY (p int) STORED AS ORC LOCATION 's3://lab/t'")
    lab.run("ALTER TABLE t ADD PARTITION (p=1) LOCATION 's3://lab/p1/'")
    cells = [tuple(cell.strip() for cell in line.split("\t")) for line in lab.lines("DESCRIBE FORMATTED t")]
    assert ("Location:", "s3://lab/t", "") in cells
    assert ("SerDe Library:", "org.apache.hadoop.hive.ql.io.orc.OrcSerde", "") in cells
    assert ("", "EXTERNAL", "TRUE") in cells
    cells = [
        tuple(cell.strip() for cell in line.split("\t"))
        for line in lab.lines("DESCRIBE EXTENDED t PARTITION (p=1)")
    ]
    assert ("Location:", "s3://lab/p1/", "") in cells


def test_names_are_listed_by_hives_patterns(lab: Lab) -> None:
    lab.engine.learn("SELECT 1 AS a", {"a": "integer"}, [(1,)])
    for name in ("orders", "order_lines", "users"):
        lab.run(f"CREATE EXTERNAL TABLE {name} (a int) LOCATION 's3://lab/t'")
    lab.run("CREATE VIEW order_view AS SELECT 1 AS a")
    assert lab.lines("SHOW TABLES") == ["order_lines", "order_view", "orders", "users"]
    assert lab.lines("SHOW TABLES 'order*'") == ["order_lines", "order_view", "orders"]
    assert lab.lines("SHOW TABLES IN db 'orders|USERS'", database="default") == ["orders", "users"]
    assert lab.lines("SHOW TABLES '.*s'") == ["order_lines", "orders", "users"]
    assert lab.lines("SHOW VIEWS") == ["order_view"]
    assert lab.lines("SHOW VIEWS IN db LIKE 'u*'") == []
    assert lab.lines("SHOW DATABASES LIKE 'd*'") == ["db"]
    assert lab.lines("SHOW SCHEMAS LIKE 'x*'") == []
    with pytest.raises(QueryFailed, match="Database does not exist: nope"):
        lab.run("SHOW TABLES IN nope")
    with pytest.raises(QueryFailed, match="Invalid pattern"):
        lab.run("SHOW TABLES '('")


def test_columns_and_properties_are_listed(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (p int) LOCATION 's3://lab/t' "
        "TBLPROPERTIES ('k'='v', 'transient_lastDdlTime'='7')"
    )
    assert [line.strip() for line in lab.lines("SHOW COLUMNS IN t")] == ["a", "p"]
    assert [line.strip() for line in lab.lines("SHOW COLUMNS FROM t IN db", database="default")] == ["a", "p"]
    assert lab.lines("SHOW TBLPROPERTIES t") == ["EXTERNAL\tTRUE", "k\tv", "transient_lastDdlTime\t7"]
    assert lab.lines("SHOW TBLPROPERTIES t('k')") == ["v"]
    assert lab.lines("SHOW TBLPROPERTIES t ('x')") == ["Table db.t does not have property: x"]


STATEMENTS = [
    r"CREATE EXTERNAL TABLE one (`a b` int COMMENT 'it\'s a \\ \u0041') ROW FORMAT DELIMITED "
    r"FIELDS TERMINATED BY '\001' "
    r"ESCAPED BY '\\' LINES TERMINATED BY '\n' NULL DEFINED AS '' STORED AS TEXTFILE LOCATION 's3://lab/one/'",
    "CREATE EXTERNAL TABLE one (a map<string,array<struct<x:decimal(5,1),y:varchar(3)>>>) COMMENT 'c' "
    "PARTITIONED BY (p date COMMENT 'q', `order` int) CLUSTERED BY (a) INTO 3 BUCKETS STORED AS PARQUET "
    "LOCATION 's3://lab/it s/' TBLPROPERTIES ('a'='b''c', 'classification'='parquet')",
    "CREATE EXTERNAL TABLE `one` (c string) ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' "
    "WITH SERDEPROPERTIES ('separatorChar'='|', 'quoteChar'='\"') LOCATION 's3://lab/csv'",
]  # fmt: skip


@pytest.mark.parametrize("sql", STATEMENTS)
def test_show_create_table_can_be_run_again(lab: Lab, sql: str) -> None:
    lab.run(sql)
    told = ("Name", "StorageDescriptor", "PartitionKeys", "Parameters", "TableType", "Description")
    before = {key: lab.table("one").get(key) for key in told}
    text = "\n".join(lab.lines("SHOW CREATE TABLE db.one"))
    assert text.startswith("CREATE EXTERNAL TABLE `db.one`(\n")
    lab.run("DROP TABLE one")
    lab.run(text, database="default")
    assert {key: lab.table("one").get(key) for key in told} == before


def test_views_are_made_replaced_shown_and_dropped(lab: Lab) -> None:
    lab.engine.learn("SELECT 1 AS a", {"a": "integer"}, [(1,)])
    lab.engine.learn("SELECT 'x' AS b,\n  2 AS c", {"b": "varchar(1)", "c": "decimal(3,1)"}, [("x", 2)])
    lab.run("CREATE VIEW v AS SELECT 1 AS a;")
    with pytest.raises(QueryFailed, match="View already exists"):
        lab.run("CREATE VIEW db.v AS SELECT 1 AS a")
    lab.glue.update_table(
        DatabaseName="db",
        TableInput={
            **{k: lab.table("v")[k] for k in ("Name", "TableType", "ViewOriginalText", "StorageDescriptor")},
            "Parameters": {"presto_view": "true", "comment": "Presto View", "kept": "no"},
        },
    )
    lab.run(
        '-- again\ncreate or replace view\n    "awsdatacatalog"."db"."v"\n  as\n'
        "SELECT 'x' AS b,\n  2 AS c -- end\n;"
    )
    table = lab.table("v")
    assert table["TableType"] == "VIRTUAL_VIEW"
    assert table["Parameters"] == {"presto_view": "true", "comment": "Presto View"}
    assert [(c["Name"], c["Type"]) for c in table["StorageDescriptor"]["Columns"]] == [
        ("b", "varchar(1)"),
        ("c", "decimal(3,1)"),
    ]
    assert lab.lines('SHOW CREATE VIEW "db"."v";') == [
        'CREATE VIEW "db"."v" AS',
        "SELECT 'x' AS b,",
        "  2 AS c",
    ]
    assert lab.run("SHOW CREATE VIEW v").columns[0].name == "Create View"
    with pytest.raises(QueryFailed, match="is a view"):
        lab.run("SHOW CREATE TABLE v")
    lab.run("DROP VIEW v")
    lab.run("DROP VIEW IF EXISTS db.v")
    with pytest.raises(QueryFailed, match="does not exist"):
        lab.run("DROP VIEW v")


def test_views_and_tables_are_not_taken_for_each_other(lab: Lab) -> None:
    lab.engine.learn("SELECT 1 AS a", {"a": "integer"}, [(1,)])
    lab.run("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://lab/t'")
    with pytest.raises(QueryFailed, match="TABLE_ALREADY_EXISTS"):
        lab.run("CREATE OR REPLACE VIEW t AS SELECT 1 AS a")
    with pytest.raises(QueryFailed, match="Did you mean DROP TABLE"):
        lab.run("DROP VIEW IF EXISTS t")
    with pytest.raises(QueryFailed, match="is not a view"):
        lab.run("SHOW CREATE VIEW t")
    with pytest.raises(QueryFailed, match="Schema 'nope' does not exist"):
        lab.run("CREATE VIEW nope.v AS SELECT 1 AS a")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": "time(3)"}, "Unsupported Hive type: time(3)"),
        ({"a": "json"}, "Unsupported Hive type: json"),
        ({"a": "timestamp(3) with time zone"}, "Unsupported Hive type: timestamp(3) with time zone"),
        (
            {"a": "array(row(x timestamp(3) with time zone))"},
            "Unsupported Hive type: timestamp(3) with time zone",
        ),
        ({"a": "unknown"}, "Column type is unknown at position 1"),
        ({"a": "integer", "A": "integer"}, "Column name 'a' specified more than once"),
    ],
)
def test_views_refuse_columns_glue_cannot_hold(lab: Lab, columns: dict[str, str], said: str) -> None:
    lab.engine.learn("SELECT 1", columns, [])
    with pytest.raises(QueryFailed) as failed:
        lab.run("CREATE VIEW v AS SELECT 1")
    assert said in failed.value.reason
    assert lab.lines("SHOW TABLES") == []


def test_a_views_row_field_may_be_called_time_or_json(lab: Lab) -> None:
    lab.engine.learn("SELECT 1", {"a": "row(time integer, json varchar)"}, [])
    lab.run("CREATE VIEW v AS SELECT 1")
    assert lab.table("v")["StorageDescriptor"]["Columns"][0]["Type"] == "struct<time:int,json:string>"
