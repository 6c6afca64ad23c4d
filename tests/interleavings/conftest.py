"""Marks the cases whose promise is not kept yet: each must fail, so that none stays here when it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

_NOT_KEPT_YET = Path(__file__).with_name("not_kept_yet.txt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = {line for line in _NOT_KEPT_YET.read_text().splitlines() if line and not line.startswith("#")}
    for item in items:
        if item.path.parent == _NOT_KEPT_YET.parent and item.name in names:
            item.add_marker(pytest.mark.xfail(reason="a promise that is not kept yet", strict=True))
