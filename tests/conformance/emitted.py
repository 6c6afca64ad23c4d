"""The statements that the operators send, made by the product's own builders: they stay what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Bucketing, Columns, TableName
from airflow_quilt_athena.core.overwrite.ctas import (
    Encoding,
    build_coerced_query,
    build_ctas,
    build_description,
    build_description_query,
    build_guarded_query,
    build_text_guard,
    build_unload,
    render_check,
)
from airflow_quilt_athena.core.overwrite.journal_entry import Found
from airflow_quilt_athena.core.overwrite.slices import build_count, build_slice
from airflow_quilt_athena.core.quilt.completeness import Check, File, Listing
from airflow_quilt_athena.core.quilt.completeness_query import build_check
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import KEYS, Newer, build_kept_entries, build_kept_revisions
from airflow_quilt_athena.core.quilt.kept_views import define_kept_views
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import Revision, build_entries, build_revisions
from airflow_quilt_athena.core.quilt.table_ddl import define_tables, render_create_table
from airflow_quilt_athena.core.quilt.views import define_views

# What stands for {bucket} and {database} while the builders, which check names, run.
_BUCKET, _DATABASE = "conformancebucket", "conformance_database"
_COMPRESSIONS = {
    FileFormat.PARQUET: (None, "SNAPPY", "GZIP", "ZSTD", "NONE"),
    FileFormat.ORC: (None, "SNAPPY", "ZLIB", "LZ4", "ZSTD", "NONE"),
    FileFormat.JSON: (None, "GZIP", "ZSTD", "SNAPPY", "LZ4", "NONE"),
    FileFormat.TEXTFILE: (None, "GZIP", "ZSTD", "SNAPPY", "LZ4", "NONE"),
}
_PLAIN: Columns = (
    ("id", "bigint"),
    ("t", "tinyint"),
    ("s", "smallint"),
    ("i", "int"),
    ("b", "boolean"),
    ("x", "double"),
    ("f", "float"),
    ("q", "decimal(10,2)"),
    ("name", "string"),
    ("code", "varchar(4)"),
    ("d", "date"),
    ("ts", "timestamp"),
)
_NESTED: Columns = (
    ("a", "array<string>"),
    ("m", "map<string,int>"),
    ("r", "struct<p:int,q:array<double>>"),
)
_PLAIN_ROWS = """SELECT * FROM (VALUES
  (BIGINT '1', TINYINT '2', SMALLINT '3', 4, true, 0.5e0, REAL '0.25', DECIMAL '12.50', VARCHAR 'Čeněk',
    CAST('ab' AS varchar(4)), DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05.678'),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
) AS v (id, t, s, i, b, x, f, q, name, code, d, ts)"""
_NESTED_ROWS = f"""SELECT v.*,
  CAST(ARRAY['x', NULL] AS array(varchar)) AS a,
  MAP(ARRAY['k'], ARRAY[1]) AS m,
  CAST(ROW(1, ARRAY[1.5e0]) AS row(p integer, q array(double))) AS r
FROM ({_PLAIN_ROWS}) v"""
# Of each type a key may have: Hive's name, and two values and NULL as Trino's literals.
_KEYS = {
    "bigint": ("BIGINT '7'", "BIGINT '-8'"),
    "int": ("7", "-8"),
    "smallint": ("SMALLINT '7'", "SMALLINT '-8'"),
    "tinyint": ("TINYINT '7'", "TINYINT '-8'"),
    "boolean": ("true", "false"),
    "string": ("VARCHAR 'a/b =c%'", "VARCHAR '2026'"),
    "varchar(8)": ("CAST('a:b' AS varchar(8))", "CAST('x' AS varchar(8))"),
    "char(3)": ("CAST('abc' AS char(3))", "CAST('xyz' AS char(3))"),
    "date": ("DATE '2026-01-02'", "DATE '1969-12-31'"),
    "timestamp": ("TIMESTAMP '2026-01-02 03:04:05.000'", "TIMESTAMP '2026-01-02 03:04:05.678'"),
    "decimal(6,2)": ("DECIMAL '1.50'", "DECIMAL '-2000.00'"),
}
_FOUND_VALUES = {"bigint": "7", "string": "a/b =c%", "date": "2026-01-02", "decimal(6,2)": "1.50"}
_TOP_HASHES = ("a" * 64, "b" * 64)


def emitted_statements() -> tuple[str, ...]:
    """Return the statements in the order in which they run, each once."""
    made = [*_quilt(), *_kept(), *_checks(), *_formats(), *_partitions(), *_guards(), *_unloads()]
    named = [sql.replace(_BUCKET, "{bucket}").replace(_DATABASE, "{database}") for sql in made]
    return tuple(dict.fromkeys(named))


def _quilt() -> Iterator[str]:
    """Yield the tables and the views of a bucket, over our tables and over those of a Quilt platform."""
    names = BucketNames.of(_BUCKET)
    database = f"{_DATABASE}_emitted"
    yield f"CREATE DATABASE IF NOT EXISTS {database}"
    for table in define_tables(names):
        yield render_create_table(table, database)
    ours = ManifestSource.of_bucket(names, database)
    theirs = ManifestSource(database, names.manifests, names.packages, has_workflow=False)
    revisions = (
        Revision("user/one", "1700000000", _TOP_HASHES[0], False),
        Revision("user/two", "253402300800", _TOP_HASHES[1], True),
    )
    for source, order in ((ours, "1, 2, 3, 4, 5"), (theirs, "1, 2, 3, 4, 5 DESC")):
        for view in define_views(names, database, source):
            yield view.sql
            keys = {
                names.tags: order[:7],
                names.entries: "1, 2, 6",
                names.current: "1, 2, 6",
            }.get(view.name, order)
            yield f'SELECT * FROM "{database}"."{view.name}" ORDER BY {keys}'
        for chosen in (revisions[:1], revisions[:0]):
            yield f"SELECT * FROM (\n{build_revisions(source, _BUCKET, chosen)}\n) ORDER BY 1, 2, 3"
            yield f"SELECT * FROM (\n{build_entries(source, _BUCKET, chosen)}\n) ORDER BY 1, 2, 6"
        yield f"SELECT count(*) AS n FROM (\n{build_revisions(source, _BUCKET, revisions)}\n)"


def _kept() -> Iterator[str]:
    """Yield what writes the tables that keep rows, and the views that stand on them, of both ways."""
    names = BucketNames.of(_BUCKET)
    database = f"{_DATABASE}_kept"
    yield f"CREATE DATABASE IF NOT EXISTS {database}"
    for table in define_tables(names):
        yield render_create_table(table, database)
    source = ManifestSource.of_bucket(names, database)
    kept = (Revision("user/one", "1700000000", _TOP_HASHES[0], False),)
    newer = (Revision("user/two", "1700000001", _TOP_HASHES[1], False),)
    for name, build in (
        (names.entries_table, build_kept_entries),
        (names.revisions_table, build_kept_revisions),
    ):
        place = S3Uri(_BUCKET, f"emitted/{name}/")
        query = build(source, _BUCKET, kept, with_keys=True)
        parquet, keys = Encoding(FileFormat.PARQUET), [key for key, _ in KEYS]
        yield build_ctas(TableName(database, name), query, parquet, location=place, partitioned_by=keys)
        yield f"SELECT * FROM (\n{build(source, _BUCKET, kept, with_keys=False)}\n) ORDER BY 1, 2, 3, 4"
    for number, more in enumerate((None, Newer(), Newer(newer), Newer(newer, _TOP_HASHES[1:]))):
        for view in define_kept_views(names, database, source, more):
            if view.name in (names.revisions, names.entries, names.current):
                yield view.sql
                keys_of = "1, 2, 3" if view.name == names.revisions else "1, 2, 6"
                # Another text for each view of the name: the table has each statement once.
                yield f'SELECT * FROM "{database}"."{view.name}" ORDER BY {keys_of} LIMIT {100 + number}'


def _checks() -> Iterator[str]:
    """Yield the comparison of what views give with a listing: over everything, and over what is new."""
    source = ManifestSource.of_bucket(BucketNames.of(_BUCKET), f"{_DATABASE}_emitted")
    folder = ".quilt/named_packages/user/one/"
    day = datetime(2026, 1, 1, tzinfo=UTC)
    pointers = (File(f"{folder}1700000000", day, 64), File(f"{folder}latest", day, 64))
    manifests = tuple(File(f".quilt/packages/{top_hash}", day, 100) for top_hash in _TOP_HASHES)
    listing = Listing(_BUCKET, pointers, manifests, False, day)
    for check in (Check(listing, None, None), Check(listing, pointers[:1], manifests[:1])):
        yield f"SELECT * FROM (\n{build_check(source, check)}\n) ORDER BY 1, 2, 3, 4"


def _formats() -> Iterator[str]:
    """Yield an overwrite's staging in every format and compression, plain, in buckets, and without rows."""
    for file_format, compressions in _COMPRESSIONS.items():
        text = file_format is FileFormat.TEXTFILE
        columns, rows = (_PLAIN, _PLAIN_ROWS) if text else (_PLAIN + _NESTED, _NESTED_ROWS)
        for compression in compressions:
            label = f"{file_format.value}_{compression or 'default'}".lower()
            yield from _ctas(
                f"e_{label}", build_coerced_query(rows, columns), Encoding(file_format, compression)
            )
        label = file_format.value.lower()
        encoding = Encoding(file_format, "GZIP" if file_format is not FileFormat.ORC else "ZLIB")
        bucketing = Bucketing(("id", "name"), 3)
        yield from _ctas(
            f"e_{label}_buckets", build_coerced_query(rows, columns), encoding, bucketing=bucketing
        )
        described = TableName(_DATABASE, f"e_{label}_described")
        yield build_description(described, build_coerced_query(rows, columns), encoding, bucketing)
        yield f"SELECT * FROM {described.trino}"
    level = Encoding(FileFormat.PARQUET, "ZSTD", compression_level=7)
    yield from _ctas("e_parquet_level", build_coerced_query(_PLAIN_ROWS, _PLAIN), level)
    piped = Encoding(FileFormat.TEXTFILE, "NONE", field_delimiter="|")
    yield from _ctas(
        "e_textfile_piped", build_text_guard(_PLAIN_ROWS, _PLAIN, (), field_delimiter="|"), piped
    )


def _ctas(name: str, query: str, encoding: Encoding, *, bucketing: Bucketing | None = None) -> Iterator[str]:
    table, place = TableName(_DATABASE, name), S3Uri(_BUCKET, f"emitted/{name}/")
    yield build_ctas(table, query, encoding, location=place, bucketing=bucketing)
    yield f"SELECT * FROM {table.trino} ORDER BY id"


def _partitions() -> Iterator[str]:
    """Yield keys of every type: written, counted, sliced from rows staged without partitions, and read."""
    for number, (kind, (one, other)) in enumerate(_KEYS.items()):
        file_format = list(FileFormat)[number % len(FileFormat)]
        rows = f"SELECT * FROM (VALUES (1, {one}), (2, {other}), (3, NULL)) AS v (id, k)"
        query = build_coerced_query(rows, (("id", "int"), ("k", kind)))
        table = TableName(_DATABASE, f"k_{number}")
        place = S3Uri(_BUCKET, f"emitted/{table.table}/")
        yield build_ctas(table, query, Encoding(file_format), location=place, partitioned_by=("k",))
        yield f"SELECT id, k FROM {table.trino} ORDER BY id"
        yield f"SELECT id FROM {table.trino} WHERE k = {one}"
        yield f"SELECT id FROM {table.trino} WHERE k IS NULL"
        yield f"SHOW PARTITIONS {table.table}"
        staged = TableName(_DATABASE, f"k_{number}_staged")
        place = S3Uri(_BUCKET, f"emitted/{staged.table}/")
        yield build_ctas(staged, query, Encoding(FileFormat.PARQUET), location=place)
        yield build_count(staged, (("k", kind),))
        if kind in _FOUND_VALUES:
            part = (Found((_FOUND_VALUES[kind],), 1), Found(("__HIVE_DEFAULT_PARTITION__",), 1))
            yield build_slice(staged, (("id", "int"),), (("k", kind),), part) + "\nORDER BY id"
    many = "SELECT 1 AS id, VARCHAR 'a' AS p, 2026 AS y UNION ALL SELECT 2, 'b', 2027"
    table = TableName(_DATABASE, "k_two")
    place = S3Uri(_BUCKET, "emitted/k_two/")
    bucketing = Bucketing(("id",), 2)
    yield build_ctas(
        table, many, Encoding(FileFormat.ORC), location=place, partitioned_by=("p", "y"), bucketing=bucketing
    )
    yield f"SELECT * FROM {table.trino} ORDER BY id"


def _guards() -> Iterator[str]:
    """Yield what refuses a result that is not the table's, and what lets it pass."""
    keys: Columns = (("dt", "string"),)
    yield build_guarded_query("SELECT 1 AS id", keys)
    yield build_guarded_query("SELECT 1 AS id, 'x' AS dt", keys)
    columns: Columns = (("id", "int"), ("x", "double"))
    yield build_coerced_query("SELECT 0.5e0 AS x, 1 AS id -- the order is the table's", columns)
    yield build_coerced_query("SELECT 1 AS id", columns)
    yield build_coerced_query("SELECT 1 AS id, 2e0 AS x, 3 AS more", columns)
    yield build_coerced_query("SELECT 1 AS id, 9007199254740993 AS x", columns)
    yield build_coerced_query("SELECT 1 AS id, 9007199254740992 AS x", columns)
    yield build_coerced_query("SELECT 1 AS id, DECIMAL '1.5' AS x", columns)
    yield build_coerced_query("SELECT 'a' AS id, 1e0 AS x", columns)
    yield build_coerced_query("SELECT BIGINT '1' AS id, 1e0 AS x", columns)
    texts: Columns = (("a", "string"), ("b", "varchar(3)"))
    for value in ("'plain'", "'with | in it'", "'line' || chr(10)", r"'\N'", "''", "NULL"):
        guarded = f"SELECT CAST({value} AS varchar) AS a, CAST('b' AS varchar(3)) AS b"
        yield build_text_guard(guarded, texts, (), field_delimiter="|")
    yield build_description_query("SELECT 1 AS id, ARRAY['a'] AS tags -- and no rows")
    yield render_check("SELECT count(*) > 1 FROM {staged}", TableName(_DATABASE, "e_parquet_default"))


def _unloads() -> Iterator[str]:
    for file_format, compressions in _COMPRESSIONS.items():
        text = file_format is FileFormat.TEXTFILE
        for compression in compressions:
            label = f"unload_{file_format.value}_{compression or 'default'}".lower()
            place = S3Uri(_BUCKET, f"emitted/{label}/")
            yield build_unload(
                _PLAIN_ROWS if text else _NESTED_ROWS, Encoding(file_format, compression), location=place
            )
        label = f"unload_{file_format.value}_keys".lower()
        rows = "SELECT 1 AS id, VARCHAR 'a' AS k UNION ALL SELECT 2, 'b'"
        place = S3Uri(_BUCKET, f"emitted/{label}/")
        yield build_unload(rows, Encoding(file_format), location=place, partitioned_by=("k",))
