"""What all our triggers share: one AWS connection, and arguments that go through the database as JSON."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger

from airflow_quilt_athena.hooks.quilt_athena import AWS_PARAMETERS


class QuiltAthenaBaseTrigger(BaseTrigger):
    """A trigger that speaks to AWS through one Airflow connection.

    :param aws_conn_id: the Airflow connection; None uses boto3's own way to find credentials.
    :param region_name: the AWS region; None takes the connection's.
    :param verify: whether to verify TLS certificates, or the path of a CA bundle.
    :param botocore_config: keyword arguments of ``botocore.config.Config``.
    """

    # The parameters that a subclass adds, each an attribute with a JSON value.
    parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's is untyped
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger again: JSON values only."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in (*self.parameters, *AWS_PARAMETERS)}
