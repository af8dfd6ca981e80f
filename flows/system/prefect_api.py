"""What we ask of a Prefect server over REST: start a run, watch it, clear what a crash left.

Decides how a run's state, its stages and its last log line are read. Never imports prefect, whose
import alone takes seconds: the flows do that, in their own processes.
Rule: this is the only module that knows a path of Prefect's API.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import httpx
import stamina

from flows.system.processes import ProgramError

TIMEOUT_S: Final = 20.0
# A server on SQLite answers 503 while its database is locked: nothing was done, so asking again is
# safe, also for a POST.
BUSY: Final = httpx.codes.SERVICE_UNAVAILABLE
BUSY_ATTEMPTS: Final = 8
BUSY_S: Final = 45.0
FINISHED: Final = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
PREFECT_WORDS: Final = (
    "Beginning ",
    "Created task run",
    "Encountered exception",
    "Finished in state",
    "View at",
)
UNFINISHED: Final = ["PENDING", "RUNNING", "CANCELLING", "PAUSED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """A flow run as the server sees it."""

    id: str
    name: str
    flow: str
    state: str  # SCHEDULED, PENDING, RUNNING, COMPLETED, FAILED, CRASHED, CANCELLED
    message: str
    seconds: float
    result_path: Path | None

    @property
    def is_finished(self) -> bool:
        """Whether the state can no longer change."""
        return self.state in FINISHED

    def result(self) -> dict[str, Any]:
        """Return what the flow returned.

        Raises
        ------
        ProgramError
            Where this machine cannot read it.
        """
        if self.result_path is None or not self.result_path.is_file():
            raise ProgramError(f"the result of run {self.name} was not kept on this machine")
        returned = json.loads(self.result_path.read_text(encoding="utf-8"))
        if not isinstance(returned, dict):
            raise ProgramError(f"run {self.name} returned something else than a table of results")
        return returned


class PrefectApi:
    """A client for one server; close it, or use it as a context."""

    def __init__(self, url: str, api_key: str = "") -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._page = url.removesuffix("/api")
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S)
        self._flow_names: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def run_page(self, run: FlowRun) -> str:
        """Return the run's address in the UI."""
        return f"{self._page}/runs/flow-run/{run.id}"

    def deployment(self, name: str) -> dict[str, Any] | None:
        """Return the deployment `flow/name`, or None where there is none."""
        found: dict[str, Any] | None = self._ask(
            "GET", f"/deployments/name/{name}", missing_ok=True
        )
        return found

    def start(self, deployment_id: str, parameters: Mapping[str, Any]) -> FlowRun:
        """Schedule a run of the deployment for now."""
        state = {"type": "SCHEDULED", "name": "Scheduled"}
        body = {"parameters": dict(parameters), "state": state}
        found = self._ask("POST", f"/deployments/{deployment_id}/create_flow_run", body)
        return self._run(found)

    def run(self, run_id: str) -> FlowRun:
        """Return the run as it is now."""
        return self._run(self._ask("GET", f"/flow_runs/{run_id}"))

    def children(self, run_id: str) -> list[FlowRun]:
        """Return the flows that the run has called, in order of their start."""
        chosen = {"parent_flow_run_id": {"any_": [run_id]}}
        body = {"flow_runs": chosen, "sort": "START_TIME_ASC", "limit": 200}
        return [self._run(found) for found in self._ask("POST", "/flow_runs/filter", body)]

    def last_log(self, run_id: str) -> str:
        """Return the first line of the run's newest own message; empty where there is none."""
        chosen = {"flow_run_id": {"any_": [run_id]}}
        body = {"logs": chosen, "sort": "TIMESTAMP_DESC", "limit": 5}
        for line in self._ask("POST", "/logs/filter", body):
            message = str(line["message"]).strip()
            if message and not message.startswith(PREFECT_WORDS):
                return message.splitlines()[0]
        return ""

    def progress(self, run_id: str) -> float | None:
        """Return the percentage that the run's progress artifacts show; None where it has none."""
        found = self.progress_of_parts(run_id)
        return sum(found.values()) / len(found) if found else None

    def progress_of_parts(self, run_id: str) -> dict[str, float]:
        """Return the percentage of each progress artifact of the run, by its description."""
        chosen = {"flow_run_id": {"any_": [run_id]}, "type": {"any_": ["progress"]}}
        body = {"artifacts": chosen, "limit": 200}
        newest: dict[str, float] = {}
        for found in self._ask("POST", "/artifacts/filter", body):
            newest[found["description"] or found["id"]] = float(found["data"] or 0.0)
        return newest

    def cancel(self, run_id: str) -> None:
        """Ask for the run's end."""
        self._set_state(run_id, "CANCELLING", "Cancelling", "asked for in the terminal")

    def clear_leftovers(self, deployment_id: str) -> int:
        """Close the runs of a deployment whose process is gone; return how many there were.

        A crash leaves runs that look alive for ever and keep the deployment's only slot; a pause
        leaves scheduled runs of the past that would all start at once.
        """
        chosen = {"id": {"any_": [deployment_id]}}
        dead = {"state": {"type": {"any_": UNFINISHED}}}
        late = {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": datetime.now(UTC).isoformat()},  # noqa: TID251 - wall time of a server
        }
        cleared = 0
        for runs, state in ((dead, ("CRASHED", "Crashed")), (late, ("CANCELLED", "Cancelled"))):
            body = {"deployments": chosen, "flow_runs": runs, "limit": 200}
            for found in self._ask("POST", "/flow_runs/filter", body):
                self._set_state(found["id"], *state, "its process was gone before it could run")
                cleared += 1
        return cleared

    def _set_state(self, run_id: str, kind: str, name: str, message: str) -> None:
        state = {"type": kind, "name": name, "message": message}
        self._ask("POST", f"/flow_runs/{run_id}/set_state", {"state": state})

    def _run(self, found: Mapping[str, Any]) -> FlowRun:
        state = found["state"] or {}
        data = state.get("data") or {}
        key = data.get("storage_key") if isinstance(data, dict) else None
        return FlowRun(
            id=found["id"],
            name=found["name"],
            flow=self._flow_name(found["flow_id"]),
            state=str(state.get("type", "PENDING")),
            message=str(state.get("message") or ""),
            seconds=float(found["total_run_time"] or found["estimated_run_time"] or 0.0),
            result_path=Path(key) if key else None,
        )

    def _flow_name(self, flow_id: str) -> str:
        if flow_id not in self._flow_names:
            self._flow_names[flow_id] = self._ask("GET", f"/flows/{flow_id}")["name"]
        return self._flow_names[flow_id]

    @stamina.retry(on=httpx.HTTPStatusError, attempts=BUSY_ATTEMPTS, timeout=BUSY_S)
    def _reply(self, method: str, path: str, body: object) -> httpx.Response:
        """Return the server's answer; one that is busy is asked again a bounded number of times."""
        reply = self._http.request(method, path, json=body)
        if reply.status_code == BUSY:
            reply.raise_for_status()
        return reply

    def _ask(self, method: str, path: str, body: object = None, *, missing_ok: bool = False) -> Any:
        try:
            reply = self._reply(method, path, body)
        except httpx.HTTPStatusError as error:
            reply = error.response
        except httpx.HTTPError as error:
            raise ProgramError(f"Prefect does not answer at {self._page}: {error}") from None
        if missing_ok and reply.status_code == httpx.codes.NOT_FOUND:
            return None
        if reply.is_error:
            raise ProgramError(f"Prefect refused {path} ({reply.status_code}): {reply.text[:200]}")
        return reply.json() if reply.content else None
