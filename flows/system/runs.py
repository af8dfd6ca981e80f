"""Runs of the pipeline's flows on the Prefect server, as the command line asks for them.

Decides how a run is started (through the served deployment, as from the Prefect UI), how it is
watched and shown stage by stage, and what its end means. Never runs a flow in its own process.
Rule: a run that a person interrupts is cancelled on the server as well.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Any, Final, Self

from stamina.instrumentation import set_on_retry_hooks

from features.errors import InputError
from flows.clock import monotonic_s
from flows.lake.errors import LakeError, VenueError
from flows.settings import Settings
from flows.shown.terminal import Stage, Stages
from flows.system.prefect_api import FlowRun, PrefectApi
from flows.system.processes import Program, ProgramError, running, spawn
from flows.system.services import Services

POLL_S: Final = 0.5
SERVE_READY: Final = "flows are served:"
SERVE_TIMEOUT_S: Final = 120.0
PICK_UP_TIMEOUT_S: Final = 180.0
# What a flow raises where its input is at fault, by name: all of them are InputError.
BAD_INPUT: Final = (InputError.__name__, LakeError.__name__, VenueError.__name__)
TITLES: Final = {
    "ingest": "Ingest",
    "universe": "Universe",
    "quality": "Quality",
    "dataset": "Dataset",
    "search": "Search",
    "train": "Train",
    "gate": "Gate",
    "register": "Register",
    "retrain": "Prefect run",
    "onboard": "Prefect run",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run returned, where to look at it, and how long each of its stages took."""

    result: Mapping[str, Any]
    page: str
    seconds: Mapping[str, float]


class Serving:
    """The program that carries out the runs of our deployments, ours or another `tribar`'s."""

    def __init__(
        self, settings: Settings, services: Services, environment: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._services = services
        self._environment = dict(environment or {})
        self._name = f"serve-{settings.schedule.deployment}"
        self._program: Program | None = None

    def __enter__(self) -> Self:
        """Start serving, unless another `tribar` does; the servers may still be starting."""
        if running(self._settings.paths.run, self._name) is None:
            self._program = self._spawned()
        return self

    def __exit__(self, *_: object) -> None:
        if self._program is not None:
            self._program.stop()

    def wait_ready(self, stage: Stage) -> None:
        """Wait until the deployments are registered.

        Raises
        ------
        ProgramError
            Where the program ended, or is not ready in time; the line names its log.
        """
        deadline_s, pause = monotonic_s() + SERVE_TIMEOUT_S, Event()
        program = self._program
        while program is not None and SERVE_READY not in program.output():
            self.check()
            stage.say("registering the flows with Prefect")
            if monotonic_s() > deadline_s:
                raise ProgramError(f"the flows were not registered in time; see {program.log}")
            pause.wait(POLL_S)

    def check(self) -> None:
        """Raise where the program that carries out the runs has ended."""
        program = self._program
        if program is not None and program.exit_code is not None:
            raise ProgramError(
                f"serving the flows ended with code {program.exit_code}: "
                f"{program.last_words()} (log: {program.log})"
            )

    def revive(self, tell: Callable[[str], None]) -> None:
        """Serve again where the program has ended by itself."""
        program = self._program
        if program is not None and program.exit_code is not None:
            tell(f"serving ended with code {program.exit_code}; starting it again")
            program.stop()
            self._program = self._spawned()

    def _spawned(self) -> Program:
        paths = self._settings.paths
        environment = self._services.environment() | self._environment
        command = [sys.executable, "-m", "flows.serve"]
        return spawn(self._name, command, environment=environment, logs=paths.logs, run=paths.run)


def run_flow(
    settings: Settings,
    services: Services,
    serving: Serving,
    stages: Stages,
    *,
    flow: str,
    parameters: Mapping[str, Any],
) -> Outcome:
    """Run a served flow on the Prefect server, show its stages, and return its outcome.

    Raises
    ------
    InputError
        Where the flow refused its input.
    ProgramError
        Where it failed otherwise; the line names the run's page.
    """
    set_on_retry_hooks(())  # a request that is sent again is no news for the terminal
    with PrefectApi(services["prefect"].url) as api, _Watch(stages) as watch:
        deployment = api.deployment(f"{flow}/{settings.schedule.deployment}")
        if deployment is None:
            raise ProgramError(f"Prefect knows no deployment {flow}; is it served? (tribar up)")
        run = api.start(deployment["id"], parameters)
        seconds: dict[str, float] = {}
        try:
            run = _follow(api, run, watch, serving, seconds)
        except (KeyboardInterrupt, SystemExit):
            api.cancel(run.id)
            raise
        _check(run, api.run_page(run))
        return Outcome(result=run.result(), page=api.run_page(run), seconds=seconds)


class _Watch(AbstractContextManager["_Watch"]):
    """The stage that is shown now; a new one closes the one before."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._open = ExitStack()
        self._shown = ""
        self._stage: Stage | None = None

    def show(self, run: FlowRun, detail: str, percent: float | None = None) -> None:
        """Show that ``run`` is being carried out, and how far it is where that is known."""
        if run.id != self._shown or self._stage is None:
            self.close()
            title = TITLES.get(run.flow, run.flow.capitalize())
            self._shown, self._stage = run.id, self._open.enter_context(self._stages.stage(title))
        if percent is not None:
            self._stage.advance(percent, 100.0, detail)
        elif detail:
            self._stage.say(detail)

    def note(self, run: FlowRun, detail: str, percent: float | None = None) -> None:
        """Change words and bar where ``run`` is the one that is shown."""
        if run.id == self._shown:
            self.show(run, detail, percent)

    def close(self) -> None:
        """Close the stage shown, as done."""
        self._open.close()
        self._shown, self._stage = "", None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)


def _follow(
    api: PrefectApi, run: FlowRun, watch: _Watch, serving: Serving, seconds: dict[str, float]
) -> FlowRun:
    """Show the run until it is finished; fills ``seconds`` by flow."""
    pause, deadline_s = Event(), monotonic_s() + PICK_UP_TIMEOUT_S
    closed: set[str] = set()
    watch.show(run, f"{api.run_page(run)} waits to be started")
    while True:
        run = api.run(run.id)
        children = api.children(run.id)
        if run.state == "RUNNING" and not closed:
            parts = {} if children else api.progress_of_parts(run.id)
            done = sum(parts.values()) / len(parts) if parts else None
            words = ", ".join(f"{name.partition(' ')[2]} {n:.0f} %" for name, n in parts.items())
            watch.note(run, words or api.run_page(run), done)
        for child in children:
            seconds[child.flow] = child.seconds
            if child.id not in closed and child.state != "SCHEDULED":
                watch.show(child, api.last_log(child.id), api.progress(child.id))
            if child.state == "COMPLETED":
                closed.add(child.id)
        if run.is_finished:
            return run
        serving.check()
        if run.state == "SCHEDULED" and monotonic_s() > deadline_s:
            raise ProgramError(f"{api.run_page(run)} is not picked up; is another one running?")
        pause.wait(POLL_S)


def _check(run: FlowRun, page: str) -> None:
    """Raise where the run did not complete."""
    if run.state == "COMPLETED":
        return
    reason = run.message.partition("encountered an exception: ")[2] or run.message or run.state
    if reason.partition(":")[0] in BAD_INPUT:
        raise InputError(reason.partition(": ")[2].strip("'\""))
    raise ProgramError(f"{run.flow} did not complete: {reason.splitlines()[0]} (see {page})")
