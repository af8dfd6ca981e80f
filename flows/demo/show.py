"""The choreography of `tribar demo`: what a person would do by hand, in order, and said aloud.

Decides the order: servers, exchange, training through Prefect, promotion by alias, trading, report.
Never does what a person could not: each step is a program, a flow run or a `tribar` command.
Rule: whatever ends it (the end, Ctrl-C, an error, a kill), nothing keeps running.
"""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from flows.demo.page import Story, page
from flows.demo.plan import MODEL_NAME, SIMULATED, Plan
from flows.demo.prices import closes
from flows.demo.summary import Run, Summary, closing, equity_ends, short_path, summarise
from flows.demo.trading import Traded, Trader
from flows.settings import Settings, load_settings
from flows.settings_source import process_environment
from flows.shown.terminal import Stages
from flows.system.processes import ProgramError, spawn
from flows.system.programs import PaperExchange, start_paper
from flows.system.runs import Outcome, Serving, run_flow
from flows.system.services import NAMES, Services

RUNS_KEPT: Final = 5
LAKES_KEPT: Final = 3
LOOK_S: Final = 0.5
PROMOTE_TIMEOUT_S: Final = 120.0
REASON: Final = "tribar demo shows the whole loop on the paper exchange"


class Demo:
    """One run of the demo."""

    def __init__(self, settings: Settings, plan: Plan, console: Console) -> None:
        self._settings = settings
        self._plan = plan
        self._console = console
        self._stages = Stages(console)
        self._override = ""

    def run(self, *, keep: bool, on_summary: Callable[[Summary], None]) -> Summary:
        """Run everything, show it, and return the summary; with ``keep`` wait for Ctrl-C then."""
        self._open()
        with ExitStack() as running:
            services = running.enter_context(Services(self._settings))
            services.begin(NAMES)
            paper = self._start_exchange(running)
            environment = self._plan.environment(paper.url, paper.ws_url)
            settings = load_settings(
                self._settings.paths.home,
                process_environment() | services.environment() | environment,
            )
            serving = running.enter_context(Serving(settings, services, environment))
            self._wait_servers(services, serving)
            training = self._train(settings, services, serving)
            version = self._promote(services.environment() | environment, training.result)
            trader = running.enter_context(Trader(self._settings, services, self._plan, paper))
            traded = self._trade(trader)
            report = self._report(paper, training, version, traded)
            run = Run(
                plan=self._plan,
                training=training,
                version=version,
                traded=traded,
                seconds=self._seconds(training),
                report=report,
            )
            summary = summarise(run, {s.name: s.page for s in services} | {"executor": trader.url})
            on_summary(summary)
            self._console.print(closing(summary, self._settings.paths.home))
            if keep:
                self._wait(services)
        return summary

    def _open(self) -> None:
        plan = self._plan
        text = Text.assemble((f"{plan.title}\n", "bold"), (f"{plan.windows}\n", "dim"))
        text.append(
            f"everything of this run lies in {short_path(plan.folder, self._settings.paths.home)}",
            "dim",
        )
        self._console.print(Panel(text, title="Tribar demo", title_align="left", box=box.ROUNDED))
        _prune(self._settings.paths.demo)
        plan.folder.mkdir(parents=True, exist_ok=True)

    def _wait_servers(self, services: Services, serving: Serving) -> None:
        with self._stages.stage("Servers") as stage:
            services.wait(stage.say)
            stage.say(" · ".join(s.short for s in services))
        with self._stages.stage("Flows") as stage:
            serving.wait_ready(stage)
            stage.say(f"{services['prefect'].page}/deployments")

    def _start_exchange(self, running: ExitStack) -> PaperExchange:
        plan = self._plan
        arguments: dict[str, object] = {
            "market": plan.market,
            "symbols": ",".join(plan.symbols),
            "interval": plan.interval,
            "now": plan.until_ms,
            "bars": plan.bars,
            "seed": plan.seed,
            "speed": "lockstep",
        }
        if plan.market == SIMULATED:
            arguments["history"] = plan.history
        with self._stages.stage("Paper exchange") as stage:
            stage.say("making the market up" if plan.market == SIMULATED else "reading the candles")
            paper = start_paper(self._settings, arguments, process_environment())
            running.callback(paper.program.stop)
            stage.say(f"{paper.url} speaks Bybit v5")
        return paper

    def _train(self, settings: Settings, services: Services, serving: Serving) -> Outcome:
        plan = self._plan
        parameters = {
            "symbols": list(plan.symbols),
            "days": plan.days,
            "interval": plan.interval,
            "until": datetime.fromtimestamp(plan.until_ms / 1000, UTC).isoformat(),
            "trials": plan.trials,
        }
        return run_flow(
            settings, services, serving, self._stages, flow="retrain", parameters=parameters
        )

    def _promote(
        self, environment: Mapping[str, str], training: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Set the alias as a person would; a refused model needs a written override, said first."""
        registered = training["register"]
        command = ["promote", str(registered["version"])]
        if registered["gate"] != "passed":
            failed = [
                c["reason"]
                for c in training["gate"]["criteria"]
                if not c["passed"] and c.get("binding", True)
            ]
            self._override = "; ".join(failed[:3])
            self._console.print(
                Panel(
                    f"The gate has [bold]refused[/] this model: {_plain('; '.join(failed[:3]))}.\n"
                    "Nothing refused ever trades real money. To show the rest of the loop, it runs "
                    "on the paper exchange by a written override (scope: paper).",
                    border_style="yellow",
                    box=box.ROUNDED,
                )
            )
            command += ["--override", REASON]
        with self._stages.stage("Promote") as stage:
            stage.say(f"tribar promote {registered['version']}")
            version = self._tribar(command, environment)
            stage.say(f"version {version['version']} is champion of {MODEL_NAME}")
        return version

    def _trade(self, trader: Trader) -> Traded:
        with self._stages.stage("Executor") as stage:
            trader.start(stage)
            where = "lean environment" if trader.is_lean else "no .venv-executor: this environment"
            stage.say(f"{trader.url}/health · {where} · up in {trader.vitals.cold_start_s:.1f} s")
        with self._stages.stage("Trade") as stage:
            traded = trader.trade(stage)
            start, end = equity_ends(traded.journal.equity)
            trades = len(traded.journal.trades)
            stage.say(
                f"{traded.journal.bars:,} bars · {trades} trades · {start:,.0f} → {end:,.2f} USDT"
            )
        return traded

    def _report(
        self, paper: PaperExchange, training: Outcome, version: dict[str, Any], traded: Traded
    ) -> Path:
        plan = self._plan
        with self._stages.stage("Report") as stage:
            stage.say("drawing")
            plots = Path(training.result["train"]["folder"]) / "plots"
            story = Story(
                plan=plan,
                training=training.result,
                version=version,
                traded=traded,
                prices={symbol: closes(paper.url, plan, symbol) for symbol in plan.symbols},
                plots={path.stem: path.read_bytes() for path in sorted(plots.glob("*.png"))},
                seconds=self._seconds(training),
                override=self._override,
            )
            report = plan.folder / "report.html"
            report.write_text(page(story), encoding="utf-8")
            stage.say(short_path(report, self._settings.paths.home))
        return report

    def _seconds(self, training: Outcome) -> dict[str, float]:
        """Return how long each stage took; the flows as Prefect measured them."""
        shown = {name.lower(): round(s, 2) for name, s in self._stages.seconds.items()}
        return shown | {name: round(s, 2) for name, s in training.seconds.items()}

    def _wait(self, services: Services) -> None:
        """Keep everything until a signal comes."""
        self._console.print("  Everything keeps running; look around. Ctrl-C stops it all.")
        pause = Event()
        while True:
            pause.wait(LOOK_S)  # with a bound: an endless wait is deaf to signals on some systems
            services.check()

    def _tribar(self, arguments: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
        """Run a `tribar` command as a person would, and return what it wrote."""
        file = self._plan.folder / f"{arguments[0]}.json"
        command = [sys.executable, "-m", "flows.cli", *arguments, "--json", str(file)]
        paths = self._settings.paths
        with spawn(
            f"demo-{arguments[0]}", command, environment=environment, logs=paths.logs, run=paths.run
        ) as program:
            if program.wait(PROMOTE_TIMEOUT_S) != 0:
                raise ProgramError(f"tribar {arguments[0]}: {program.last_words()}")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found


def _prune(folder: Path) -> None:
    """Delete what old runs left: only the newest few are kept."""
    for place, kept in ((folder, RUNS_KEPT), (folder / "lakes", LAKES_KEPT)):
        found = [p for p in place.glob("*") if p.is_dir() and p.name != "lakes"]
        newest = sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)
        for path in newest[kept:]:
            shutil.rmtree(path, ignore_errors=True)


def _plain(text: str) -> str:
    return text.replace("[", r"\[").rstrip(".")
