"""One Airflow connection, and from it every boto3 client a flow needs."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook


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
        if service == "athena":
            return self.get_conn()
        if service not in self._clients:
            # A hook per service and not a client per session: a connection may give each service an
            # endpoint of its own (service_config), which only a hook of that client_type looks up.
            hook = AwsBaseHook(
                aws_conn_id=self.aws_conn_id,
                client_type=service,
                region_name=self.region_name,
                verify=self.verify,
                config=self.config,
            )
            self._clients[service] = hook.get_conn()
        return self._clients[service]
