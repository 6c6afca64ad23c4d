"""The calls of AWS that the flows make, as protocols: boto3's clients fit them, and so does a small fake."""

from __future__ import annotations

from typing import Any, Protocol


class AthenaClient(Protocol):
    """What waiting and querying ask of ``boto3.client("athena")``."""

    meta: Any

    def start_query_execution(self, **request: Any) -> dict[str, Any]:
        """Start a query."""
        ...

    def stop_query_execution(self, **request: Any) -> dict[str, Any]:
        """Stop a query."""
        ...

    def get_query_execution(self, **request: Any) -> dict[str, Any]:
        """Tell of one query."""
        ...

    def batch_get_query_execution(self, **request: Any) -> dict[str, Any]:
        """Tell of up to 50 queries."""
        ...

    def get_query_results(self, **request: Any) -> dict[str, Any]:
        """Return a page of a query's rows."""
        ...

    def get_work_group(self, **request: Any) -> dict[str, Any]:
        """Tell of one workgroup."""
        ...


class GlueClient(Protocol):
    """What the overwrite asks of ``boto3.client("glue")``."""

    def get_database(self, **request: Any) -> dict[str, Any]:
        """Return a database."""
        ...

    def get_table(self, **request: Any) -> dict[str, Any]:
        """Return a table."""
        ...

    def create_table(self, **request: Any) -> dict[str, Any]:
        """Create a table."""
        ...

    def update_table(self, **request: Any) -> dict[str, Any]:
        """Replace a table's definition."""
        ...

    def delete_table(self, **request: Any) -> dict[str, Any]:
        """Delete a table's definition; its files stay."""
        ...

    def get_partitions(self, **request: Any) -> dict[str, Any]:
        """Return a page of partitions."""
        ...

    def get_partition(self, **request: Any) -> dict[str, Any]:
        """Return a partition."""
        ...

    def create_partition(self, **request: Any) -> dict[str, Any]:
        """Create a partition."""
        ...

    def update_partition(self, **request: Any) -> dict[str, Any]:
        """Replace a partition's definition."""
        ...
