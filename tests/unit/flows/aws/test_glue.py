"""Tables in Glue while others change them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_quilt_athena.core.glue.tables import parse_table
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.glue import record_base, update_table
from tests.unit.athena_fake import client_error
from tests.unit.lake_examples import glue_table, table


class Tables:
    """One table that others change at each look, or drop."""

    def __init__(self, look: Callable[[], dict[str, Any] | None]) -> None:
        self.look = look
        self.updates: list[dict[str, Any]] = []

    def get_table(self, **_: Any) -> dict[str, Any]:
        found = self.look()
        if found is None:
            raise client_error("EntityNotFoundException")
        return {"Table": found}

    def update_table(self, **request: Any) -> dict[str, Any]:
        self.updates.append(request)
        raise client_error("ConcurrentModificationException")


def test_a_table_that_vanishes_while_it_is_written_to_is_told_of() -> None:
    glue: Any = Tables(lambda: None)
    with pytest.raises(RetryableError, match=r"Table sales\.orders vanished while it was being written to"):
        record_base(glue, table())


def test_a_table_that_others_change_without_pause_is_tried_five_times() -> None:
    glue: Any = Tables(glue_table)
    with pytest.raises(RetryableError, match="being changed by others without pause"):
        record_base(glue, table())
    assert len(glue.updates) == 5


def test_what_was_read_without_a_version_is_changed_without_one() -> None:
    glue: Any = Tables(glue_table)
    raw = glue_table()
    del raw["VersionId"]
    assert not update_table(glue, parse_table(raw), {"Name": "orders"})
    assert not update_table(glue, table(), {"Name": "orders"})
    assert ["VersionId" in request for request in glue.updates] == [False, True]
    assert glue.updates[1]["VersionId"] == "3"
