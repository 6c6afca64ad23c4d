"""One Airflow connection, and from it every boto3 client a flow needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

# How long a look at a query, or a call that a flow makes again by itself, is waited for.
_CONNECT_SECONDS = 5.0
_LOOK_SECONDS = 10.0
_CALL_SECONDS = 15.0
# A flow tries again by itself, and knows until when it may: a call under a lease must not land after it.
_GIVE_UP_SOON = frozenset({"glue", "s3"})

# What says which AWS is meant: attributes of every operator, sensor and trigger.
AWS_PARAMETERS = ("aws_conn_id", "region_name", "verify", "botocore_config")
# Those that an operator or sensor takes as templates.
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
        self._looks = False

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
            self._clients[service] = self._named(
                service, lambda: self._make_client(service, self._config_of(service))
            )
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

    def for_looks(self) -> QuiltAthenaHook:
        """Return this hook, its clients made for looks that are made again and again.

        They wait for an answer no longer than a look is worth, and try nothing twice: the next look does.
        """
        self._looks = True
        return self

    def _make_client(self, service: str, config: Config) -> Any:
        return self._session.client(
            service,
            # A connection may give each service an endpoint of its own.
            endpoint_url=self.conn_config.get_service_endpoint_url(service_name=service),
            config=config,
            verify=self.verify,
        )

    def _config_of(self, service: str) -> Any:
        if self._looks:
            return _impatient(self.config, _LOOK_SECONDS)
        return _impatient(self.config, _CALL_SECONDS) if service in _GIVE_UP_SOON else self.config

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


def aws_parameters_of(owner: object) -> dict[str, Any]:
    """Return the parameters of an operator, sensor or trigger, for its other half: both meet the same AWS."""
    return {name: getattr(owner, name) for name in AWS_PARAMETERS}


def make_hook(parameters: Mapping[str, Any]) -> QuiltAthenaHook:
    """Return a new hook, which reads the connection as it is now."""
    aws_conn_id, region_name, verify, config = (parameters[name] for name in AWS_PARAMETERS)
    return QuiltAthenaHook(aws_conn_id=aws_conn_id, region_name=region_name, verify=verify, config=config)


def _impatient(given: Any, read_seconds: float) -> Any:
    """Return a configuration with time-outs that are no longer, and one try."""
    return given.merge(
        Config(
            connect_timeout=_at_most(given.connect_timeout, _CONNECT_SECONDS),
            read_timeout=_at_most(given.read_timeout, read_seconds),
            retries={"total_max_attempts": 1},
        )
    )


def _at_most(given: Any, seconds: float) -> Any:
    """Return the shorter time-out; None is none. What is no number is refused by boto3."""
    if given is None:
        return seconds
    return min(given, seconds) if isinstance(given, int | float) else given
