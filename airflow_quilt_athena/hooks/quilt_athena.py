"""One Airflow connection, and from it every boto3 client a flow needs."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_quilt_athena.exceptions import InvalidCallError

# What of the connection an operator or sensor takes as templates.
AWS_TEMPLATE_FIELDS = ("aws_conn_id", "region_name", "verify")


class QuiltAthenaHook(AthenaHook):
    """Athena as Amazon's hook gives it, and Glue, S3, IAM and STS by the same connection.

    Takes what AthenaHook takes: ``aws_conn_id``, ``region_name``, ``verify``, ``config``, ``log_query``.

    >>> hook = QuiltAthenaHook(aws_conn_id="aws_default", region_name="eu-west-1")  # doctest: +SKIP
    >>> hook.client("glue").get_table(DatabaseName="sales", Name="orders")  # doctest: +SKIP
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clients: dict[str, Any] = {}

    @cached_property
    def conn_config(self) -> AwsConnectionWrapper:
        """The connection. One that is named and does not exist is refused, not replaced by another identity.

        Amazon's hook goes on with the worker's own credentials; only the default, or None, may do so here.
        """
        if self.aws_conn_id and self.aws_conn_id != self.default_conn_name:
            try:
                self.get_connection(self.aws_conn_id)
            except AirflowNotFoundException as error:
                raise InvalidCallError(
                    f"aws_conn_id names the connection {self.aws_conn_id!r}, and there is none. Make it: "
                    f"airflow connections add {self.aws_conn_id} --conn-type aws …; or leave it out, "
                    f"for {self.default_conn_name}, or else the worker's own credentials."
                ) from error
        found = super().conn_config
        if not found:
            self.log.info("No Airflow connection is used: AWS by boto3's own way to find credentials.")
        return found

    def client(self, service: str) -> Any:
        """Return the boto3 client of ``service``, with this hook's region, verification and configuration.

        :param service: boto3's name of it: ``athena``, ``glue``, ``s3``, ``iam`` or ``sts``.
        """
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service,
                # A connection may give each service an endpoint of its own.
                endpoint_url=self.conn_config.get_service_endpoint_url(service_name=service),
                config=self.config,
                verify=self.verify,
            )
        return self._clients[service]

    @cached_property
    def _session(self) -> Any:
        # One session for all clients: a role is assumed once, and boto3 reads its endpoints once.
        return self.get_session()
