"""Hive DDL on databases and tables, by what it leaves in Glue and by Hive's own words for what it refuses."""

from __future__ import annotations

import pytest

from local_athena.conformance.quilt_seeds import seed_statements
from local_athena.errors import QueryFailed
from support.statement_lab import Lab

PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
LAZY_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"


def test_the_seeds_manifest_table_is_read_word_for_word(lab: Lab) -> None:
    lab.run(seed_statements("db", "lab")["lab_quilt_manifests"], database="default")
    table = lab.table("lab_quilt_manifests")
    storage = table["StorageDescriptor"]
    assert [(c["Name"], c["Type"]) for c in storage["Columns"]] == [
        ("logical_key", "string"),
        ("physical_keys", "array<string>"),
        ("size", "string"),
        ("hash", "struct<type:string,value:string>"),
        ("meta", "string"),
        ("user_meta", "string"),
        ("message", "string"),
        ("version", "string"),
    ]
    assert table["TableType"] == "EXTERNAL_TABLE"
    assert storage["Location"] == "s3://lab/.quilt/packages"
    assert storage["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
    assert storage["SerdeInfo"]["Parameters"]["ignore.malformed.json"] == "true"
    assert storage["InputFormat"] == "org.apache.hadoop.mapred.TextInputFormat"
    assert storage["OutputFormat"] == "org.apache.hadoop.hive.ql.io.IgnoreKeyTextOutputFormat"
    assert table["Parameters"]["EXTERNAL"] == "TRUE"
    assert table["Parameters"]["has_encrypted_data"] == "false"


def test_the_seeds_packages_table_is_read_word_for_word(lab: Lab) -> None:
    lab.run(seed_statements("db", "lab")["lab_quilt_packages"])
    table = lab.table("lab_quilt_packages")
    serde = table["StorageDescriptor"]["SerdeInfo"]
    assert serde["SerializationLibrary"] == LAZY_SERDE
    assert serde["Parameters"] == {"field.delim": ",", "serialization.format": ","}
    assert table["Parameters"]["transient_lastDdlTime"] == "1557626200"


def test_every_clause_of_create_external_table_reaches_glue(lab: Lab) -> None:
    lab.run(
        r"""
CREATE EXTERNAL TABLE IF NOT EXISTS Full_One (
  `Id` BIGINT COMMENT 'it\'s the id', price DECIMAL(10, 2), tag VARCHAR(8),
  nested MAP<STRING, STRUCT<`a`: ARRAY<INT>, b: TIMESTAMP>>
)
COMMENT 'all of it'
PARTITIONED BY (dt DATE COMMENT 'the day', n INT)
CLUSTERED BY (id, tag) INTO 4 BUCKETS
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t' ESCAPED BY '\\' COLLECTION ITEMS TERMINATED BY '|'
  MAP KEYS TERMINATED BY ':' LINES TERMINATED BY '\n' NULL DEFINED AS 'nil'
STORED AS TEXTFILE
LOCATION "s3://lab/full/"
TBLPROPERTIES ('skip.header.line.count' = '1')
"""
    )
    table = lab.table("full_one")
    storage = table["StorageDescriptor"]
    assert storage["Columns"] == [
        {"Name": "id", "Type": "bigint", "Comment": "it's the id"},
        {"Name": "price", "Type": "decimal(10,2)"},
        {"Name": "tag", "Type": "varchar(8)"},
        {"Name": "nested", "Type": "map<string,struct<a:array<int>,b:timestamp>>"},
    ]
    assert table["PartitionKeys"] == [
        {"Name": "dt", "Type": "date", "Comment": "the day"},
        {"Name": "n", "Type": "int"},
    ]
    assert table["Description"] == "all of it"
    assert (storage["BucketColumns"], storage["NumberOfBuckets"]) == (["id", "tag"], 4)
    assert storage["SerdeInfo"]["Parameters"] == {
        "field.delim": "\t",
        "serialization.format": "\t",
        "escape.delim": "\\",
        "colelction.delim": "|",
        "mapkey.delim": ":",
        "line.delim": "\n",
        "serialization.null.format": "nil",
    }
    assert storage["Location"] == "s3://lab/full/"
    assert table["Parameters"]["skip.header.line.count"] == "1"


@pytest.mark.parametrize(
    ("stored_as", "serde"),
    [
        ("STORED AS parquet", PARQUET_SERDE),
        ("STORED AS ORC", "org.apache.hadoop.hive.ql.io.orc.OrcSerde"),
        ("STORED AS AVRO", "org.apache.hadoop.hive.serde2.avro.AvroSerDe"),
        ("STORED AS JSONFILE", "org.apache.hive.hcatalog.data.JsonSerDe"),
        ("STORED AS TEXTFILE", LAZY_SERDE),
        ("", LAZY_SERDE),
        ("ROW FORMAT SERDE 'a.b.C' STORED AS TEXTFILE WITH SERDEPROPERTIES ('x'='y')", "a.b.C"),
    ],
)
def test_a_formats_name_stands_for_its_classes(lab: Lab, stored_as: str, serde: str) -> None:
    lab.run(f"CREATE EXTERNAL TABLE t (a int) {stored_as} LOCATION 's3://lab/t/'")
    assert lab.table("t")["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] == serde


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE t (a int) STORED AS PARQUET LOCATION 's3://lab/t/'", "line 1:7 missing EXTERNAL"),
        ("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://lab/t/' STORED AS PARQUET", "input 'STORED'"),
        ("CREATE EXTERNAL TABLE t (a int) SKEWED BY (a) ON (1) LOCATION 's3://lab/t/'", "input 'SKEWED'"),
        ("CREATE EXTERNAL TABLE t (a int NOT NULL) LOCATION 's3://lab/t/'", "in column type"),
        ("CREATE EXTERNAL TABLE t (a text) LOCATION 's3://lab/t/'", "in column type"),
        ("CREATE EXTERNAL TABLE t (a json) LOCATION 's3://lab/t/'", "in column type"),
        ("CREATE EXTERNAL TABLE t (a int)", "mismatched input '<EOF>' expecting LOCATION"),
        ("CREATE EXTERNAL TABLE t (a int) LOCATION 'lab/t/'", "not an S3 path"),
        ("CREATE EXTERNAL TABLE t (a int) STORED AS EXCEL LOCATION 's3://lab/t/'", "Unrecognized file"),
        ("CREATE EXTERNAL TABLE t (a int, A string) LOCATION 's3://lab/t/'", "Duplicate column name: a"),
        ("CREATE EXTERNAL TABLE t (a int) PARTITIONED BY (a int) LOCATION 's3://lab/t/'", "Duplicate column"),
        ("CREATE EXTERNAL TABLE nowhere.t (a int) LOCATION 's3://t/'", "Database does not exist: nowhere"),
        ("CREATE EXTERNAL TABLE a.b.c (a int) LOCATION 's3://lab/t/'", "does not exist"),
        ("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://t' TBLPROPERTIES ('table_type'='ICEBERG')", "Ice"),
        (
            "CREATE TABLE IF NOT EXISTS `ice` (`id` bigint)  LOCATION 's3://lab/ice/' "
            "TBLPROPERTIES ('table_type' ='ICEBERG', 'format'='parquet')",
            "NOT_SUPPORTED: Iceberg",
        ),
    ],
)  # fmt: skip
def test_create_table_refuses_what_athena_refuses(lab: Lab, sql: str, said: str) -> None:
    with pytest.raises(QueryFailed) as failed:
        lab.run(sql)
    assert said in failed.value.reason
    assert lab.glue.get_tables(DatabaseName="db")["TableList"] == []


def test_creating_a_table_twice_fails_unless_it_may_exist(lab: Lab) -> None:
    lab.run("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://lab/t/'")
    with pytest.raises(
        QueryFailed, match=r"FAILED: Execution Error.*AlreadyExistsException.*t already exists"
    ):
        lab.run("CREATE EXTERNAL TABLE t (b int) LOCATION 's3://lab/t/'")
    lab.run("CREATE EXTERNAL TABLE IF NOT EXISTS t (b int) LOCATION 's3://lab/t/'")
    assert [c["Name"] for c in lab.table("t")["StorageDescriptor"]["Columns"]] == ["a"]


def test_databases_are_made_described_changed_and_dropped(lab: Lab) -> None:
    lab.run(
        "CREATE DATABASE IF NOT EXISTS `Shop` COMMENT 'it''s' LOCATION 's3://lab/shop/' "
        "WITH DBPROPERTIES ('a'='b')"
    )
    found = lab.glue.get_database(Name="shop")["Database"]
    assert (found["Description"], found["LocationUri"], found["Parameters"]) == (
        "it's",
        "s3://lab/shop/",
        {"a": "b"},
    )
    lab.run("CREATE SCHEMA IF NOT EXISTS shop")
    with pytest.raises(QueryFailed, match="Database shop already exists"):
        lab.run("create database shop")
    lab.run("ALTER DATABASE shop SET DBPROPERTIES ('c'='d')")
    found = lab.glue.get_database(Name="shop")["Database"]
    assert (found["Description"], found["Parameters"]) == ("it's", {"a": "b", "c": "d"})
    lab.run("CREATE EXTERNAL TABLE shop.t (a int) LOCATION 's3://lab/t/'")
    with pytest.raises(QueryFailed, match="Database shop is not empty"):
        lab.run("DROP DATABASE shop")
    lab.run("DROP SCHEMA shop CASCADE")
    assert lab.lines("SHOW DATABASES") == ["db"]
    lab.run("DROP DATABASE IF EXISTS shop")
    with pytest.raises(QueryFailed, match="Database does not exist: shop"):
        lab.run("DROP DATABASE shop RESTRICT")


def test_dropping_a_table_leaves_its_objects(lab: Lab) -> None:
    lab.put("t/a.txt")
    lab.run("CREATE EXTERNAL TABLE t (a int) LOCATION 's3://lab/t/'")
    lab.run("DROP TABLE `db.t`;", database="default")
    assert lab.keys("t/") == ["t/a.txt"]
    with pytest.raises(
        QueryFailed, match=r"FAILED: SemanticException \[Error 10001\]: Table not found db\.t"
    ):
        lab.run("DROP TABLE t")
    lab.run("DROP TABLE IF EXISTS db.t")


def test_drop_table_drops_a_view_as_the_seed_relies_on(lab: Lab) -> None:
    lab.engine.learn("SELECT 1 AS a", {"a": "integer"}, [(1,)])
    lab.run("CREATE VIEW v AS SELECT 1 AS a")
    lab.run("DROP TABLE `db.v`;")
    lab.run("CREATE VIEW v AS SELECT 1 AS a")


def test_columns_are_added_replaced_and_changed(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE t (a int COMMENT 'first', b string) PARTITIONED BY (dt string) LOCATION 's3://lab/t'"
    )

    def columns() -> list[tuple[str, str]]:
        return [(c["Name"], c["Type"]) for c in lab.table("t")["StorageDescriptor"]["Columns"]]

    lab.run("alter table `db`.`t`\n          add columns (`amount` double)")
    assert columns() == [("a", "int"), ("b", "string"), ("amount", "double")]
    with pytest.raises(QueryFailed, match="Duplicate column name: dt"):
        lab.run("ALTER TABLE t ADD COLUMNS (dt int)")
    lab.run("ALTER TABLE t CHANGE COLUMN b c varchar(3) FIRST")
    assert columns() == [("c", "varchar(3)"), ("a", "int"), ("amount", "double")]
    lab.run("ALTER TABLE t CHANGE a a bigint AFTER amount")
    assert columns() == [("c", "varchar(3)"), ("amount", "double"), ("a", "bigint")]
    assert lab.table("t")["StorageDescriptor"]["Columns"][2]["Comment"] == "first"
    with pytest.raises(QueryFailed, match="Invalid column reference nope"):
        lab.run("ALTER TABLE t CHANGE nope x int")
    lab.run("ALTER TABLE t REPLACE COLUMNS (x struct<y:int>)")
    assert columns() == [("x", "struct<y:int>")]


def test_properties_and_location_are_set_and_all_else_is_kept(lab: Lab) -> None:
    lab.run("CREATE EXTERNAL TABLE t (a int) STORED AS ORC LOCATION 's3://lab/t' TBLPROPERTIES ('k'='v')")
    before = lab.table("t")
    lab.run("alter table `db`.`t` set tblproperties ('classification' = 'orc', 'k'='w')")
    lab.run("ALTER TABLE t SET LOCATION 's3://lab/u/'")
    after = lab.table("t")
    assert after["Parameters"] == {**before["Parameters"], "classification": "orc", "k": "w"}
    assert after["StorageDescriptor"] == {**before["StorageDescriptor"], "Location": "s3://lab/u/"}
    assert after["TableType"] == "EXTERNAL_TABLE"
    with pytest.raises(QueryFailed, match="cannot recognize input near 'RENAME'"):
        lab.run("ALTER TABLE t RENAME TO u")
    with pytest.raises(QueryFailed, match=r"Table not found db\.nope"):
        lab.run("ALTER TABLE nope SET LOCATION 's3://lab/u/'")
