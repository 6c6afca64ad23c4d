"""Undo an overwrite while what it replaced is kept."""

from __future__ import annotations

from typing import Any

from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import GenerationsOperator, lake_clients, task_key_of


class RollbackPartitionsOperator(GenerationsOperator):
    """Point partitions back at their previous generation; create again those that an overwrite removed.

    No file is written or moved: each partition flips in one step, as it did forward. A rollback can itself be
    rolled back. A retry of the task finishes what it began and undoes nothing twice; clearing it does it
    again.

    :param table: ``table``, or ``database.table``. (templated)
    :param partitions: which partitions: one or several, each a mapping from key to value, with all keys or
        some of them, or the value of the only key. None is everything that the last overwrite of the table
        changed. (templated)
    :param dry_run: tell what would change, and change nothing.
    :param database: the database of a table named without one. (templated)
    :param catalog_id: the account whose Glue catalog the table is in; None is the caller's own. (templated)
    :param kms_key_arn: the key that encrypts the journal. (templated)

    Its XCom: ``table``, ``dry_run`` and ``partitions``, for each its values, action (created, replaced,
    removed), location and generation, and the previous ones of both. Fails at once when a partition has
    nothing to go back to: nothing is changed then.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        """Roll back."""
        from airflow_quilt_athena.flows.overwrite.rollback import rollback_partitions

        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            result = rollback_partitions(
                lake_clients(self.hook),
                asked["table"],
                task_key_of(context["ti"]),
                partitions=asked["partitions"],
                dry_run=self.plan_only,
                kms_key_arn=asked["kms_key_arn"],
            )
        facts = result.as_dict()
        for partition in facts["partitions"]:
            self.log.info(
                "%s %s: %s", partition["action"], partition["values"], partition["location"] or "no location"
            )
        return facts
