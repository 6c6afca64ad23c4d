"""Notes which events of QuiltPackageTrigger are stored, in the transaction that stores them (Airflow 3.3).

A triggerer that dies between storing an event and telling its trigger so leaves the next one in doubt.
Airflow calls its listeners of asset events inside that transaction, in the triggerer's own process. What is
written there to the asset's state store is there if and only if the event is, and takes the doubt away.

Where anything of that is otherwise, nothing is noted, and the doubt remains: such an event is told again, and
marked.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from airflow_quilt_athena.triggers.stored_events import STORED_PREFIX, event_id_of

log = logging.getLogger(__name__)


class StoredEvents:
    """The listener."""

    @hookimpl
    def on_asset_event_emitted(self, asset_event: Any) -> None:
        """Note that an event is stored, if it is one of ours."""
        identity = event_id_of(asset_event.extra)
        if identity is None:
            return
        try:
            _note(identity)
        except Exception:  # telling that it is stored must not undo that it is stored
            log.exception("Event %s could not be noted as stored; it may be told a second time.", identity)


def _note(identity: str) -> None:
    from airflow import settings
    from airflow.state import AssetScope, get_state_backend

    if settings.Session is None:
        return
    session = settings.Session()  # this thread's: the one that is storing the event, or the next line says no
    stored = [one for one in session.identity_map.values() if type(one).__name__ == "AssetEvent"]
    asset_ids = {one.asset_id for one in stored if event_id_of(one.extra) == identity}
    for asset_id in asset_ids:
        scope = AssetScope(asset_id=asset_id)
        get_state_backend().set(scope, f"{STORED_PREFIX}{identity}", json.dumps(True), session=session)


class QuiltPackageEventsPlugin(AirflowPlugin):
    """What the triggerer loads."""

    name = "quilt_package_events"
    listeners = [StoredEvents()]  # noqa: RUF012 - as Airflow declares it
