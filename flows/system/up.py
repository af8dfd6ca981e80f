"""The system kept running: servers, served flows, and the executor where it is configured.

Decides what is started, in which order, and that what ends by itself is started again after a
pause that doubles. Never restarts an executor that refused its configuration: it says why.
Rule: everything ends together, whatever ends it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event
from typing import Final

from rich.console import Console

from flows.clock import monotonic_s
from flows.settings import Settings
from flows.shown.terminal import Stages
from flows.system.processes import Program, spawn
from flows.system.programs import executor_environment, executor_python
from flows.system.runs import Serving
from flows.system.services import NAMES, Services

LOOK_S: Final = 1.0
PAUSE_S_MIN: Final = 1.0
PAUSE_S_MAX: Final = 60.0
CALM_S: Final = 300.0  # after so long without an end the pause is short again
BAD_INPUT_CODE: Final = 2
EXECUTOR: Final = "executor"


@dataclass(slots=True, kw_only=True)
class Kept:
    """A program that is started again when it ends."""

    name: str
    start: Callable[[], Program]
    program: Program | None = None
    started_s: float = 0.0
    pause_s: float = PAUSE_S_MIN
    given_up: str = ""

    def look(self, now_s: float, tell: Callable[[str], None]) -> None:
        """Start the program where it is due."""
        if self.given_up:
            return
        if self.program is None:
            self.program, self.started_s = self.start(), now_s
            return
        code = self.program.exit_code
        if code is None:
            if now_s - self.started_s > CALM_S:
                self.pause_s = PAUSE_S_MIN
            return
        if code == BAD_INPUT_CODE:
            self.given_up = self.program.last_words()
            tell(f"{self.name} is not running: {self.given_up}")
        elif now_s - self.started_s >= self.pause_s:
            tell(f"{self.name} ended with code {code}; starting it again")
            self.pause_s = min(2 * self.pause_s, PAUSE_S_MAX)
            self.program.stop()
            self.program, self.started_s = self.start(), now_s

    def stop(self) -> None:
        """End the program."""
        if self.program is not None:
            self.program.stop()


def keep_up(settings: Settings, console: Console, *, with_executor: bool) -> None:
    """Run the system until a signal ends it."""
    stages = Stages(console)
    with ExitStack() as open_things:
        services = open_things.enter_context(Services(settings))
        services.begin(NAMES)
        serving = open_things.enter_context(Serving(settings, services))
        with stages.stage("Servers") as stage:
            services.wait(stage.say)
            stage.say(" · ".join(s.short for s in services))
        with stages.stage("Flows") as stage:
            serving.wait_ready(stage)
            stage.say(f"retrain/{settings.schedule.deployment}, cron {settings.schedule.cron!r}")
        _explain(console, services)
        kept = [_executor(settings, services)] if with_executor else []
        for one in kept:
            open_things.callback(one.stop)
        _watch(services, serving, kept, console)


def _watch(services: Services, serving: Serving, kept: list[Kept], console: Console) -> None:
    """Look after everything until a signal comes."""
    pause = Event()

    def tell(line: str) -> None:
        console.print(f"  · {line}", markup=False)

    while True:
        for name in services.revive():
            tell(f"{name} ended by itself; starting it again")
        serving.revive(tell)
        for one in kept:
            one.look(monotonic_s(), tell)
        pause.wait(LOOK_S)


def _executor(settings: Settings, services: Services) -> Kept:
    python, _ = executor_python(settings)
    paths = settings.paths

    def start() -> Program:
        return spawn(
            EXECUTOR,
            [str(python), "-m", "executor", "run"],
            environment=executor_environment(settings, services),
            logs=paths.logs,
            run=paths.run,
        )

    return Kept(name=EXECUTOR, start=start)


def _explain(console: Console, services: Services) -> None:
    """Say where a person goes from here."""
    prefect, mlflow = services["prefect"].page, services["mlflow"].page
    console.print()
    console.print(f"  Schedule and start retraining   {prefect}/deployments")
    console.print(f"  Look at models, promote one     {mlflow}/#/models")
    console.print("  From another terminal           tribar status, tribar retrain, tribar models")
    console.print("  Stop everything                 Ctrl-C")
    console.print()
