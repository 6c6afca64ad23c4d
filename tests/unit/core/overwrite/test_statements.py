"""The text of every statement that an overwrite sends, and where it writes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Found, Query
from airflow_quilt_athena.core.overwrite.plan import Seen, scratch_folder, temporary_tables
from airflow_quilt_athena.core.overwrite.planning import plan_overwrite
from airflow_quilt_athena.core.overwrite.query_role import STAGE, Role
from airflow_quilt_athena.core.overwrite.statements import Statements
from airflow_quilt_athena.core.quilt.revisions import Interval, Revision
from tests.unit.lake_examples import NOON, entry, request, statements, table, text_table

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
FOLDER = "s3://lake/sales/orders/.generations/dt=2026-01-01/a0123456789ab-1-1f2e3d4c/"
SET_FOLDER = "s3://lake/sales/orders/.generations/a0123456789ab-1-1f2e3d4c/"
BUCKETED = {"BucketColumns": ["id"], "NumberOfBuckets": 4}
KEYS = [{"Name": "dt", "Type": "date"}, {"Name": "c", "Type": "string"}, {"Name": "n", "Type": "int"}]
LOCATION = S3Uri("lake", "sales/orders/")
PLACE: dict[str, Any] = {"location": LOCATION}
AS_SEEN = (("id", "bigint"), ("note", "string"))


def bucketed() -> Table:
    return table(descriptor=BUCKETED)


# ------------------------------------------------------------------------------------------------- places


def test_what_is_staged_lies_where_neither_a_listing_nor_a_repair_of_the_table_meets_it() -> None:
    static = statements(table())
    assert str(static.folder) == str(static.rows_place) == FOLDER
    dynamic = statements(table(), partition={})
    assert str(dynamic.folder) == SET_FOLDER
    assert str(dynamic.slice_place(2)) == f"{SET_FOLDER}s2/"
    assert dynamic.rows_place != dynamic.folder
    assert dynamic.folder.contains(dynamic.rows_place)
    elsewhere = statements(table(), generations_location=S3Uri("other", "gen"))
    assert str(elsewhere.folder) == "s3://other/gen/dt=2026-01-01/a0123456789ab-1-1f2e3d4c/"


def test_temporary_tables_are_beside_the_table_or_in_the_callers_own_catalog() -> None:
    name = "tmp_quilt_0123456789ab_1_1f2e3d4c"
    assert statements(table(), database="scratch").table(STAGE) == TableName("sales", name)
    foreign = statements(
        table(), database="scratch", table=TableName("sales", "orders", "123456789012"), catalog_id=None
    )
    assert foreign.table(STAGE) == TableName("scratch", name)


def test_every_statement_that_makes_a_table_makes_one_of_its_own_and_it_is_found_again() -> None:
    made = statements(table())
    roles = [Role.parse(text) for text in ("stage", "describe", "define", "slice-1", "slice-12")]
    tables = [made.table(role) for role in roles]
    assert len(set(tables)) == len(roles)
    others = [Role.parse(text) for text in ("count", "check:few", "rows")]
    queries = tuple(Query(role, f"q-{role.text}") for role in (others[0], *roles, *others[1:]))
    assert temporary_tables(entry(attempt=made.attempt, queries=queries)) == tuple(tables)
    assert all(name.table.startswith(tables[0].table) for name in tables)


# --------------------------------------------------------------------------------------------- statements


COERCED = '''\
WITH "quilt_result" AS (
SELECT note, id FROM raw -- as it comes
)
SELECT
  CAST(NULL AS bigint) AS "id",
  CAST(NULL AS varchar) AS "note"
WHERE false AND EXISTS (SELECT * FROM "quilt_result" UNION ALL SELECT NULL, NULL)
UNION ALL
SELECT
  "id",
  "note"
FROM "quilt_result"'''
QUERY: dict[str, Any] = {"query": "SELECT note, id FROM raw -- as it comes\n;"}


def test_a_partition_is_staged_in_one_statement_with_the_tables_columns() -> None:
    zstd = table(Parameters={"write.compression": "zstd"})
    made = statements(zstd, compression="zstd", compression_level=19, **QUERY)
    assert (
        made.stage(AS_SEEN)
        == f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
WITH (
  format = 'PARQUET',
  write_compression = 'ZSTD',
  compression_level = 19,
  external_location = '{FOLDER}'
)
AS
{COERCED}"""
    )


def test_a_bucketed_partition_is_staged_in_its_buckets() -> None:
    assert (
        statements(bucketed(), **QUERY).stage(AS_SEEN)
        == f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
WITH (
  format = 'PARQUET',
  external_location = '{FOLDER}',
  bucketed_by = ARRAY['id'],
  bucket_count = 4
)
AS
{COERCED}"""
    )


def test_a_new_table_has_the_results_columns_and_a_key_given_is_refused_among_them() -> None:
    made = statements(None, query="SELECT 1 AS id", file_format=FileFormat.ORC, **PLACE)
    assert (
        made.stage(())
        == f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
WITH (
  format = 'ORC',
  external_location = '{FOLDER}'
)
AS
WITH "quilt_result" AS (
SELECT 1 AS id
)
SELECT "quilt_result".*
FROM "quilt_result" CROSS JOIN (VALUES (1)) AS "quilt_guard" ("dt")
WHERE "dt" = 1"""
    )


def test_several_keys_given_for_a_new_table_are_all_guarded() -> None:
    keys = (("dt", "date"), ("c", "string"), ("n", "int"))
    made = statements(None, partition={"n": 1, "dt": "2026-01-01"}, partitioned_by=keys, **PLACE)
    assert made.stage(()).endswith(
        'FROM "quilt_result" CROSS JOIN (VALUES (1, 1)) AS "quilt_guard" ("dt", "n")\n'
        'WHERE "dt" = 1 AND "n" = 1'
    )


def test_a_new_table_whose_keys_are_all_the_results_needs_no_guard() -> None:
    made = statements(None, query="SELECT 1 AS id", partition={}, partitioned_by=(("dt", "date"),), **PLACE)
    assert made.stage(()).endswith("\n)\nAS\nSELECT 1 AS id")
    assert "format = 'PARQUET'" in made.stage(())


def test_unload_describes_the_result_first_and_then_writes_the_same_query() -> None:
    made = statements(table(), enforced=True, compression="gzip", **QUERY)
    assert (
        made.describe()
        == f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c_described"
WITH (
  format = 'PARQUET',
  write_compression = 'GZIP'
)
AS
{COERCED}
WITH NO DATA"""
    )
    assert (
        made.stage(AS_SEEN)
        == f"""\
UNLOAD (
{COERCED}
)
TO '{FOLDER}'
WITH (
  format = 'PARQUET',
  compression = 'GZIP'
)"""
    )


def test_a_text_table_refuses_values_that_it_would_read_back_as_something_else() -> None:
    made = statements(text_table(field__delim="|"), **QUERY)
    assert (
        made.stage(AS_SEEN)
        == f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
WITH (
  format = 'TEXTFILE',
  field_delimiter = '|',
  external_location = '{FOLDER}'
)
AS
SELECT
  "id",
  CASE WHEN strpos("note", chr(124)) > 0 OR strpos("note", chr(10)) > 0 OR strpos("note", chr(13)) > 0 \
OR "note" = '\\N' THEN CAST(CAST(CAST('cannot be kept in a TEXTFILE table: ' || "note" AS bigint) \
AS varchar) AS varchar) ELSE "note" END AS "note"
FROM (
{COERCED}
)"""
    )


def test_a_text_table_without_a_delimiter_is_guarded_against_hives_own() -> None:
    made = statements(text_table(), **QUERY)
    assert 'strpos("note", chr(1)) > 0' in made.stage(AS_SEEN)
    assert "field_delimiter" not in made.stage(AS_SEEN)


def dynamic(seen_table: Table | None = None, **arguments: Any) -> Statements:
    found = table(PartitionKeys=KEYS) if seen_table is None else seen_table
    return statements(found, **{"partition": {"dt": "2026-01-01"}, **arguments})


COLUMNS = (*AS_SEEN, ("c", "string"), ("n", "int"))
PART = (Found(("it's a/b", "7"), 1), Found((HIVE_NULL, "8"), 2), Found(("x", HIVE_NULL), 3))
SLICE_QUERY = """\
SELECT
  "id",
  "note",
  CAST("c" AS varchar) AS "c",
  CAST("n" AS integer) AS "n"
FROM "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
WHERE ("c" = 'it''s a/b' AND "n" = 7)
  OR ("c" IS NULL AND "n" = 8)
  OR ("c" = 'x' AND "n" IS NULL)"""


def test_a_result_for_several_partitions_is_staged_without_them_in_a_format_that_keeps_every_type() -> None:
    made = dynamic(text_table(), partition={})
    sql = made.stage((*AS_SEEN, ("dt", "string")))
    assert (
        sql
        == f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
WITH (
  format = 'PARQUET',
  external_location = '{made.rows_place}'
)
AS
WITH "quilt_result" AS (
SELECT id, note FROM raw
)
SELECT
  CAST(NULL AS bigint) AS "id",
  CAST(NULL AS varchar) AS "note",
  CAST(NULL AS varchar) AS "dt"
WHERE false AND EXISTS (SELECT * FROM "quilt_result" UNION ALL SELECT NULL, NULL, NULL)
UNION ALL
SELECT
  "id",
  "note",
  "dt"
FROM "quilt_result\""""
    )


def test_the_partitions_of_a_result_are_counted() -> None:
    assert (
        dynamic().count()
        == """\
SELECT CAST("c" AS varchar), CAST("n" AS varchar), count(*)
FROM "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
GROUP BY "c", "n\""""
    )


def test_the_rows_of_one_partition_are_counted() -> None:
    assert statements(table()).rows() == ('SELECT count(*) FROM "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"')


def test_a_slice_has_the_rows_of_its_partitions_and_the_keys_last() -> None:
    assert (
        dynamic().slice(2, PART, COLUMNS)
        == f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c_slice_2"
WITH (
  format = 'PARQUET',
  external_location = '{FOLDER}s2/',
  partitioned_by = ARRAY['c', 'n']
)
AS
{SLICE_QUERY}"""
    )


def test_a_slice_is_unloaded_where_the_workgroup_enforces_its_location() -> None:
    assert (
        dynamic(enforced=True).slice(1, PART, COLUMNS)
        == f"""\
UNLOAD (
{SLICE_QUERY}
)
TO '{FOLDER}s1/'
WITH (
  format = 'PARQUET',
  partitioned_by = ARRAY['c', 'n']
)"""
    )


def test_a_slice_of_a_bucketed_table_is_written_in_buckets_and_its_rows_are_not() -> None:
    made = dynamic(table(PartitionKeys=KEYS, descriptor=BUCKETED))
    assert "bucket" not in made.stage(COLUMNS)
    assert made.slice(1, PART, COLUMNS).startswith(
        f"""\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c_slice_1"
WITH (
  format = 'PARQUET',
  external_location = '{FOLDER}s1/',
  partitioned_by = ARRAY['c', 'n'],
  bucketed_by = ARRAY['id'],
  bucket_count = 4
)
AS
SELECT"""
    )


def test_a_slice_compares_values_in_their_own_types() -> None:
    keys = (
        ("d", "date"),
        ("t", "timestamp"),
        ("x", "decimal(4,2)"),
        ("b", "boolean"),
        ("v", "varchar(3)"),
        ("f", "char(2)"),
    )
    made = statements(None, query="SELECT 1", partition={}, partitioned_by=keys, **PLACE)
    found = Found(("2026-01-01", "2026-01-01 00:00:00.5", "1.5", "true", "y'z", "ab"), 1)
    assert made.slice(1, (found,), (("id", "int"), *keys)).endswith(
        """\
WHERE ("d" = CAST('2026-01-01' AS date) \
AND "t" = CAST('2026-01-01 00:00:00.5' AS timestamp(3)) \
AND "x" = CAST('1.5' AS decimal(4,2)) AND "b" = true AND "v" = 'y''z' AND "f" = CAST('ab' AS char(2)))"""
    )


def test_a_slice_of_a_text_table_is_guarded_but_for_its_keys() -> None:
    keyed = table(PartitionKeys=KEYS[1:2], descriptor=text_table(field__delim=",").raw["StorageDescriptor"])
    made = dynamic(keyed, partition={})
    sql = made.slice(1, (Found(("x",), 1),), COLUMNS[:3])
    assert 'strpos("note", chr(44)) > 0' in sql
    assert 'strpos("c"' not in sql
    assert 'ELSE "note" END AS "note",\n  "c"\nFROM (\nSELECT' in sql
    assert "field_delimiter = ','" in sql


def test_what_a_new_table_is_to_be_is_learned_from_the_staged_columns_without_a_row() -> None:
    made = statements(
        None,
        query="SELECT 1",
        partition={"dt": "2026-01-01"},
        partitioned_by=(("dt", "date"), ("c", "string")),
        file_format=FileFormat.JSON,
        bucketed_by=("id",),
        bucket_count=2,
        **PLACE,
    )
    assert (
        made.define((("id", "int"), ("c", "varchar(1)")))
        == """\
CREATE TABLE "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c_defined"
WITH (
  format = 'JSON',
  bucketed_by = ARRAY['id'],
  bucket_count = 2
)
AS
SELECT
  "id",
  CAST("c" AS varchar) AS "c"
FROM "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"
WHERE false
WITH NO DATA"""
    )


def test_a_check_looks_at_the_staged_rows() -> None:
    made = statements(table(), checks={"few": "SELECT count(*) > 3 FROM {staged};"})
    assert made.check("few") == 'SELECT count(*) > 3 FROM "sales"."tmp_quilt_0123456789ab_1_1f2e3d4c"'


def test_the_names_alone_are_asked_for_to_say_what_does_not_fit() -> None:
    assert (
        statements(table(), query="SELECT 1 AS x").names() == "SELECT * FROM (\nSELECT 1 AS x\n) WHERE false"
    )


def test_another_attempt_sends_the_same_statement_to_another_place() -> None:
    planned = plan_overwrite(Seen(table(), None, enforced=False), request())
    one, other = (Statements(planned, Attempt("0123456789ab", number, "1f2e3d4c")) for number in (1, 2))
    assert one.folder != other.folder
    changed = one.stage(AS_SEEN).replace(one.attempt.name, other.attempt.name)
    assert changed.replace(one.table(STAGE).table, other.table(STAGE).table) == other.stage(AS_SEEN)


# --------------------------------------------------------------------------------- revisions of an interval

INTERVAL = Interval("acme-data", NOON, NOON + timedelta(days=1))
ONE = (Revision("team/pkg", "1767225600", "a" * 64, is_latest=True),)
MANY = tuple(Revision("team/pkg", str(1767225600 + n), f"{n:064x}", is_latest=False) for n in range(1800))
BY_REVISION: dict[str, Any] = {
    "query": "SELECT 1 AS id, r.pkg_name AS note FROM {revisions} AS r",
    "quilt_revisions": INTERVAL,
}


def test_few_revisions_are_named_in_the_one_statement() -> None:
    made = statements(table(), revisions=ONE, **BY_REVISION)
    sql = made.stage(AS_SEEN)
    assert "{revisions}" not in sql
    assert f"s3://acme-data/.quilt/packages/{'a' * 64}" in sql
    assert made.reads() == statements(table()).reads() == {}
    assert made.rows_place == made.folder


def test_revisions_that_one_statement_cannot_name_are_read_into_tables_first() -> None:
    query = "SELECT 1 AS id, r.pkg_name AS note FROM {revisions} AS r JOIN {entries} AS e USING (top_hash)"
    made = statements(table(), revisions=MANY, query=query, quilt_revisions=INTERVAL)
    reads = made.reads()
    assert all(len(sql.encode()) <= 262_144 for sql in reads.values())
    numbers = range(1, len(reads) // 2 + 1)
    assert [role.text for role in reads] == [
        f"read-{what}-{number}" for number in numbers for what in ("revisions", "entries")
    ]
    # Each manifest is read once for either token, and the statement that stages names the tables alone.
    for what in ("revisions", "entries"):
        text = "".join(sql for role, sql in reads.items() if f"-{what}-" in role.text)
        assert all(text.count(f"packages/{revision.top_hash}'") == 1 for revision in MANY)
    name = '"sales"."tmp_quilt_0123456789ab_1_1f2e3d4c_read_revisions'
    union = "\nUNION ALL\n".join(f'SELECT * FROM {name}_{number}"' for number in numbers)
    assert f"FROM (\n{union}\n) AS r JOIN (" in made.stage(AS_SEEN)
    assert f"external_location = '{FOLDER}scratch/read-revisions-1/'" in reads[Role.parse("read-revisions-1")]
    assert made.rows_place == made.folder / "data/"


def test_what_is_read_first_lies_among_the_results_where_the_workgroup_enforces_its_location() -> None:
    made = statements(table(), enforced=True, revisions=MANY, **BY_REVISION)
    assert made.reads()
    assert all("external_location" not in sql for sql in made.reads().values())


def test_what_only_served_staging_lies_apart_and_is_known_from_the_journal() -> None:
    scratch = S3Uri.parse(FOLDER) / "scratch/"
    counted = entry(folder=FOLDER, found=())
    assert scratch_folder(counted) == scratch
    assert (
        scratch_folder(entry(folder=FOLDER, queries=(Query(Role.parse("read-entries-1"), "q"),))) == scratch
    )
    assert scratch_folder(entry(folder=FOLDER, queries=(Query(STAGE, "q"),))) is None
    assert scratch_folder(entry(folder=None, found=())) is None
    assert scratch.contains(dynamic().rows_place)


def test_tables_of_revisions_are_found_again_with_the_others() -> None:
    queries = (Query(Role.parse("read-revisions-1"), "q1"), Query(STAGE, "q2"))
    assert [name.table for name in temporary_tables(entry(queries=queries))] == [
        "tmp_quilt_0123456789ab_1_1f2e3d4c_read_revisions_1",
        "tmp_quilt_0123456789ab_1_1f2e3d4c",
    ]
