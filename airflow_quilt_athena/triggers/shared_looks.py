"""One look at Athena for all triggers of a process, however many wait.

Each connection and region has its rounds: the ids of all triggers that are due, 50 to a call, made one after
the other in a thread of its own, so that neither the event loop nor another connection waits for AWS.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from airflow_quilt_athena.core.athena.poll_batches import Want, choose_round
from airflow_quilt_athena.core.athena.query_status import QueryStatus
from airflow_quilt_athena.flows.athena.looks import Looked, look_at_queries, statuses_of
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.flows.aws.errors import AWS_ERRORS, is_passing

# Rounds come no sooner after each other, whatever the triggers ask for.
SHORTEST_ROUND_SECONDS = 1.0


class SharedLooks:
    """The rounds of one AWS connection and region, in one event loop.

    :param make_client: makes the Athena client. Called in the thread, and again after Athena refused: a
        connection may have got new credentials since.
    """

    def __init__(self, make_client: Callable[[], AthenaClient]) -> None:
        self._make_client = make_client
        self._client: AthenaClient | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: dict[asyncio.Future[Looked], Want] = {}
        self._changed = asyncio.Event()
        self._rounds: asyncio.Task[None] | None = None

    async def look(
        self, query_execution_ids: Sequence[str], within_seconds: float
    ) -> tuple[QueryStatus, ...]:
        """Return the statuses, in the order of the ids, after at most about ``within_seconds``.

        Raises what Athena answers of one of them, as boto3 raises it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Looked] = loop.create_future()
        self._waiting[future] = Want(tuple(query_execution_ids), loop.time() + within_seconds)
        self._changed.set()
        if self._rounds is None or self._rounds.done():
            # An empty context: what the rounds do is not one trigger's, and not to be logged as its.
            self._rounds = loop.create_task(self._run_rounds(), context=contextvars.Context())
        try:
            looked = await future
        finally:
            self._waiting.pop(future, None)
        return statuses_of(looked, query_execution_ids)

    async def _run_rounds(self) -> None:
        """Look for as long as somebody waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            served = choose_round(self._waiting, loop.time())
            if not served:
                await self._pause(min(want.due for want in self._waiting.values()) - loop.time())
                continue
            ids = dict.fromkeys(
                name for future in served for name in self._waiting[future].query_execution_ids
            )
            try:
                look = sync_to_async(self._look, thread_sensitive=False, executor=self._own_thread())
                looked = await look(tuple(ids))
            except Exception as error:
                looked = dict.fromkeys(ids, error)  # no client could be made: each trigger tells its task
            for future in served:
                if not future.done():
                    future.set_result(looked)
            await asyncio.sleep(SHORTEST_ROUND_SECONDS)
        self._client = None  # the next to come reads the connection as it is then
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    def _own_thread(self) -> ThreadPoolExecutor:
        # One for each connection: an endpoint that is silent keeps nobody else waiting.
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="athena-looks")
        return self._thread

    async def _pause(self, seconds: float) -> None:
        """Sleep until somebody is due, or somebody new came."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def _look(self, query_execution_ids: tuple[str, ...]) -> Looked:
        if self._client is None:
            self._client = self._make_client()
        looked = look_at_queries(self._client, query_execution_ids, take_apart=True)
        if any(isinstance(found, AWS_ERRORS) and not is_passing(found) for found in looked.values()):
            self._client = None
        return looked


_SHARED: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedLooks]] = WeakKeyDictionary()


def shared_looks(aws_parameters: object, make_client: Callable[[], AthenaClient]) -> SharedLooks:
    """Return the rounds that triggers with these AWS parameters share, in the running event loop.

    :param aws_parameters: JSON values that say which AWS is meant.
    :param make_client: makes the Athena client, should these be the first.
    """
    of_loop = _SHARED.setdefault(asyncio.get_running_loop(), {})
    key = json.dumps(aws_parameters, sort_keys=True)
    if key not in of_loop:
        of_loop[key] = SharedLooks(make_client)
    return of_loop[key]
