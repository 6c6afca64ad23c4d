"""The formats that are written, by their names."""

from __future__ import annotations

from enum import Enum


class FileFormat(Enum):
    """The formats that a CTAS writes and that we read back, by their names in a CTAS."""

    PARQUET = "PARQUET"
    ORC = "ORC"
    JSON = "JSON"
    TEXTFILE = "TEXTFILE"
