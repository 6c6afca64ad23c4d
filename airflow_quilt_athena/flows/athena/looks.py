"""Look at Athena queries: fifty at a time, and one by one those that cannot be looked at together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from airflow_quilt_athena.core.athena.poll_batches import MAX_IDS_PER_BATCH
from airflow_quilt_athena.core.athena.query_status import QueryStatus, parse_status
from airflow_quilt_athena.exceptions import ManualActionError
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.flows.aws.errors import AWS_ERRORS, NO_ANSWER, is_passing

# What a look found of each id.
Looked = dict[str, QueryStatus | Exception]


def look_at_queries(athena: AthenaClient, query_execution_ids: Sequence[str], *, take_apart: bool) -> Looked:
    """Look once; return for each id its status, or the error that Athena answers of it. Raises nothing.

    Fifty ids are one call.

    :param take_apart: whether a call that is refused whole is made again for each id by itself, so that one
        that may not be seen does not hide the others. A call that met a passing trouble never is.
    """
    wanted = list(dict.fromkeys(query_execution_ids))
    looked: Looked = {}
    for batch in in_batches(wanted, MAX_IDS_PER_BATCH):
        unanswered = next((found for found in looked.values() if isinstance(found, NO_ANSWER)), None)
        if unanswered is not None:  # each further call would be waited for in vain
            looked |= dict.fromkeys(batch, unanswered)
            continue
        if len(batch) > 1:  # Athena allows five times as many single looks as batches
            looked |= _look_at_batch(athena, batch, take_apart)
        # The batch says only "unprocessed"; the single look says why, or that it was a passing trouble.
        looked |= {name: look_at_one(athena, name) for name in batch if name not in looked}
    return looked


def _look_at_batch(athena: AthenaClient, batch: Sequence[str], take_apart: bool) -> Looked:
    try:
        response = athena.batch_get_query_execution(QueryExecutionIds=batch)
    except AWS_ERRORS as error:
        return {} if take_apart and not is_passing(error) else dict.fromkeys(batch, error)
    return {found["QueryExecutionId"]: _parse(found) for found in response.get("QueryExecutions", ())}


def look_at_one(athena: AthenaClient, query_execution_id: str) -> QueryStatus | Exception:
    """Return the status of one query, or why there is none."""
    try:
        response = athena.get_query_execution(QueryExecutionId=query_execution_id)
    except AWS_ERRORS as error:
        return cast(Exception, error)  # botocore is untyped
    return _parse(response["QueryExecution"])


def _parse(execution: dict[str, Any]) -> QueryStatus | Exception:
    try:
        return parse_status(execution)
    except ManualActionError as error:  # a state that is not known
        return error


def statuses_of(looked: Looked, query_execution_ids: Sequence[str]) -> tuple[QueryStatus, ...]:
    """Return the statuses in the order of the ids; raise the first error among them."""
    statuses = []
    for name in query_execution_ids:
        found = looked[name]
        if isinstance(found, Exception):
            raise found
        statuses.append(found)
    return tuple(statuses)


def observe_queries(athena: AthenaClient, query_execution_ids: Sequence[str]) -> tuple[QueryStatus, ...]:
    """Look once; return a status for each id, in their order. Raises boto3's errors as they come."""
    looked = look_at_queries(athena, query_execution_ids, take_apart=False)
    return statuses_of(looked, query_execution_ids)
