"""Remove the files of replaced generations whose time is over."""

from __future__ import annotations

from typing import Any

from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import GenerationsOperator, lake_clients


class SweepGenerationsOperator(GenerationsOperator):
    """Remove what the overwrites of a table no longer need.

    That is: generations that were replaced, once the ``retain`` of the overwrite that replaced them has
    passed; files that something else had written before the first overwrite, likewise; what attempts that
    failed or died have left. Attempts that died while they published are rolled forward first. Whatever Glue
    points at stays, and so do files that something else wrote since.

    Safe to run at any time, beside overwrites and rollbacks. Once a day is often enough.

    :param table: ``table``, or ``database.table``. (templated)
    :param partitions: which partitions to look at: one or several, each a mapping from key to value, with all
        keys or some of them, or the value of the only key. None is all. (templated)
    :param dry_run: tell what would go, and change nothing.
    :param database: the database of a table named without one. (templated)
    :param catalog_id: the account whose Glue catalog the table is in; None is the caller's own. (templated)
    :param kms_key_arn: the key that encrypts the journal. (templated)

    Its XCom: ``objects_deleted``, ``bytes_deleted``, ``folders`` (for each the number of objects that went),
    ``rolled_forward``, ``stayed`` (objects that could not be deleted, and why), ``left`` (attempts left
    alone, and why), ``foreign`` (folders with files that something else wrote since) and ``dry_run``.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        """Sweep."""
        from airflow_quilt_athena.flows.overwrite.sweep import sweep_generations

        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            result = sweep_generations(
                lake_clients(self.hook),
                asked["table"],
                partitions=asked["partitions"],
                dry_run=self.plan_only,
                kms_key_arn=asked["kms_key_arn"],
            )
        would = "would go" if result.dry_run else "went"
        self.log.info("%d objects, %d bytes %s.", sum(result.folders.values()), result.bytes_deleted, would)
        for folder, count in result.folders.items():
            self.log.info("  %s: %d objects", folder, count)
        for line in (*result.stayed, *(f"{name}: {why}" for name, why in result.left.items())):
            self.log.warning("  stayed: %s", line)
        return result.as_dict()
