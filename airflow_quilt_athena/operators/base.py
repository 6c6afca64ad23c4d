"""What all our operators and sensors share: one AWS connection, and how a failure becomes Airflow's.

Nothing here rests on Amazon's own base classes, which call themselves internal and may change.

Operators import what they need to run when they run: Airflow parses DAG files over and over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator

from airflow_quilt_athena.arguments import JudgedTask
from airflow_quilt_athena.exceptions import QueryFailedError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.hooks.quilt_athena import (
    AWS_TEMPLATE_FIELDS,
    QuiltAthenaHook,
    aws_parameters_of,
    make_hook,
)

if TYPE_CHECKING:
    from airflow_quilt_athena.flows.provisioning.resources import AwsClients


class QuiltAthenaBaseOperator(JudgedTask, BaseOperator):
    """An operator, or a sensor, that speaks to AWS through one Airflow connection.

    :param aws_conn_id: the Airflow connection; None uses boto3's own way to find credentials. (templated)
    :param region_name: the AWS region; None takes the connection's. (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle. (templated)
    :param botocore_config: keyword arguments of ``botocore.config.Config`` for every client.
    """

    template_fields: Sequence[str] = AWS_TEMPLATE_FIELDS

    def __init__(
        self,
        *,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    @cached_property
    def hook(self) -> QuiltAthenaHook:
        """The hook of this task; made on first use, never while a DAG is parsed."""
        return make_hook(aws_parameters_of(self))


def provisioning_clients(hook: QuiltAthenaHook) -> AwsClients:
    """Return the clients that provisioning takes."""
    from airflow_quilt_athena.flows.provisioning.resources import AwsClients

    athena, glue, s3, iam, sts = (hook.client(name) for name in ("athena", "glue", "s3", "iam", "sts"))
    return AwsClients(athena, glue, s3, iam, sts)


@contextmanager
def errors_as_airflow_sees_them() -> Iterator[None]:
    """Turn our errors into Airflow's: tried again only where that can help.

    RetryableError and failed queries that a retry may mend become AirflowException, so that the task's
    retries apply. Everything else becomes AirflowFailException, which fails the task at once.
    """
    try:
        yield
    except QuiltAthenaError as error:
        if is_worth_a_retry(error):
            raise AirflowException(str(error)) from error
        raise AirflowFailException(str(error)) from error


def is_worth_a_retry(error: QuiltAthenaError) -> bool:
    """Whether the same task may succeed when it is run again unchanged."""
    return isinstance(error, RetryableError) or (isinstance(error, QueryFailedError) and error.retryable)
