"""The names by which a plugin notes, and a trigger finds, that an event is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of keys in an asset's state store; the event's id follows.
STORED_PREFIX = "quilt_athena.stored."


def event_id_of(extra: Any) -> str | None:
    """Return the id of an event of QuiltPackageTrigger, by what Airflow stores of it; None for any other."""
    payload = extra.get("payload") if isinstance(extra, Mapping) and extra.get("from_trigger") else None
    if not isinstance(payload, Mapping) or not {"id", "registry", "redelivered"} <= payload.keys():
        return None
    return str(payload["id"])
