"""That an event is stored is noted in the transaction that stores it, by a real Airflow of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_quilt_athena.triggers.stored_events import event_id_of
from tests.airflow_versions import needs_airflow

PAYLOAD = {"id": "abc", "registry": "s3://acme", "redelivered": False}

PROGRAM = """
import json, sys
from airflow.utils.db import initdb
initdb()
from airflow.assets.manager import AssetManager
from airflow.models.asset import AssetActive, AssetEvent, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.utils.session import create_session
from sqlalchemy import select

def store(extra, fail=False):
    try:
        with create_session() as session:
            asset = session.scalar(select(AssetModel))
            AssetManager.register_asset_change(asset=asset, extra=extra, session=session)
            if fail:
                raise RuntimeError
    except RuntimeError:
        pass
    with create_session() as session:
        keys = list(session.scalars(select(AssetStateStoreModel.key)))
        return [len(list(session.scalars(select(AssetEvent)))), keys]

with create_session() as session:
    asset = AssetModel(name="revisions", uri="x://revisions", group="asset")
    session.add(asset)
    session.flush()
    session.add(AssetActive.for_asset(asset))
payload = json.loads(sys.argv[1])
ours = {"from_trigger": True, "payload": payload}
other = {"from_trigger": True, "payload": 1}
print(json.dumps([store(ours, fail=True), store(other), store(ours), store(ours)]))
"""


@needs_airflow("3.3", "the asset state store")
def test_what_is_stored_is_noted_and_what_is_not_is_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, json.dumps(PAYLOAD)],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=240,
    )
    noted = ["quilt_athena.stored.abc"]
    assert json.loads(done.stdout.splitlines()[-1]) == [[0, []], [1, []], [2, noted], [3, noted]]


@pytest.mark.parametrize("payload", [None, 1, [1], {"id": 1}])
def test_other_events_are_none_of_ours(payload: object) -> None:
    assert event_id_of({"from_trigger": True, "payload": payload}) is None
    assert event_id_of({"payload": PAYLOAD}) is None
    assert event_id_of(None) is None
