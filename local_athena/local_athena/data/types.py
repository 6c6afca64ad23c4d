"""A data type, and its name in each of four systems: Hive, Trino, Arrow and DuckDB."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

TIMESTAMP_TZ = "timestamp with time zone"
DAY_TO_SECOND = "interval day to second"
YEAR_TO_MONTH = "interval year to month"


class UnknownTypeError(ValueError):
    """A type that cannot be named in the language asked for."""


@dataclass(frozen=True, slots=True)
class DataType:
    """A Trino type.

    ``name`` is Trino's base name (``integer``, ``varchar``, ``timestamp``, ``row``, …), ``parameters`` its
    numbers (precision and scale, length, fraction digits), ``children`` the types inside, ``field_names`` a
    row's names.
    """

    name: str
    parameters: tuple[int, ...] = ()
    children: tuple[DataType, ...] = ()
    field_names: tuple[str | None, ...] = ()

    @property
    def trino(self) -> str:
        """The type as Trino and Athena write it."""
        return _trino(self)

    @property
    def hive(self) -> str:
        """The type as Glue keeps it; UnknownTypeError when Hive has none."""
        return _hive(self)

    @property
    def duckdb(self) -> str:
        """The DuckDB type that holds such values here."""
        return _duckdb(self)

    def arrow(self) -> Any:
        """Return the pyarrow type that holds such values here."""
        return _arrow(self)

    @property
    def fields(self) -> tuple[tuple[str, DataType], ...]:
        """A row's fields; those without a name are called field0, field1, … as Athena prints them."""
        return tuple(zip(field_labels(self), self.children, strict=True))


def field_labels(data_type: DataType) -> tuple[str, ...]:
    """Name a row's fields, the nameless as Athena does."""
    return tuple(name or f"field{index}" for index, name in enumerate(data_type.field_names))


BOOLEAN = DataType("boolean")
TINYINT = DataType("tinyint")
SMALLINT = DataType("smallint")
INTEGER = DataType("integer")
BIGINT = DataType("bigint")
REAL = DataType("real")
DOUBLE = DataType("double")
VARCHAR = DataType("varchar")
VARBINARY = DataType("varbinary")
DATE = DataType("date")
TIME = DataType("time", (3,))
TIMESTAMP = DataType("timestamp", (3,))
TIMESTAMP_WITH_TZ = DataType(TIMESTAMP_TZ, (3,))
JSON = DataType("json")
UNKNOWN = DataType("unknown")
INTERVAL_DAY = DataType(DAY_TO_SECOND)
INTERVAL_MONTH = DataType(YEAR_TO_MONTH)


def decimal(precision: int, scale: int) -> DataType:
    """Make a decimal of that precision and scale."""
    return DataType("decimal", (precision, scale))


def varchar(length: int | None) -> DataType:
    """Make a varchar of at most ``length`` characters; None is no limit."""
    return VARCHAR if length is None else DataType("varchar", (length,))


def array(element: DataType) -> DataType:
    """Make an array of one type."""
    return DataType("array", (), (element,))


def map_of(key: DataType, value: DataType) -> DataType:
    """Make a map type."""
    return DataType("map", (), (key, value))


def row(*fields: tuple[str | None, DataType]) -> DataType:
    """Make a row type; fields may have no name."""
    return DataType("row", (), tuple(kind for _, kind in fields), tuple(name for name, _ in fields))


_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")
_NUMBERED = {"decimal", "varchar", "char", "time", "timestamp"}


def _trino(kind: DataType) -> str:
    numbers = ",".join(map(str, kind.parameters))
    if kind.name in (TIMESTAMP_TZ, "time with time zone"):
        return f"{kind.name.split()[0]}({numbers}) with time zone"
    if kind.name == "row":
        fields = zip(kind.field_names, kind.children, strict=True)
        return f"row({', '.join(_trino_field(name, child) for name, child in fields)})"
    if kind.children:
        return f"{kind.name}({', '.join(child.trino for child in kind.children)})"
    return f"{kind.name}({numbers})" if numbers else kind.name


def _trino_field(name: str | None, child: DataType) -> str:
    if name is None:
        return child.trino
    shown = name if _PLAIN_NAME.match(name) else '"' + name.replace('"', '""') + '"'
    return f"{shown} {child.trino}"


_HIVE_NAMES = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "real": "float",
    "double": "double",
    "varbinary": "binary",
    "date": "date",
    "timestamp": "timestamp",
}


def _hive(kind: DataType) -> str:
    if kind.name == "array":
        return f"array<{kind.children[0].hive}>"
    if kind.name == "map":
        return f"map<{kind.children[0].hive},{kind.children[1].hive}>"
    if kind.name == "row":
        return f"struct<{','.join(f'{name}:{child.hive}' for name, child in kind.fields)}>"
    if kind.name == "varchar" and not kind.parameters:
        return "string"
    if kind == _EMPTY_TEXT:
        return "varchar(1)"  # HiveMetadata does so, Hive having no shorter one
    if kind.name in ("decimal", "varchar", "char"):
        _refuse_long(kind)
        return f"{kind.name}({','.join(map(str, kind.parameters))})"
    found = _HIVE_NAMES.get(kind.name)
    if found is None:
        raise UnknownTypeError(f"Unsupported Hive type: {kind.trino}")
    return found


# Hive's longest, HiveVarchar.MAX_VARCHAR_LENGTH and HiveChar.MAX_CHAR_LENGTH, in Trino's words.
_EMPTY_TEXT = DataType("varchar", (0,))
_LONGEST = {"varchar": (65535, ", VARCHAR"), "char": (255, "")}


def _refuse_long(kind: DataType) -> None:
    longest, others = _LONGEST.get(kind.name, (None, ""))
    if longest is not None and kind.parameters[0] > longest:
        name = kind.name.upper()
        raise UnknownTypeError(
            f"Unsupported Hive type: {kind.trino}. Supported {name} types: {name}(<={longest}){others}"
        )


_DUCKDB_NAMES = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "json": "VARCHAR",
    "uuid": "VARCHAR",
    "ipaddress": "VARCHAR",
    "varbinary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    # The instant in UTC and the zone it is told in: DuckDB's own type forgets the zone.
    TIMESTAMP_TZ: "STRUCT(t TIMESTAMP, z VARCHAR)",
    "unknown": "INTEGER",
    DAY_TO_SECOND: "BIGINT",  # milliseconds, as Trino keeps them
    YEAR_TO_MONTH: "BIGINT",  # months
}


def _duckdb(kind: DataType) -> str:
    if kind.name == "array":
        return f"{kind.children[0].duckdb}[]"
    if kind.name == "map":
        return f"MAP({kind.children[0].duckdb}, {kind.children[1].duckdb})"
    if kind.name == "row":
        fields = (f'"{name.replace(chr(34), chr(34) * 2)}" {child.duckdb}' for name, child in kind.fields)
        return f"STRUCT({', '.join(fields)})"
    if kind.name == "decimal":
        return f"DECIMAL({kind.parameters[0]},{kind.parameters[1]})"
    if kind.name == "timestamp":
        return "TIMESTAMP_NS" if kind.parameters[0] > 6 else "TIMESTAMP"
    found = _DUCKDB_NAMES.get(kind.name)
    if found is None:
        raise UnknownTypeError(f"Unsupported type: {kind.trino}")
    return found


def _arrow(kind: DataType) -> Any:
    import pyarrow as pa

    if kind.name == "array":
        return pa.list_(kind.children[0].arrow())
    if kind.name == "map":
        return pa.map_(kind.children[0].arrow(), kind.children[1].arrow())
    if kind.name == "row":
        return pa.struct([pa.field(name, child.arrow()) for name, child in kind.fields])
    if kind.name == "decimal":
        return pa.decimal128(*kind.parameters)
    if kind.name == "timestamp":
        return pa.timestamp("ns" if kind.parameters[0] > 6 else "us")
    if kind.name == TIMESTAMP_TZ:
        return pa.struct([pa.field("t", pa.timestamp("us")), pa.field("z", pa.string())])
    makers = {
        "boolean": pa.bool_,
        "tinyint": pa.int8,
        "smallint": pa.int16,
        "integer": pa.int32,
        "unknown": pa.int32,
        "bigint": pa.int64,
        DAY_TO_SECOND: pa.int64,
        YEAR_TO_MONTH: pa.int64,
        "real": pa.float32,
        "double": pa.float64,
        "varbinary": pa.binary,
        "date": pa.date32,
        "time": lambda: pa.time64("us"),
    }
    maker = makers.get(kind.name, pa.string if _DUCKDB_NAMES.get(kind.name) == "VARCHAR" else None)
    if maker is None:
        raise UnknownTypeError(f"Unsupported type: {kind.trino}")
    return maker()
