"""What an overwrite tells of what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.athena.prices import estimate_dollars
from airflow_quilt_athena.core.overwrite.journal_entry import Change
from airflow_quilt_athena.core.overwrite.summary import summarize_changes, summarize_queries


@dataclass(frozen=True, slots=True)
class OverwriteResult:
    """What an overwrite did. ``outcome`` is ``published``, or ``skipped`` for an empty result told to be."""

    query_execution_ids: tuple[str, ...]
    outcome: str
    rows: int
    bytes_scanned: int
    table: str
    keys: tuple[str, ...]
    changes: tuple[Change, ...]
    journal_entry: str

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, for an XCom or an asset event; of many partitions the first ones."""
        return {
            "query_execution_ids": summarize_queries(self.query_execution_ids),
            "state": "SUCCEEDED",
            "outcome": self.outcome,
            "rows": self.rows,
            "bytes_scanned": self.bytes_scanned,
            "estimated_cost_usd": estimate_dollars(self.bytes_scanned),
            "table": self.table,
            **summarize_changes(self.keys, self.changes),
            "journal_entry": self.journal_entry,
        }
