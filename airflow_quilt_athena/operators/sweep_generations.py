"""Remove the files of replaced generations whose time is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_quilt_athena.core.arguments import Judge, choice
from airflow_quilt_athena.core.overwrite.request import Adopted
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import GenerationsOperator, lake_clients


class SweepGenerationsOperator(GenerationsOperator):
    """Remove what the overwrites of a table no longer need.

    That is: generations that were replaced, once the ``retain`` of the overwrite that replaced them has
    passed, and what attempts that failed or died have left. Sets that were left half published are finished
    first, and partitions that a late call points elsewhere are pointed back at what was published last.
    Whatever Glue points at stays, and so does what this package did not write.

    Safe to run at any time, beside overwrites and rollbacks. Once a day is often enough.

    :param table: ``table``, or ``database.table``. (templated)
    :param partitions: which partitions to look at: one or several, each a mapping from key to value, with all
        keys or some of them, or the value of the only key. None is all. (templated)
    :param adopted: what becomes of files that something else had written where a partition was before its
        first overwrite: ``keep``, and count them, or ``delete`` those that were listed then, by key and ETag,
        once the time of the overwrite is over. Nothing goes from a folder at, above or below which any other
        table or partition lies, of whichever database the caller may read. Run it with ``dry_run=True``
        first.
    :param dry_run: tell what would go, and change nothing.
    :param database: the database of a table named without one. (templated)
    :param catalog_id: the account whose Glue catalog the table is in; None is the caller's own. (templated)
    :param kms_key_arn: the key that encrypts the journal. (templated)

    Its XCom: ``objects_deleted``, ``bytes_deleted``, ``folders`` (for each the number of objects that went),
    ``rolled_forward``, ``pointed_back`` (partitions), ``stayed`` (objects that could not be deleted, and
    why), ``left`` (attempts left alone, and why), ``foreign`` (folders with files that something else wrote
    since), ``adopted`` (folders with files of before the first overwrite: objects and bytes), ``tables``
    (temporary ones that nobody needed), ``unreadable`` (what in the journal is no entry, and why), ``unread``
    (databases that could not be looked at) and ``dry_run``. Of each list the first 20, with totals beside
    them.
    """

    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **GenerationsOperator.arguments,
        "adopted": choice(Adopted),
    }

    def __init__(self, *, adopted: str = "keep", **kwargs: Any) -> None:
        self.adopted = adopted
        super().__init__(**kwargs)

    def execute(self, context: Any) -> dict[str, Any]:
        """Sweep."""
        from airflow_quilt_athena.flows.overwrite.sweep import sweep_generations

        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            result = sweep_generations(
                lake_clients(self.hook),
                asked["table"],
                partitions=asked["partitions"],
                adopted=asked["adopted"],
                dry_run=self.plan_only,
                kms_key_arn=asked["kms_key_arn"],
            )
        would = "would go" if result.dry_run else "went"
        self.log.info("%d objects, %d bytes %s.", sum(result.folders.values()), result.bytes_deleted, would)
        facts = result.as_dict()
        for folder, count in facts["folders"].items():
            self.log.info("  %s: %d objects", folder, count)
        for folder, found in facts["adopted"].items():
            self.log.info("  %s: %d objects, %d bytes of before the first overwrite", folder, *found.values())
        for line in facts["stayed"]:
            self.log.warning("  stayed: %s", line)
        for name, why in facts["left"].items():
            self.log.info("  left alone: %s: %s", name, why)
        for line in (*facts["unreadable"].values(), *facts["unread"]):
            self.log.warning("  %s", line)
        return facts
