"""Drives the Airflow of the tests: runs, task instances, logs and XComs by REST, processes by their ids."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil

from demo.stack import RUN_ENDED, AirflowStack, StackError

Task = dict[str, Any]


class Airflow(AirflowStack):
    """An AirflowStack whose tasks can be looked into, marked, cleared and killed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.started: list[tuple[str, str]] = []  # runs of the test under way, by DAG and run id
        self._components: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Airflow:
        super().__enter__()
        return self

    # ---------------------------------------------------------------------------------------------- runs

    def start_run(self, dag_id: str, **conf: str) -> str:
        """Start a run by hand, with a configuration; returns its id."""
        self.unpause(dag_id)
        return self.trigger(dag_id, **({"conf": conf} if conf else {}))

    def trigger(self, dag_id: str, **body: Any) -> str:
        run_id = super().trigger(dag_id, **body)
        self.started.append((dag_id, run_id))
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_end(self, dag_id: str, run_id: str, timeout_seconds: float = 180) -> str:
        """Wait until the run has ended; returns its state."""

        def ended() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in RUN_ENDED else None

        return str(self.wait(f"the end of {dag_id} {run_id}", ended, timeout_seconds))

    def succeed(self, dag_id: str, run_id: str, timeout_seconds: float = 180) -> None:
        """Wait until the run has ended, and in success."""
        state = self.wait_for_end(dag_id, run_id, timeout_seconds)
        assert state == "success", f"{dag_id} {run_id} ended {state}"

    def runs_by_partition(self, dag_id: str, run_type: str) -> dict[str, dict[str, Any]]:
        """The newest run of each partition key, of one type."""
        return {run["partition_key"]: run for run in self.runs(dag_id) if run["run_type"] == run_type}

    # --------------------------------------------------------------------------------------------- tasks

    def task(self, dag_id: str, run_id: str, task_id: str) -> Task:
        return dict(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"))

    def tasks(self, dag_id: str, run_id: str) -> list[Task]:
        """All task instances of a run, mapped ones each."""
        answer = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=200)
        return list(answer["task_instances"])

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, state: str, timeout_seconds: float = 90
    ) -> Task:
        """Wait until a task is in a state; returns its instance."""

        def reached() -> Task | None:
            found = self.task(dag_id, run_id, task_id)
            if found["state"] in {"success", "failed"} and found["state"] != state:
                raise StackError(f"{dag_id}.{task_id} is {found['state']}, and was to become {state}.")
            return found if found["state"] == state else None

        what = f"{dag_id}.{task_id} of {run_id} to be {state}"
        return dict(self.wait(what, reached, timeout_seconds))

    def wait_for_trigger(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Wait until a task is deferred and the triggerer waits for it, which it says in the task's log."""
        task = self.wait_for_task(dag_id, run_id, task_id, "deferred")

        def taken() -> bool:
            lines = self.task_log(dag_id, run_id, task_id, task["try_number"]).splitlines()
            return any(line.startswith("trigger ") and line.endswith(" starting") for line in lines)

        self.wait(f"the triggerer to take {dag_id}.{task_id} of {run_id}", taken)

    def mark_task(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        self.api("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", {"new_state": state})

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        self.api("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": state})

    def clear(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run, so that they run again."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id}
        self.api("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api("GET", path, map_index=map_index, deserialize=False)["value"]

    def xcom_keys(self, dag_id: str, run_id: str, task_id: str) -> set[str]:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        return {entry["key"] for entry in self.api("GET", path)["xcom_entries"]}

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int = -1) -> str:
        """What a try of a task has logged, as the UI shows it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.api("GET", path, full_content=True, map_index=map_index)["content"]
        return "\n".join(line if isinstance(line, str) else _as_text(line) for line in content)

    def told_of(self, dag_id: str, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield title and log of the tasks that did not succeed, for the report of a failed test."""
        for task in self.tasks(dag_id, run_id):
            if task["state"] == "success" and task["try_number"] == 1:
                continue
            for try_number in range(1, task["try_number"] + 1):
                name, mapped = task["task_id"], task["map_index"]
                title = f"{dag_id} {run_id} {name}[{mapped}] is {task['state']}, try {try_number}"
                yield title, self.task_log(dag_id, run_id, name, try_number, mapped)

    # ----------------------------------------------------------------------------------------- processes

    def component(self, name: str) -> list[psutil.Process]:
        """The processes of a component, such as ``triggerer``."""
        return [each for each in self.processes() if f"airflow {name}" in _command_line(each)]

    def end_component(self, name: str, way: signal.Signals) -> None:
        """End a component and wait until it is gone."""
        processes = self.component(name)
        assert processes, f"There is no {name}"
        heads = [each for each in processes if each.ppid() not in {other.pid for other in processes}]
        for each in processes if way is signal.SIGKILL else heads:
            each.send_signal(way)
        self.wait(f"{name} to end by {way.name}", lambda: not self.component(name), timeout_seconds=60)

    def start_component(self, name: str) -> None:
        """Start a component again, beside the others: ``airflow standalone`` does not by itself."""
        with self.log.open("ab") as log:
            component = subprocess.Popen(
                ["airflow", name],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._sessions.add(component.pid)  # ended with the others
        self._components.append(component)

    def stop(self) -> None:
        super().stop()
        for component in self._components:
            component.wait()

    def kill_worker_of(self, task: Task) -> None:
        """End a running task and the worker above it with SIGKILL, as a machine that is lost does."""
        by_id = {each.pid: each for each in self.processes()}
        process = by_id[task["pid"]]
        worker = by_id[process.ppid()]
        for each in (worker, process):
            os.kill(each.pid, signal.SIGKILL)


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _as_text(line: dict[str, Any]) -> str:
    """Return a line of the log: its event, and the errors told beside it."""
    errors = [
        f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or () if error
    ]
    return "\n".join([str(line["event"]), *errors])
