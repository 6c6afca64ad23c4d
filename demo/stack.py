"""A real Airflow of its own: ``airflow standalone`` on free ports, driven through its REST API."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

RUN_ENDED = frozenset({"success", "failed"})


class StackError(RuntimeError):
    """Airflow did not start, or a run did not end as it should."""


def free_ports(count: int) -> list[int]:
    """Return ports that are free now; all are held open until the last is known, so none comes twice."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _bundle(folder: Path) -> dict[str, Any]:
    loader = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": folder.name.replace("_", "-"), "classpath": loader, "kwargs": {"path": str(folder)}}


class AirflowStack:
    """Scheduler, triggerer, DAG processor and API server on SQLite, as ``with AirflowStack(…) as airflow:``.

    :param home: AIRFLOW_HOME, made if it does not exist; logs and the database stay there.
    :param dags: the folders of the DAG files.
    :param environment: what Airflow and its tasks see besides this process's environment, e.g. the AWS_*
        variables; goes before the settings made here.
    """

    def __init__(self, home: Path, dags: Sequence[Path], environment: Mapping[str, str]) -> None:
        self.home = home
        self.log = home / "standalone.log"
        port, worker_logs, trigger_logs = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        # Settings of another Airflow of the user's must not reach this one.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        settings = self._settings(dags, port, worker_logs, trigger_logs)
        self._environment = inherited | settings | dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: set[int] = set()
        self._client = httpx.Client(base_url=f"{self.url}/api/v2", timeout=60)

    def _settings(
        self, dags: Sequence[Path], port: int, worker_logs: int, trigger_logs: int
    ) -> dict[str, str]:
        return {
            # `airflow standalone` starts the others by the name `airflow`.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([_bundle(path) for path in dags]),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            # On a busy machine the API server may need longer than the default of 5 s to let a task start.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
            # The default of 5 s makes every task linger, and lets Airflow 3.3 mistake a task that resumed
            # quickly from a deferral for one that was lost (apache/airflow#72716).
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }

    def __enter__(self) -> AirflowStack:
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["airflow", "standalone"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that all of it can be found, and stopped
            )
        self._sessions = {self._process.pid}
        try:
            self.wait("Airflow to be healthy", self._healthy, timeout_seconds=180)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of the stack; its own SIGTERM handler leaves the children behind."""
        self._client.close()
        if self._process is None:
            return
        for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            for process in self.processes():
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline and self.processes():
                time.sleep(0.1)
        self._process.wait()
        self._process = None

    def processes(self) -> list[psutil.Process]:
        """All processes of the stack, by their session: each task has a process group of its own."""
        return [each for each in psutil.process_iter() if _session(each) in self._sessions and _lives(each)]

    def _healthy(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            tail = self.log.read_text(errors="replace").splitlines()[-20:]
            raise StackError("Airflow ended while starting:\n" + "\n".join(tail))
        try:
            parts = self._client.get("/monitor/health").json()
        except (httpx.TransportError, ValueError):
            return False
        return all(parts[part]["status"] == "healthy" for part in ("scheduler", "triggerer", "dag_processor"))

    def wait(self, what: str, ready: Callable[[], Any], timeout_seconds: float = 120) -> Any:
        """Return the first true answer of ``ready``; raise StackError when there is none in time."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            answer = ready()
            if answer:
                return answer
            time.sleep(0.25)
        raise StackError(f"Waited {timeout_seconds:.0f} s for {what}. Airflow's own log: {self.log}")

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """Call the REST API below ``/api/v2``; an error answer is raised with its text."""
        try:
            answer = self._client.request(method, path, json=body, params=query)
        except httpx.TransportError as error:
            raise StackError(
                f"{method} {path}: no answer ({error!r}). Airflow's own log: {self.log}"
            ) from error
        if answer.is_error:
            raise StackError(f"{method} {path}: HTTP {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else None

    def unpause(self, dag_id: str) -> None:
        """Let the DAG run, as soon as it is known; a file that cannot be imported is an error."""

        def known() -> bool:
            errors = self.api("GET", "/importErrors")["import_errors"]
            if errors:
                raise StackError("\n".join(f"{e['filename']}: {e['stack_trace']}" for e in errors))
            return any(dag["dag_id"] == dag_id for dag in self.api("GET", "/dags")["dags"])

        self.wait(f"the DAG {dag_id}", known)
        self.api("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, **body: Any) -> str:
        """Start a run by hand; returns its id."""
        run = self.api("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None} | body)
        return str(run["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """All runs of a DAG, oldest first."""
        return list(self.api("GET", f"/dags/{dag_id}/dagRuns", order_by="id", limit=100)["dag_runs"])

    def watch_run(self, dag_id: str, run_id: str, timeout_seconds: float = 300) -> Iterator[dict[str, Any]]:
        """Yield the task instances whenever one changed, until the run ended; it must end in success."""
        seen: list[Any] = []
        deadline = time.monotonic() + timeout_seconds
        while True:
            run = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
            tasks = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
            states = [(task["task_id"], task["state"]) for task in tasks]
            if states != seen:
                seen = states
                yield from tasks
            if run["state"] in RUN_ENDED:
                break
            if time.monotonic() > deadline:
                raise StackError(
                    f"{dag_id} {run_id} is {run['state']} after {timeout_seconds:.0f} s: {states}"
                )
            time.sleep(0.25)
        if run["state"] != "success":
            raise StackError(
                f"{dag_id} {run_id} ended {run['state']}: {states}. Task logs: {self.home / 'logs'}"
            )

    def backfill(self, dag_id: str, first: str, last: str, **options: Any) -> dict[str, Any]:
        """Start a backfill over partition dates, both inclusive; returns what Airflow says of it."""
        dates = {"from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z"}
        return dict(self.api("POST", "/backfills", {"dag_id": dag_id, "dag_run_conf": {}} | dates | options))
