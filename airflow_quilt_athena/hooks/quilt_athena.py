"""One Airflow connection, and from it every boto3 client a flow needs."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoCredentialsError

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask

# What boto3 raises in its own words when a setting is of the wrong kind.
_WRONG_SETTING = (TypeError, ValueError, AttributeError, LookupError, NotImplementedError)

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
        try:
            super().__init__(*args, **kwargs)
        except (*_WRONG_SETTING, BotoCoreError) as error:
            raise InvalidCallError(f"The AWS settings do not fit: {error}. Mend botocore_config.") from error
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
        :raises QuiltAthenaError: naming the connection, when no region, no credentials or a wrong setting
            come of it, or its role is refused: here, and not in the midst of the work.
        """
        if service not in self._clients:
            named = f"the AWS connection {self.aws_conn_id!r}" if self.aws_conn_id else "no AWS connection"
            doing = f"speak to {service} by {named}"
            try:
                self._clients[service] = ask(lambda: self._make_client(service), doing)
            except _WRONG_SETTING as error:
                if isinstance(error, InvalidCallError):
                    raise
                said = f"Cannot {doing}: {type(error).__name__}: {error}"
                raise InvalidCallError(f"{said}. Mend the connection or botocore_config.") from error
        return self._clients[service]

    def _make_client(self, service: str) -> Any:
        return self._session.client(
            service,
            # A connection may give each service an endpoint of its own.
            endpoint_url=self.conn_config.get_service_endpoint_url(service_name=service),
            config=self._config_of(service),
            verify=self.verify,
        )

    def _config_of(self, service: str) -> Any:
        if service not in _GIVE_UP_SOON:
            return self.config
        given = self.config if self.config is not None else Config()
        return given.merge(
            Config(
                connect_timeout=_at_most(given.connect_timeout, 5),
                read_timeout=_at_most(given.read_timeout, 15),
                retries={"total_max_attempts": 1},
            )
        )

    @cached_property
    def _session(self) -> Any:
        # One session for all clients: a role is assumed once, and boto3 reads its endpoints once.
        session = self.get_session()
        if self.config.signature_version is not UNSIGNED:
            credentials = session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            credentials.get_frozen_credentials()  # fetches what is fetched late, a web identity's role
        return session


def _at_most(seconds: Any, limit: float) -> Any:
    # What is no number is refused by boto3, in the connection's name.
    return min(seconds, limit) if isinstance(seconds, int | float) else seconds
