"""The statements real clients send, word for word, against a running local Athena."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local_athena import LocalAthena
from support.athena_runner import Runner

pytestmark = pytest.mark.integration

SRC = [("1", "a", "1.5", "2026-01-01"), ("2", "b", "2.5", "2026-01-01"), ("3", "c", "3.5", "2026-01-02")]
COMMENT = (
    '-- /* {"app": "dbt", "dbt_version": "1.12.6", "target_name": "dev", "node_id": "model.la.daily"} */\n'
)


@pytest.fixture
def lake(aws: LocalAthena, unique: Callable[[str], str]) -> Runner:
    runner = Runner(aws, unique("lake-bucket"), unique("lake"))
    runner.ok(f"create schema if not exists `{runner.database}`")
    values = ", ".join(f"({i}, '{n}', {a}e0, '{d}')" for i, n, a, d in SRC)
    runner.ok(
        f"CREATE TABLE src WITH (external_location='s3://{runner.bucket}/src/', partitioned_by=ARRAY['dt']) "
        f"AS SELECT * FROM (VALUES {values}) AS t(id, name, amount, dt)"
    )
    return runner


def test_awswranglers_statements(lake: Runner) -> None:
    bucket, db = lake.bucket, lake.database
    assert lake.rows("SELECT id, name, amount, dt FROM src ORDER BY id") == SRC
    answer = lake.ok(
        f"""CREATE TABLE "{db}"."temp_table_0a"
WITH(
    external_location = 's3://{bucket}/out/temp_table_0a',
    format = 'PARQUET')
AS SELECT id, name, amount, dt FROM src ORDER BY id"""
    )
    assert answer.update_count == 3
    manifest = answer.execution["Statistics"]["DataManifestLocation"]
    assert manifest.startswith(f"s3://{bucket}/results/")
    body = (
        lake.s3.get_object(Bucket=bucket, Key=manifest.removeprefix(f"s3://{bucket}/"))["Body"]
        .read()
        .decode()
    )
    assert body.splitlines() == [f"s3://{bucket}/{key}" for key in lake.keys("out/temp_table_0a/")]
    assert sorted(lake.rows('SELECT * FROM "temp_table_0a"')) == SRC
    lake.ok(
        f"""CREATE TABLE "{db}"."tmp_wr_x"
WITH(
    external_location = 's3://{bucket}/out/tmp_wr_x',
    write_compression = 'ZSTD',
    format = 'PARQUET')
AS SELECT id, name, amount, dt FROM src ORDER BY id"""
    )
    lake.ok(
        f"""CREATE TABLE "{db}"."temp_table_0b"
WITH(
    external_location = 's3://{bucket}/out/temp_table_0b',
    format = 'PARQUET')
AS SELECT * FROM src WHERE id > 99"""
    )
    assert lake.keys("out/temp_table_0b/") == []
    assert lake.rows("SELECT * FROM temp_table_0b") == []
    lake.ok(
        f"""CREATE TABLE "{db}"."ct1"
WITH(
    external_location = 's3://{bucket}/ct1/ct1',
    partitioned_by = ARRAY['dt'],
    write_compression = 'SNAPPY',
    format = 'PARQUET')
AS SELECT id, name, dt FROM src"""
    )
    assert lake.ok("SHOW PARTITIONS ct1").rows == (("dt=2026-01-01",), ("dt=2026-01-02",))
    lake.ok(
        f"""CREATE TABLE "{db}"."ct2"
WITH(
    external_location = 's3://{bucket}/ct2/ct2',
    bucketed_by = ARRAY['id'],
    bucket_count = 2,
    format = 'ORC')
AS SELECT id, name FROM src"""
    )
    assert sorted(lake.rows("SELECT id, name FROM ct2")) == [row[:2] for row in SRC]
    assert len(lake.keys("ct2/ct2/")) == 2
    lake.ok(
        f"""CREATE TABLE "{db}"."ct3"
WITH(
    external_location = 's3://{bucket}/ct3/ct3',
    format = 'PARQUET')
AS SELECT id, name FROM src
WITH NO DATA"""
    )
    assert lake.rows("SELECT count(*) c FROM ct3") == [("0",)]


def test_awswranglers_unloads(lake: Runner) -> None:
    bucket = lake.bucket
    lake.ok(
        f"UNLOAD (SELECT id, name, amount, dt FROM src ORDER BY id) TO 's3://{bucket}/unload1/' "
        "WITH (  format='PARQUET')"
    )
    lake.ok(f"UNLOAD (SELECT * FROM src WHERE id > 99) TO 's3://{bucket}/unload0/' WITH (  format='PARQUET')")
    lake.ok(
        f"UNLOAD (SELECT id, name, amount, dt FROM src ORDER BY id) TO 's3://{bucket}/ul/' "
        "WITH (  format='PARQUET'  , compression='snappy'  , partitioned_by=ARRAY['dt'])"
    )
    lake.ok(
        f"UNLOAD (SELECT id, name FROM src) TO 's3://{bucket}/ult/' "
        "WITH (  format='TEXTFILE'  , compression='gzip'  , field_delimiter='|')"
    )
    assert len(lake.keys("unload1/")) == 1
    assert lake.keys("unload0/") == []
    assert [key.split("/")[1] for key in lake.keys("ul/")] == ["dt=2026-01-01", "dt=2026-01-02"]
    assert lake.keys("ult/")[0].endswith(".gz")
    reason = lake.fails(f"UNLOAD (SELECT 1 AS x) TO 's3://{bucket}/ul/' WITH (format='PARQUET')")
    assert reason.startswith("HIVE_PATH_ALREADY_EXISTS")


def test_awswranglers_utilities_name_the_database_in_back_ticks(lake: Runner) -> None:
    quoted = f"`{lake.database}`"
    described = lake.ok("DESCRIBE `src`;", database=quoted)
    assert described.columns == ("col_name", "data_type", "comment")
    assert [tuple(cell.strip() for cell in str(row[0]).split("\t")) for row in described.rows[:4]] == [
        ("id", "int", ""),
        ("name", "varchar(1)", ""),
        ("amount", "double", ""),
        ("dt", "varchar(10)", ""),
    ]
    assert described.execution["StatementType"] == "UTILITY"
    shown = lake.ok("SHOW CREATE TABLE `src`;", database=quoted)
    assert shown.rows[0] == ("CREATE EXTERNAL TABLE `src`(",)
    lake.s3.put_object(Bucket=lake.bucket, Key="src/dt=2026-01-09/empty", Body=b"")
    repaired = lake.ok("MSCK REPAIR TABLE `src`;", database=quoted)
    assert repaired.rows == (
        ("Partitions not in metastore:\tsrc:dt=2026-01-09",),
        ("Repair: Added partition to metastore src:dt=2026-01-09",),
    )
    reason = lake.fails(
        f"CREATE TABLE IF NOT EXISTS `ice` (`id` bigint, `name` string)  LOCATION 's3://{lake.bucket}/ice/' "
        "TBLPROPERTIES ('table_type' ='ICEBERG', 'format'='parquet')"
    )
    assert reason.startswith("NOT_SUPPORTED: Iceberg")


def test_dbts_statements(lake: Runner) -> None:
    bucket, db = lake.bucket, lake.database
    created = lake.ok(
        COMMENT
        + f"""create table "awsdatacatalog"."{db}"."daily"
    with (
      table_type='hive',
      is_external=true,external_location='s3://{bucket}/data/{db}/daily/01',
      partitioned_by=ARRAY['dt'],
      format='parquet'
    )
    as

select id, name, amount, dt from "awsdatacatalog"."{db}"."src"
"""
    )
    assert created.update_count == 3
    lake.ok(f"alter table `{db}`.`daily` set tblproperties ('classification' = 'parquet')")
    table = lake.glue.get_table(DatabaseName=db, Name="daily")["Table"]
    assert table["Parameters"]["classification"] == "parquet"
    lake.ok(
        COMMENT
        + f"""create table "awsdatacatalog"."{db}"."daily__dbt_tmp"
    with (
      table_type='hive',
      is_external=true,external_location='s3://{bucket}/data/{db}/daily__dbt_tmp/01',
      format='parquet'
    )
    as

select id, name, amount, dt from "awsdatacatalog"."{db}"."src"
 where dt = '2026-01-01'
"""
    )
    inserted = lake.ok(
        COMMENT
        + f"""insert into "awsdatacatalog"."{db}"."daily" ("id", "name", "amount", "dt")
              (
                 select "id", "name", "amount", "dt"
                 from "awsdatacatalog"."{db}"."daily__dbt_tmp"
              );
"""
    )
    assert inserted.update_count == 2
    assert sorted(
        lake.rows(COMMENT + f'select id, name, amount, dt from "awsdatacatalog"."{db}"."daily"')
    ) == sorted([*SRC, *SRC[:2]])
    assert lake.rows(
        COMMENT + f'select distinct dt from ("awsdatacatalog"."{db}"."daily__dbt_tmp") order by dt;'
    ) == [("2026-01-01",)]
    lake.ok(
        COMMENT
        + f"""create or replace view
    "awsdatacatalog"."{db}"."v"
  as

select dt, count(*) as n, sum(amount) as total from "awsdatacatalog"."{db}"."daily" group by dt
"""
    )
    assert sorted(lake.rows(f'select dt, n, total from "{db}"."v"')) == [
        ("2026-01-01", "4", "8.0"),
        ("2026-01-02", "1", "3.5"),
    ]


def test_dbts_column_added_later_and_its_seed(lake: Runner) -> None:
    bucket, db = lake.bucket, lake.database
    lake.ok(
        f"""create table "awsdatacatalog"."{db}"."app"
    with (
      table_type='hive',
      is_external=true,external_location='s3://{bucket}/data/{db}/app/01',
      format='orc'
    )
    as

select id, name  from "awsdatacatalog"."{db}"."src"
"""
    )
    lake.ok(
        f"""alter table `{db}`.`app`
          add columns (`amount` double)"""
    )
    lake.ok(
        f"""insert into "awsdatacatalog"."{db}"."app" ("id", "name", "amount")
              (
                 select "id", "name", "amount"
                 from "awsdatacatalog"."{db}"."src"
              );"""
    )
    assert sorted(lake.rows("select * from app"), key=str) == sorted(
        [(i, n, None) for i, n, _, _ in SRC] + [row[:3] for row in SRC], key=str
    )
    lake.s3.put_object(
        Bucket=bucket, Key="data/codes/01/codes.csv", Body=b'code,label\n"1","one, two"\n"2",""\n'
    )
    lake.ok(
        COMMENT
        + f"""create external table `{db}`.`codes__dbt_tmp` (`code` string, `label` string)
    row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
    location 's3://{bucket}/data/codes/01'
    tblproperties (
      'skip.header.line.count'='1'
    )
"""
    )
    lake.ok(
        f"""create table "awsdatacatalog"."{db}"."codes"
    with (
      table_type='hive',
      is_external=true,external_location='s3://{bucket}/data/codes/02',
      format='parquet'
    )
    as

    select

              cast(nullif("code", '') as integer) as "code"
            ,
              cast(nullif("label", '') as varchar) as "label"

    from
        "awsdatacatalog"."{db}"."codes__dbt_tmp"
"""
    )
    assert sorted(lake.rows("select * from codes"), key=str) == [("1", "one, two"), ("2", None)]


def test_pyathenas_and_sqlalchemys_statements(lake: Runner) -> None:
    bucket, db = lake.bucket, lake.database
    lake.ok(
        "CREATE EXTERNAL TABLE IF NOT EXISTS ddl1 (a int, b string) PARTITIONED BY (p string) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t' LOCATION 's3://{bucket}/ddl1/'"
    )
    assert lake.ok("SHOW TABLES").rows == (("ddl1",), ("src",))
    assert lake.ok("SHOW PARTITIONS src").rows == (("dt=2026-01-01",), ("dt=2026-01-02",))
    lake.ok("DESCRIBE src")
    assert [str(row[0]).strip() for row in lake.ok("SHOW COLUMNS IN src").rows] == [
        "id",
        "name",
        "amount",
        "dt",
    ]
    lake.ok("DROP TABLE ddl1")
    lake.ok("CREATE OR REPLACE VIEW v1 AS SELECT id FROM src")
    assert sorted(lake.rows("SELECT * FROM v1")) == [("1",), ("2",), ("3",)]
    assert (db,) in lake.ok("SHOW DATABASES").rows
    assert lake.ok("SHOW VIEWS").rows == (("v1",),)
    lake.ok("SHOW CREATE TABLE src")
    assert "SELECT id FROM src" in "\n".join(str(row[0]) for row in lake.ok("SHOW CREATE VIEW v1").rows)
    assert lake.ok(f'SHOW CREATE VIEW "{db}"."v1";').columns == ("Create View",)
    assert ("EXTERNAL\tTRUE",) in lake.ok("SHOW TBLPROPERTIES src").rows
    plan = lake.ok("EXPLAIN SELECT id, name, amount, dt FROM src ORDER BY id")
    assert plan.columns == ("Query Plan",)
    assert plan.execution["SubstatementType"] == "EXPLAIN"
    lake.ok(
        f"CREATE TABLE ct WITH (external_location='s3://{bucket}/ct/', format='PARQUET', "
        "partitioned_by=ARRAY['dt']) AS SELECT id, dt FROM src"
    )
    assert lake.ok("INSERT INTO ct SELECT id + 10, dt FROM src").update_count == 3
    assert lake.ok("INSERT INTO ct SELECT 100, '2026-01-05'").update_count == 1
    lake.ok("INSERT INTO ct SELECT 101, '2026-01-05'")
    assert lake.rows("SELECT count(*) FROM ct WHERE dt='2026-01-05'") == [("2",)]
    lake.ok(
        "UNLOAD (\n\tSELECT id, name, amount, dt FROM src ORDER BY id\n)\n"
        f"TO 's3://{bucket}/staging/unload/20261122/01/'\n"
        "WITH (\n\tformat = 'PARQUET',\n\tcompression = 'SNAPPY'\n)"
    )
    lake.ok(
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{db}`.`tosql` (\n`a` BIGINT\n)\n"
        f"PARTITIONED BY (\n`p` STRING\n)\nSTORED AS PARQUET\nLOCATION 's3://{bucket}/tosql/'\n"
    )
    lake.ok(
        f"ALTER TABLE `{db}`.`tosql`\nADD IF NOT EXISTS PARTITION (`p` = 'x') LOCATION 's3://{bucket}/tosql/p=x/'"
    )
    assert lake.ok("SHOW PARTITIONS tosql").rows == (("p=x",),)
    lake.ok(
        f"""CREATE EXTERNAL TABLE {db}.sqt (
	a INT,
	b STRING
)
PARTITIONED BY (
	p STRING
)
STORED AS PARQUET
LOCATION 's3://{bucket}/sqt/'
TBLPROPERTIES (
	'k' = 'v',
	'parquet.compression' = 'SNAPPY'
)"""
    )
    lake.ok(f"INSERT INTO {db}.sqt (a, b, p) VALUES (1, 'x''y', 'q')")
    assert lake.rows(f"SELECT {db}.sqt.a, {db}.sqt.b, {db}.sqt.p \nFROM {db}.sqt") == [("1", "x'y", "q")]
    lake.ok(f"DROP TABLE {db}.sqt")
    lake.ok(
        f"CREATE EXTERNAL TABLE {db}.pdsql (\n\ta BIGINT,\n\tb STRING\n)\nSTORED AS parquet\n"
        f"LOCATION 's3://{bucket}/pdsql/{db}/pdsql/'\n"
    )
    assert lake.ok(f"INSERT INTO {db}.pdsql (a, b) VALUES (1, 'x'), (2, 'y')").update_count == 2
    assert sorted(lake.rows(f"SELECT * FROM {db}.pdsql")) == [("1", "x"), ("2", "y")]


def test_airflows_statements_and_the_hundred_partitions(lake: Runner) -> None:
    bucket = lake.bucket
    days = (
        "SELECT CAST(n AS integer) AS id, CAST(date_add('day', n, DATE '2026-01-01') AS varchar) AS dt "
        "FROM UNNEST(sequence(0, 249)) AS t(n)"
    )
    lake.ok(f"CREATE TABLE src250 AS {days}")
    lake.ok(f"CREATE TABLE ol WITH (external_location='s3://{bucket}/ol/') AS SELECT id FROM src")
    reason = lake.fails(
        f"CREATE TABLE w250 WITH (external_location='s3://{bucket}/w250/', format='PARQUET', "
        "partitioned_by=ARRAY['dt']) AS SELECT id, dt FROM src250"
    )
    assert (
        "HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of 100 open writers for partitions/buckets" in reason
    )
    lake.ok(
        f"CREATE TABLE w250b WITH (external_location='s3://{bucket}/w250b/', format='PARQUET', "
        "partitioned_by=ARRAY['dt']) AS SELECT id, dt FROM src250 WHERE dt <= '2026-04-10'"
    )
    lake.ok("INSERT INTO w250b SELECT id, dt FROM src250 WHERE dt BETWEEN '2026-04-11' AND '2026-07-19'")
    lake.ok("INSERT INTO w250b SELECT id, dt FROM src250 WHERE dt BETWEEN '2026-07-20' AND '2026-09-07'")
    assert lake.rows("SELECT count(*), count(DISTINCT dt), sum(id) FROM w250b") == [("250", "250", "31125")]
