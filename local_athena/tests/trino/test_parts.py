"""The parts of the real engine that need no server: values, names, settings, what is missing and where."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from local_athena.data.data_files import Layout
from local_athena.data.file_formats import FileFormat, choose_encoding
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Column
from local_athena.data.type_parser import parse_trino
from local_athena.engine import Write
from local_athena.errors import QueryFailed
from local_athena.trino import configuration, release
from local_athena.trino.client import TrinoClient
from local_athena.trino.errors import translate
from local_athena.trino.java import Java, find_java, read_java
from local_athena.trino.tables import codec, scratch_ctas, scratch_name, scratch_table
from local_athena.trino.values import build_column


@pytest.mark.parametrize(
    ("kind", "sent", "value"),
    [
        ("bigint", 9223372036854775807, 9223372036854775807),
        ("double", "NaN", None),
        ("double", "-Infinity", float("-inf")),
        (
            "decimal(38,2)",
            "123456789012345678901234567890123456.10",
            Decimal("123456789012345678901234567890123456.10"),
        ),
        ("varbinary", "AP8=", b"\x00\xff"),
        ("date", "2026-02-28", dt.date(2026, 2, 28)),
        ("timestamp(0)", "2026-01-02 03:04:05", dt.datetime(2026, 1, 2, 3, 4, 5)),
        ("timestamp(3)", "1969-12-31 23:59:59.999", dt.datetime(1969, 12, 31, 23, 59, 59, 999000)),
        ("timestamp(6)", "2026-01-02 03:04:05.000001", dt.datetime(2026, 1, 2, 3, 4, 5, 1)),
        (
            "timestamp(3) with time zone",
            "2026-07-02 03:04:05.000 Europe/Vienna",
            {"t": dt.datetime(2026, 7, 2, 1, 4, 5), "z": "Europe/Vienna"},
        ),
        (
            "timestamp(3) with time zone",
            "2026-01-02 03:04:05.000 -05:30",
            {"t": dt.datetime(2026, 1, 2, 8, 34, 5), "z": "-05:30"},
        ),
        ("time(3)", "01:02:03.500", dt.time(1, 2, 3, 500000)),
        ("interval day to second", "-1 02:00:00.001", -(86_400_000 + 7_200_001)),
        ("interval year to month", "-1-2", -14),
        ("array(integer)", [1, None], [1, None]),
        ("map(integer, varchar)", {"1": "a", "2": None}, [(1, "a"), (2, None)]),
        ("map(boolean, boolean)", {"true": False}, [(True, False)]),
        ("map(double, date)", {"1.5": "2026-01-01"}, [(1.5, dt.date(2026, 1, 1))]),
        ("row(a integer, b array(decimal(3,1)))", [1, ["1.5"]], {"a": 1, "b": [Decimal("1.5")]}),
        ("row(integer, varchar)", [1, None], {"field0": 1, "field1": None}),
        ("varchar", None, None),
    ],
)
def test_values_sent_as_json_are_what_they_stand_for(kind: str, sent: Any, value: Any) -> None:
    found = build_column([sent, None], parse_trino(kind)).to_pylist()
    assert found[1] is None
    if sent == "NaN":
        assert found[0] != found[0]
    else:
        assert found[0] == value


def test_nanoseconds_are_kept() -> None:
    column = build_column(["2026-01-02 03:04:05.123456789"], parse_trino("timestamp(9)"))
    assert column.cast(pa.int64()).to_pylist() == [1767323045123456789]


@pytest.mark.parametrize("kind", ["map(row(a integer), integer)", "map(array(integer), integer)"])
def test_keys_that_json_cannot_carry_are_refused(kind: str) -> None:
    with pytest.raises(QueryFailed, match="NOT_SUPPORTED"):
        build_column([{}], parse_trino(kind))


@pytest.mark.parametrize(
    ("name", "kind", "message", "reason", "category"),
    [
        ("SYNTAX_ERROR", "USER_ERROR", "line 1:8: mismatched input", "line 1:8: mismatched input", 2),
        ("DIVISION_BY_ZERO", "USER_ERROR", "Division by zero", "DIVISION_BY_ZERO: Division by zero", 2),
        (
            "COLUMN_NOT_FOUND",
            "USER_ERROR",
            "line 1:8: Column 'x' cannot be resolved",
            "COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved or requester is not authorized to "
            "access requested resources",
            2,
        ),
        ("HIVE_BAD_DATA", "EXTERNAL", "torn", "HIVE_BAD_DATA: torn", 2),
        ("EXCEEDED_LOCAL_MEMORY_LIMIT", "INSUFFICIENT_RESOURCES", "m", "EXCEEDED_LOCAL_MEMORY_LIMIT: m", 1),
        ("GENERIC_INTERNAL_ERROR", "INTERNAL_ERROR", "oops", "GENERIC_INTERNAL_ERROR: oops", 1),
    ],
)
def test_errors_are_told_as_athena_tells_them(
    name: str, kind: str, message: str, reason: str, category: int
) -> None:
    failure = translate(name, kind, message)
    assert (failure.reason, failure.category) == (reason, category)


def _write(layout: Layout, file_format: FileFormat = FileFormat.ORC, **serde: str) -> Write:
    columns = (Column('a"b', "integer"), Column("k", "varchar"))
    encoding = choose_encoding(
        file_format, None, serde_parameters={n.replace("_", "."): v for n, v in serde.items()}
    )
    return Write("SELECT 1", columns, S3Uri("lake", "it's/"), layout, encoding)


def test_a_ctas_is_told_to_trino_in_its_own_properties() -> None:
    name = scratch_name("0a-1b")
    assert name == "scratch.athena.q_0a_1b"
    assert scratch_ctas(name, _write(Layout(("k",), ("a",), 4))) == (
        "CREATE TABLE scratch.athena.q_0a_1b WITH (format = 'ORC', external_location = 's3://lake/it''s/', "
        "partitioned_by = ARRAY['k'], bucketed_by = ARRAY['a'], bucket_count = 4) AS SELECT 1"
    )
    assert scratch_table(name, _write(Layout(), FileFormat.TEXTFILE, field_delim="'")) == (
        'CREATE TABLE scratch.athena.q_0a_1b ("a""b" integer, "k" varchar) WITH (format = \'TEXTFILE\', '
        "external_location = 's3://lake/it''s/', textfile_field_separator = '''')"
    )


def test_orcs_zlib_is_trinos_gzip_and_bzip2_is_refused() -> None:
    assert codec(choose_encoding(FileFormat.ORC, "ZLIB")) == "GZIP"
    with pytest.raises(QueryFailed, match="BZIP2"):
        codec(choose_encoding(FileFormat.JSON, "BZIP2"))


def _java(folder: Path, version: str, modules: str = "java.base") -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch()
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return folder


def test_a_java_is_taken_for_what_its_release_file_says(tmp_path: Path) -> None:
    home = _java(tmp_path / "jdk", "25.0.3", "java.base jdk.incubator.vector")
    assert read_java(home) == Java(home, 25, frozenset({"java.base", "jdk.incubator.vector"}))
    assert read_java(tmp_path) is None


def test_java_home_comes_first_unless_it_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = _java(tmp_path / "old", "17.0.1"), _java(tmp_path / "new", "24")
    monkeypatch.setattr("local_athena.trino.java._INSTALLED", (str(tmp_path / "n*"),))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", str(old))
    found = find_java(24)
    assert found is not None
    assert found.home == new
    monkeypatch.setenv("JAVA_HOME", str(new))
    monkeypatch.setattr("local_athena.trino.java._INSTALLED", ())
    found = find_java(24)
    assert found is not None
    assert found.home == new


def test_a_java_without_vectors_is_not_asked_for_them(tmp_path: Path) -> None:
    setting = configuration.Setting(tmp_path, 1, "http://127.0.0.1:2")
    without = configuration.command(setting, Java(tmp_path, 25, frozenset()), tmp_path)
    with_them = configuration.command(
        setting, Java(tmp_path, 25, frozenset({"jdk.incubator.vector"})), tmp_path
    )
    assert set(with_them) - set(without) == {"--add-modules=jdk.incubator.vector"}


def test_the_servers_heap_stays_below_four_gibibytes_and_its_port_on_loopback(tmp_path: Path) -> None:
    setting = configuration.Setting(tmp_path, 1234, "http://127.0.0.1:2")
    command = configuration.command(setting, Java(tmp_path, 25, frozenset()), tmp_path)
    assert "-Dnode.bind-ip=127.0.0.1" in command
    (heap,) = [int(part[4:-1]) for part in command if part.startswith("-Xmx")]
    assert heap <= 4096
    configuration.write_files(setting)
    written = (tmp_path / "catalog" / "awsdatacatalog.properties").read_text().splitlines()
    assert "hive.max-partitions-per-writers=100" in written
    assert "hive.metastore.glue.endpoint-url=http://127.0.0.1:2" in written


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_athena.trino.java._homes", lambda: iter(()))
    assert "no Java 24 or newer" in str(release.missing())
    home = _java(tmp_path / "jdk", "25")
    monkeypatch.setattr("local_athena.trino.java._homes", lambda: iter((home,)))
    monkeypatch.setenv("QUILT_ATHENA_TRINO", str(tmp_path / "trino"))
    monkeypatch.setenv("PATH", "")
    assert "no Maven" in str(release.missing())
    with pytest.raises(release.ReleaseError, match="make trino"):
        release.server_folder()
    with pytest.raises(release.ReleaseError, match="Maven"):
        release.fetch(release.home())
    (tmp_path / "trino" / f"trino-{release.VERSION}").mkdir(parents=True)
    assert release.missing() is None


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://"])
def test_a_url_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        TrinoClient(url)
