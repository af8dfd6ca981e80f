"""The programs that trade, as the pipeline starts them: the paper exchange and the executor.

Decides their command lines, the executor's own environment, and how it is known that they are
ready. Never imports them: they meet us at HTTP, at Redis and at the journal.
Rule: the executor gets no variable of the pipeline's sections, only its file and its servers.
"""

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

import httpx

from flows.clock import monotonic_s
from flows.settings import Settings, TradingCosts
from flows.settings_source import PREFIX, process_environment
from flows.system.processes import HOST, Program, ProgramError, checked_port, spawn
from flows.system.services import Services

READY_TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.1
LEAN_PYTHON: Final = ".venv-executor/bin/python"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperExchange:
    """A paper exchange that listens."""

    program: Program
    url: str
    ws_url: str
    acknowledge_url: str

    def state(self) -> dict[str, Any]:
        """Return how far the market is; empty where it does not answer in time."""
        try:
            reply = httpx.get(f"{self.url}/__paper/state", timeout=10.0)
        except httpx.HTTPError:
            return {}
        found = reply.json() if reply.is_success else {}
        return found if isinstance(found, dict) else {}


def start_paper(
    settings: Settings, arguments: Mapping[str, object], environment: Mapping[str, str]
) -> PaperExchange:
    """Start the paper exchange and wait until it listens.

    Raises
    ------
    InputError
        Where its port is taken.
    ProgramError
        Where it ended (its own line says why) or does not listen in time.
    """
    port = checked_port(settings.services.paper_port, "paper exchange", "paper_port")
    options = cost_options(settings.costs) | {"port": port} | dict(arguments)
    command = [sys.executable, "-m", "executor.paper"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    paths = settings.paths
    program = spawn(
        "paper",
        command,
        environment=environment,
        logs=paths.logs,
        run=paths.run,
        url=f"http://{HOST}:{port}",
    )
    with ExitStack() as undo:
        undo.callback(program.stop)
        ready = _wait_ready(program)
        undo.pop_all()
    return PaperExchange(
        program=program,
        url=ready["url"],
        ws_url=ready["ws"],
        acknowledge_url=ready["acknowledge_url"],
    )


def cost_options(costs: TradingCosts) -> dict[str, object]:
    """Return the options that make the exchange charge what the labels assume."""
    return {
        "taker-fee": costs.taker_fee,
        "maker-fee": costs.maker_fee,
        "slippage-base": costs.slippage_base,
        "slippage-volatility": costs.slippage_volatility,
    }


def executor_python(settings: Settings) -> tuple[Path, bool]:
    """Return the interpreter for the executor, and whether it is the lean one."""
    lean = settings.paths.home / LEAN_PYTHON
    return (lean, True) if lean.is_file() else (Path(sys.executable), False)


def executor_environment(settings: Settings, services: Services | None) -> dict[str, str]:
    """Return the environment of the executor: no section of the pipeline, but its servers."""
    environment = {
        name: value
        for name, value in process_environment().items()
        if not (name.startswith(PREFIX) and "__" in name)
    }
    environment["TRIBAR_HOME"] = str(settings.paths.home)
    if services is not None:
        environment["TRIBAR_REDIS_URL"] = services["redis"].url
        environment["MLFLOW_TRACKING_URI"] = services["mlflow"].url
    return environment


def _wait_ready(program: Program) -> dict[str, str]:
    """Return the line of JSON with which the paper exchange says that it listens."""
    deadline_s, pause = monotonic_s() + READY_TIMEOUT_S, Event()
    while monotonic_s() < deadline_s:
        for line in program.output().splitlines():
            if line.startswith("{") and '"ready"' in line:
                ready: dict[str, str] = json.loads(line)
                return ready
        if program.exit_code is not None:
            raise ProgramError(f"the paper exchange did not start: {program.last_words()}")
        pause.wait(POLL_S)
    raise ProgramError(f"the paper exchange did not listen in time; see {program.log}")
