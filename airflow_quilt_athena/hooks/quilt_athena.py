"""One Airflow connection, and from it every boto3 client a flow needs."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from botocore.config import Config

# A flow tries again by itself, and knows until when it may: a call under a lease must not land after it.
_GIVE_UP_SOON = frozenset({"glue", "s3"})

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

    def client(self, service: str) -> Any:
        """Return the boto3 client of ``service``, with this hook's region, verification and configuration.

        :param service: boto3's name of it: ``athena``, ``glue``, ``s3``, ``iam`` or ``sts``.
        """
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service,
                # A connection may give each service an endpoint of its own.
                endpoint_url=self.conn_config.get_service_endpoint_url(service_name=service),
                config=self._config_of(service),
                verify=self.verify,
            )
        return self._clients[service]

    def _config_of(self, service: str) -> Any:
        if service not in _GIVE_UP_SOON:
            return self.config
        given = self.config if self.config is not None else Config()
        return given.merge(Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1}))

    @cached_property
    def _session(self) -> Any:
        # One session for all clients: a role is assumed once, and boto3 reads its endpoints once.
        return self.get_session()
