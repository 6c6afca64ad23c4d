"""Runs dbt by its own programmatic face, in .venv-dbt; DBT_* variables say where project and profile are."""

from __future__ import annotations

from typing import Any

from dbt.cli.main import dbtRunner


def invoke(arguments: list[str]) -> dict[str, Any]:
    """One dbt command: whether it went well, and what it says of each node."""
    done = dbtRunner().invoke(arguments)
    if done.exception is not None:
        raise done.exception
    nodes = getattr(done.result, "results", None) or []
    return {"success": done.success, "nodes": {each.node.name: _node(each) for each in nodes}}


def documented(arguments: list[str]) -> dict[str, Any]:
    """What ``dbt docs generate`` puts into its catalog: columns by relation."""
    catalog = dbtRunner().invoke(arguments).result
    entries = [*catalog.nodes.values(), *catalog.sources.values()]
    return {
        each.metadata.name: {
            "type": each.metadata.type,
            "comment": each.metadata.comment,
            "columns": {name: [column.type, column.comment] for name, column in each.columns.items()},
        }
        for each in entries
    }


def _node(result: Any) -> dict[str, Any]:
    table = result.agate_table
    return {
        "status": str(result.status),
        "message": result.message,
        "failures": result.failures,
        "response": dict(result.adapter_response or {}),
        "rows": [list(row) for row in table.rows] if table is not None else None,
    }
