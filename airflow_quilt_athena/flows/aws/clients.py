"""The calls of AWS that the flows make, as protocols: boto3's clients fit them, and so does a small fake.

Requests are keyword arguments. ``*_: Any`` beside them tells type checkers that any signature fits: boto3's
are made at run time, and a fake names those that it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class AthenaClient(Protocol):
    """What waiting and querying ask of ``boto3.client("athena")``."""

    meta: Any

    def start_query_execution(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Start a query."""
        ...

    def stop_query_execution(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Stop a query."""
        ...

    def get_query_execution(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Tell of one query."""
        ...

    def batch_get_query_execution(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Tell of up to 50 queries."""
        ...

    def get_query_results(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a page of a query's rows."""
        ...

    def get_work_group(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Tell of one workgroup."""
        ...


class GlueClient(Protocol):
    """What the overwrite asks of ``boto3.client("glue")``."""

    def get_database(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a database."""
        ...

    def get_databases(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a page of databases."""
        ...

    def get_table(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a table."""
        ...

    def create_table(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Create a table."""
        ...

    def update_table(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Replace a table's definition."""
        ...

    def delete_table(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Delete a table's definition; its files stay."""
        ...

    def get_partitions(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a page of partitions."""
        ...

    def get_partition(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a partition."""
        ...

    def create_partition(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Create a partition."""
        ...

    def update_partition(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Replace a partition's definition."""
        ...

    def get_tables(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a page of tables."""
        ...

    def batch_get_partition(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return up to 1,000 partitions."""
        ...

    def batch_create_partition(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Create up to 100 partitions, one by one."""
        ...

    def batch_update_partition(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Replace the definitions of up to 100 partitions, one by one."""
        ...

    def batch_delete_partition(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Delete up to 25 partitions, one by one; their files stay."""
        ...


class S3Client(Protocol):
    """What the journal and the clean-up ask of ``boto3.client("s3")``."""

    def put_object(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Write an object."""
        ...

    def get_object(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Read an object."""
        ...

    def delete_object(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Delete an object."""
        ...

    def delete_objects(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Delete up to 1,000 objects."""
        ...

    def list_objects_v2(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Return a page of keys."""
        ...


@dataclass(frozen=True, slots=True)
class LakeClients:
    """The clients that writing to tables takes.

    Those of Glue and S3 are to give up a try of a call within ``lease.CALL_SECONDS`` and to leave trying
    again to the flows: a call that is made under a lease must not land after it.
    """

    athena: AthenaClient
    glue: GlueClient
    s3: S3Client
