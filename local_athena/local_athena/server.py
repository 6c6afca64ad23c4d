"""Puts the server together and runs it in this process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from local_athena.account import DEFAULT_REGION, ROOT_ACCESS_KEY_ID, ROOT_ARN, ROOT_SECRET_ACCESS_KEY
from local_athena.data.session import Session
from local_athena.iam.identities import Identities
from local_athena.wire.call_log import CallLog
from local_athena.wire.callers import Caller
from local_athena.wire.doors import CONTROL_PATH, Doors, refuse_remote
from local_athena.wire.faults import Knobs
from local_athena.wire.messages import Answer

if TYPE_CHECKING:
    from local_athena.engine import Engine

ENGINES = ("duckdb", "trino")
# Reads nothing; passes the grammar, the translation and the engine once.
_TYPICAL_SELECT = (
    "WITH a AS (SELECT 1 AS x) SELECT x, count(*) FROM a WHERE x > 0 GROUP BY x ORDER BY x LIMIT 1"
)


def check_engine(engine: str, trino_url: str | None = None) -> None:
    """Refuse an engine that is not there, and a URL that it does not take."""
    if engine not in ENGINES:
        raise ValueError(f"The local Athena knows no engine {engine!r}. Use one of: {', '.join(ENGINES)}.")
    if trino_url is not None and engine != "trino":
        raise ValueError(f"The URL of a Trino server goes with the engine trino, not with {engine}.")


def build_environment(endpoint_url: str) -> dict[str, str]:
    """Name the AWS_* variables that lead any AWS client to the server, as the account's root user."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": ROOT_ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": ROOT_SECRET_ACCESS_KEY,
        "AWS_REGION": DEFAULT_REGION,
        "AWS_DEFAULT_REGION": DEFAULT_REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def isolate_environment() -> None:
    """Let nothing of this machine's AWS or moto settings reach the server's own clients."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "MOTO_", "S3_")) or name in (
            "INITIAL_NO_AUTH_ACTION_COUNT",
            "TEST_SERVER_MODE",
        ):
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"


class LocalServer:
    """The server: listens once made, answers while ``serve`` runs."""

    def __init__(
        self,
        host: str,
        port: int,
        engine: str,
        knobs: Knobs,
        trino_url: str | None = None,
        *,
        secret: str,
        allow_remote: bool = False,
    ) -> None:
        check_engine(engine, trino_url)
        refuse_remote(host, allow_remote=allow_remote)
        _import_quickly()
        from local_athena.front.connection import build_server
        from local_athena.front.control import Control
        from local_athena.front.in_process_clients import InsideClients
        from local_athena.front.router import Front, Moto
        from local_athena.moto_fixes import build_fixes

        log = CallLog()
        identities = Identities(knobs)
        moto = Moto()
        self._athena = _Once(self._build_athena)
        self._knobs = knobs
        self._identities = identities
        self._front = Front(moto, knobs, log, identities, build_fixes(identities), self._athena)
        self._inside = InsideClients(
            self._front.answer_inside, identities, knobs, log, moto.lock("s3"), moto.s3_keys
        )
        control = Control(knobs, log)

        def application(environ: Mapping[str, Any], body: bytes) -> Answer | None:
            refusal = self._doors.refuse(environ)
            if refusal is not None:
                return refusal
            path = str(environ["PATH_INFO"])
            if path.startswith(CONTROL_PATH):
                return control.answer(environ["REQUEST_METHOD"], path.removeprefix(CONTROL_PATH), body)
            return self._front.answer(environ, body)

        self._server = build_server(host, port, application)
        # Before a request can come: nothing is answered until ``serve``.
        self._doors = Doors(host, self._server.server_port, secret)
        self.endpoint_url = f"http://{_reachable(host)}:{self._server.server_port}"
        self._engine = _choose_engine(engine, trino_url)

    def start_engine(self) -> None:
        """Start what the engine needs besides this process, and wait for it."""
        self._engine.start(self.endpoint_url)

    def close(self) -> None:
        """End what ``start_engine`` started."""
        self._engine.stop()

    def serve(self) -> None:
        """Answer until ``shutdown``."""
        threading.Thread(target=self._warm, name="warm-up", daemon=True).start()
        self._server.serve_forever(poll_interval=0.1)

    def shutdown(self) -> None:
        """Have ``serve`` return."""
        self._server.shutdown()

    def _build_athena(self) -> Any:
        """Build the Athena API over the engine; imports pyarrow and the engine's own."""
        from local_athena.athena.api import AthenaApi
        from local_athena.athena.regions import AthenaOfRegions
        from local_athena.statements.dispatch import Statements

        self._statements: Any = Statements(self._engine.build())
        return AthenaOfRegions(
            lambda region, partition: AthenaApi(
                self._statements,
                self._inside.clients_for,
                self._identities.authorize,
                knobs=self._knobs,
                write_refusal=self._identities.write_refusal,
                region=region,
                partition=partition,
            )
        )

    def _warm(self) -> None:
        """Do once what the first calls would otherwise wait for: imports, models, grammar, a connection."""
        import moto.glue.responses
        import moto.s3.responses  # noqa: F401

        root = Caller(ROOT_ACCESS_KEY_ID, ROOT_SECRET_ACCESS_KEY, None, ROOT_ARN)
        clients = self._inside.clients_for(root)
        self._athena().warm_up()
        session = Session("warm-up", "default", clients, output_prefix="s3://none/")
        self._statements.execute(_TYPICAL_SELECT, session)


def _reachable(host: str) -> str:
    """Return an address at which this machine reaches a server that listens on ``host``."""
    if host in {"0.0.0.0", "::", ""}:
        return "127.0.0.1" if host != "::" else "[::1]"
    return f"[{host}]" if ":" in host else host


class EngineHost(Protocol):
    """An engine, and what it needs besides this process."""

    def start(self, endpoint_url: str) -> None:
        """Start what the engine needs, and wait for it; ``endpoint_url`` is this server's."""
        ...

    def build(self) -> Engine:
        """Make the engine, once."""
        ...

    def stop(self) -> None:
        """End what was started."""
        ...


class _InProcess:
    """DuckDB, which needs nothing."""

    def start(self, endpoint_url: str) -> None:
        """Nothing is to be started."""

    def build(self) -> Engine:
        """Make the engine; imports DuckDB and the SQL parsers."""
        from local_athena.duck.engine import DuckEngine

        return DuckEngine()

    def stop(self) -> None:
        """Nothing was started."""


def _choose_engine(engine: str, trino_url: str | None) -> EngineHost:
    if engine == "duckdb":
        return _InProcess()
    from local_athena.trino.host import TrinoHost

    return TrinoHost(trino_url)


class _Once:
    """Builds a thing when it is first asked for, once."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._lock = threading.Lock()
        self._built: Any = None

    def __call__(self) -> Any:
        with self._lock:
            if self._built is None:
                self._built = self._build()
            return self._built


def _import_quickly() -> None:
    """Import moto in two thirds of the time: without the garbage collector, and without AWS's C runtime.

    botocore loads awscrt, where it is installed, for signatures that nothing here needs; moto, which
    computes a checksum with it, imports it again when that is asked for.
    """
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    hidden = "awscrt" not in sys.modules
    if hidden:
        sys.modules["awscrt"] = None  # type: ignore[assignment]
    try:
        import moto.moto_server.werkzeug_app  # noqa: F401
    finally:
        if hidden:
            del sys.modules["awscrt"]
        gc.freeze()
        if was_enabled:
            gc.enable()
