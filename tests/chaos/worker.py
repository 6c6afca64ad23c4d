"""A worker: carries out what it draws, and writes down what it begins and what became of it."""

from __future__ import annotations

import json
import logging
import random
import time
from dataclasses import asdict
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.flows.aws import deadline
from airflow_quilt_athena.flows.overwrite import lease
from tests.chaos.tables import TABLES, Order
from tests.faults.lake import Lake

_LEASE_SECONDS, _CALL_SECONDS = 8.0, 2.5  # those of the flows would let one kill stop a table for a minute
_RUNS_AGAIN = 0.6  # how often the task that was lost is run again, as Airflow would


def work(lakes: dict[str, Lake], record: Path, seed: int, stop: Event) -> None:
    """Work until told to stop, or killed."""
    logging.disable(logging.CRITICAL)
    shorten_leases(_LEASE_SECONDS, _CALL_SECONDS)
    chance = random.Random(seed)
    clients = {name: lake.new_clients() for name, lake in lakes.items()}
    lost = _lost(record)
    with record.open("a") as file:
        _note(file, {"started": time.monotonic()})  # whoever was there before is dead by now
        if lost is not None and chance.random() < _RUNS_AGAIN:
            _carry_out(lost, lakes, clients, file)
        while not stop.is_set():
            name = chance.choice(sorted(TABLES))
            order = TABLES[name].draw(chance, f"r{chance.randrange(2**40):010x}")
            _carry_out(order, lakes, clients, file)


def _carry_out(order: Order, lakes: dict[str, Lake], clients: dict[str, Any], file: Any) -> None:
    _note(file, {"begun": time.monotonic(), "order": asdict(order)})
    try:
        order.carry_out(lakes[order.table], clients[order.table])
    except QuiltAthenaError as error:
        outcome = f"{type(error).__name__}: {error}"
    except Exception as error:  # the judge counts it as a mistake, and the worker goes on
        outcome = f"NOT OURS: {type(error).__name__}: {error}"
    else:
        outcome = ""
    _note(file, {"ended": time.monotonic(), "error": outcome})


def _note(file: Any, document: dict[str, Any]) -> None:
    file.write(json.dumps(document) + "\n")
    file.flush()


def _lost(record: Path) -> Order | None:
    """Return what the worker before was at when it was killed."""
    lines = record.read_text().splitlines() if record.exists() else []
    written = [json.loads(line) for line in lines if line.endswith("}")]
    last: dict[str, Any] = next((one for one in reversed(written) if "started" not in one), {})
    return read_order(last["order"]) if "order" in last else None


def read_order(document: dict[str, Any]) -> Order:
    """Read an order from a record."""
    return Order(**{**document, "written": tuple(map(tuple, document["written"]))})


def shorten_leases(seconds: float, call_seconds: float) -> None:
    """Let leases expire sooner, in this process."""
    defaults = lease.Lease.__init__.__kwdefaults__
    assert defaults is not None
    defaults["seconds"] = seconds
    lease.LEASE_SECONDS = seconds
    lease.CALL_SECONDS = call_seconds
    deadline._LONGEST_PAUSE_SECONDS = 1.0
