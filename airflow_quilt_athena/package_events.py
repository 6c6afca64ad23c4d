"""What the asset events of a run tell of packages: for tasks that run when QuiltPackageTrigger has fired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def new_revisions(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the payloads of QuiltPackageTrigger that this run is for, each revision once, the oldest first.

    One run may carry many events. An event that is told again because the triggerer died before it knew that
    the first was stored is left out when there is a first: then the list may be empty, and nothing is to do.

    :param context: the task's.
    """
    found: dict[str, dict[str, Any]] = {}
    for asset, events in context["triggering_asset_events"].items():
        for event in events:
            payload = _payload(event)
            if payload is not None and not (
                payload.get("redelivered") and _told_before(context, asset, payload["id"], event)
            ):
                found.setdefault(payload["id"], payload)
    return sorted(found.values(), key=lambda payload: (payload["arrived_at"] or "", payload["time"] or ""))


def _payload(event: Any) -> dict[str, Any] | None:
    extra = event.extra or {}
    payload = extra.get("payload") if isinstance(extra, Mapping) else None
    return dict(payload) if isinstance(payload, Mapping) and "id" in payload else None


def _told_before(context: Mapping[str, Any], asset: Any, identity: str, event: Any) -> bool:
    """Whether an earlier event of the asset told the same."""
    # The accessor that Airflow gives a task holds the task's inlets alone; this asset need not be one.
    events: Iterable[Any] = type(context["inlet_events"])([asset])[asset]
    return any(
        (payload := _payload(other)) is not None
        and payload["id"] == identity
        and other.timestamp < event.timestamp
        for other in events
    )
