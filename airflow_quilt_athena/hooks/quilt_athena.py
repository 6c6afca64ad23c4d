"""One Airflow connection, and from it every boto3 client a flow needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoCredentialsError

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask

# What boto3 raises in its own words when a setting is of the wrong kind.
_WRONG_SETTING = (TypeError, ValueError, AttributeError, LookupError, NotImplementedError)

# How long a look at a query is waited for.
_LOOK_CONNECT_SECONDS = 5.0
_LOOK_READ_SECONDS = 10.0

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

    def client(self, service: str) -> Any:
        """Return the boto3 client of ``service``, with this hook's region, verification and configuration.

        :param service: boto3's name of it: ``athena``, ``glue``, ``s3``, ``iam`` or ``sts``.
        :raises QuiltAthenaError: naming the connection, when no region, no credentials or a wrong setting
            come of it, or its role is refused: here, and not in the midst of the work.
        """
        if service not in self._clients:
            self._clients[service] = self._named(service, lambda: self._make_client(service, self.config))
        return self._clients[service]

    def _named(self, service: str, make: Callable[[], Any]) -> Any:
        """Return what ``make`` makes; raise ours for what goes wrong, naming the connection."""
        named = f"the AWS connection {self.aws_conn_id!r}" if self.aws_conn_id else "no AWS connection"
        doing = f"speak to {service} by {named}"
        try:
            return ask(make, doing)
        except _WRONG_SETTING as error:
            if isinstance(error, InvalidCallError):
                raise
            said = f"Cannot {doing}: {type(error).__name__}: {error}"
            raise InvalidCallError(f"{said}. Mend the connection or botocore_config.") from error

    def quick_client(self, service: str) -> Any:
        """Return a client as ``client`` does, for looks that are made again and again.

        It waits for an answer no longer than a look is worth, and tries nothing twice: the next look does.
        """
        return self._named(service, lambda: self._make_client(service, self._quick_config))

    @property
    def _quick_config(self) -> Config:
        given = self.config
        return given.merge(
            Config(
                connect_timeout=_at_most(given.connect_timeout, _LOOK_CONNECT_SECONDS),
                read_timeout=_at_most(given.read_timeout, _LOOK_READ_SECONDS),
                retries={"total_max_attempts": 1},
            )
        )

    def _make_client(self, service: str, config: Config) -> Any:
        return self._session.client(
            service,
            # A connection may give each service an endpoint of its own.
            endpoint_url=self.conn_config.get_service_endpoint_url(service_name=service),
            config=config,
            verify=self.verify,
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


def _at_most(given: Any, seconds: float) -> Any:
    """Return the shorter time-out; None is none. What is no number is left for botocore to refuse."""
    if given is None:
        return seconds
    return min(given, seconds) if isinstance(given, int | float) else given
