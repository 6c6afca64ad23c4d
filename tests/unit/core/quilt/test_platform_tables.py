"""What reading manifests by a platform's own table loses, told before views are made on it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.glue.tables import Table, parse_table
from airflow_quilt_athena.core.quilt.platform_tables import losses_of

OPENX = "org.openx.data.jsonserde.JsonSerDe"
CAREFUL = {"case.insensitive": "false", "ignore.malformed.json": "true"}


def manifests(
    serde: str | None = OPENX, size: str = "string", properties: dict[str, Any] = CAREFUL, **parameters: str
) -> Table:
    return parse_table(
        {
            "DatabaseName": "lake",
            "Name": "acme_manifests",
            "Parameters": {name.replace("__", "."): value for name, value in parameters.items()},
            "StorageDescriptor": {
                "Columns": [{"Name": "logical_key", "Type": "string"}, {"Name": "size", "Type": size}],
                "SerdeInfo": {"SerializationLibrary": serde, "Parameters": properties},
            },
        }
    )


def test_a_table_like_ours_loses_nothing() -> None:
    assert losses_of(manifests()) == ()
    assert losses_of(manifests(skip__header__line__count="0")) == ()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (manifests(None), "its SerDe is none, and what that makes of a manifest is not known"),
        (manifests("org.apache.hive.hcatalog.data.JsonSerDe"), f"is not known; expected {OPENX}"),
        (manifests(properties={"ignore.malformed.json": "true"}), "keys of metadata are lower-cased"),
        (manifests(properties={"case.insensitive": "FALSE"}), "one torn line fails every query"),
        (manifests(size="bigint"), "sizes that are written as 10.0, 5e12 or text may be lost"),
        (manifests(skip__header__line__count="1"), "headers are skipped"),
    ],
)
def test_what_is_lost_is_told_in_a_line(table: Table, words: str) -> None:
    (line,) = losses_of(table)
    assert words in line


def test_each_loss_has_its_line() -> None:
    assert len(losses_of(manifests(size="double", properties={}, skip__header__line__count="1"))) == 4
