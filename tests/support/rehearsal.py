"""One history, two drivers: the executor live on the paper exchange, and the simulation alone.

`prepared` serves a market, ingests its past through the lake as a user would, and trains a small
model on it. `traded` reads what a journal holds; `simulated` ingests what the exchange showed and
drives the same closes through `flows.research.simulate`. Nothing here judges: tests compare.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import stamina

from executor.clock import SystemClock
from executor.core.bundle import pack, unpack
from executor.core.params import Params
from executor.core.types import Decision, Fill, Instrument, OrderIntent, Trade
from executor.journal.codec import decode
from executor.settings.sections import Venue as VenueSettings
from executor.settings.settings import load_settings, make_params
from executor.venue.adapter import Venue
from features.catalog import Catalog, default_catalog
from features.exit_plan import ExitPlan
from features.meta import model_matrix
from features.signals_batch import signals_batch
from features.types import FloatArray
from flows.lake.candles import Request
from flows.lake.download import download, failures
from flows.lake.store import Lake
from flows.lake.venue import Access
from flows.research.market import Market, build_market
from flows.research.simulate import foresee, run, tape
from tests.support import bundles
from tests.support.bundles import INTERVAL_MS, SIGNAL, manifest_of, train_part
from tests.support.executor_program import ExecutorProgram
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import Paper, paper_program

INTERVAL = "15m"
HISTORY = default_catalog().warmup_bars + 1_500
HORIZON = 16
FEES = ("--taker-fee", "0.0005", "--maker-fee", "0.0002")
BARRIERS = ExitPlan()
PARTIAL = ExitPlan(
    partial_fraction=0.4, partial_at=0.5, break_even=True, trail=1.0, trail_from=0.75
)
"""Everything a plan can do: a part leaves early, the stop goes to the entry and then trails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Which market, from when, and how positions are led out."""

    market: tuple[str, ...]
    symbols: tuple[str, ...]
    start_ms: int
    bars: int
    plan: ExitPlan = BARRIERS
    columns: tuple[str, ...] = ()

    @property
    def catalog(self) -> Catalog:
        """The features of the model: all that models are trained on, unless some are named."""
        return default_catalog().subset(self.columns) if self.columns else default_catalog()

    def arguments(self) -> list[str]:
        """Return the command line of the paper exchange."""
        return [
            *self.market, "--symbols", ",".join(self.symbols), "--interval", INTERVAL,
            "--start-ms", str(self.start_ms), "--bars", str(self.bars),
            "--speed", "lockstep", *FEES,
        ]  # fmt: skip


def simulated_market(bars: int, seed: int = 5, **more: Any) -> Scenario:
    """Return a scenario on a market that the exchange makes up."""
    return Scenario(
        market=("--market", "simulated", "--history", str(HISTORY), "--seed", str(seed)),
        symbols=bundles.SYMBOLS,
        start_ms=1_735_689_600_000,
        bars=bars,
        **more,
    )


def real_market(folder: Path, bars: int, **more: Any) -> Scenario:
    """Return a scenario on real candles, from days before the crash of 2025-10-10 on."""
    return Scenario(
        market=("--market", f"replay:{folder / 'binance-perp'}"),
        symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"),
        start_ms=1_759_622_400_000,  # 2025-10-05
        bars=bars,
        **more,
    )


@dataclass(slots=True, kw_only=True)
class Run:
    """What one of the two did, in order."""

    close_ms: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    intents: list[OrderIntent] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)

    def until(self, close_ms: int) -> "Run":
        """Return what was decided up to a close, and what the bars before it did."""
        kept = sum(at <= close_ms for at in self.close_ms)
        return Run(
            close_ms=self.close_ms[:kept],
            equity=self.equity[:kept],
            intents=[one for one in self.intents if one.close_ms <= close_ms],
            decisions=[one for one in self.decisions if one.close_ms <= close_ms],
            fills=[one for one in self.fills if one.time_ms < close_ms],
            trades=[one for one in self.trades if one.closed_ms < close_ms],
        )


@dataclass(slots=True, kw_only=True)
class Stage:
    """A market that is served, its past in a lake, and a model trained on it."""

    scenario: Scenario
    folder: Path
    paper: Paper
    mlflow: FakeMlflow
    redis_url: str
    files: dict[str, bytes]

    def program(self, name: str = "executor", **more: Any) -> ExecutorProgram:
        """Return an executor for this stage, not yet started."""
        return ExecutorProgram(
            self.folder,
            self.paper,
            redis_url=self.redis_url,
            registry_url=self.mlflow.url,
            symbols=self.scenario.symbols,
            name=name,
            prefix=f"{self.folder.name}:",
            **more,
        )

    async def simulated(self, program: ExecutorProgram, first_ms: int) -> Run:
        """Ingest what the exchange has shown, and let the simulation trade it."""
        markets = await asyncio.to_thread(ingested, self.scenario, self.folder / "lake", self.paper)
        model = unpack(self.files)
        settings = load_settings(program.config, {})
        params = make_params(settings, await instruments(self.paper), model.info.costs)
        return await asyncio.to_thread(self._simulate, markets, params, first_ms)

    def _simulate(self, markets: list[Market], params: Params, first_ms: int) -> Run:
        stop_ms = int(min(market.candles.close_ms[-1] for market in markets)) + 1
        model, catalog = unpack(self.files), self.scenario.catalog
        ahead = foresee(model, markets, catalog, first_ms, stop_ms)
        done = run(ahead, markets, params, start_ms=first_ms, stop_ms=stop_ms)
        return Run(
            close_ms=done.close_ms,
            equity=done.equity,
            intents=done.intents,
            decisions=done.decisions,
            fills=done.fills,
            trades=done.trades,
        )


@contextlib.asynccontextmanager
async def prepared(scenario: Scenario, folder: Path, redis_url: str) -> AsyncIterator[Stage]:
    """Serve a market and register a model that was trained on what came before."""
    with paper_program(*scenario.arguments()) as paper:
        past = await asyncio.to_thread(ingested, scenario, folder / "lake", paper)
        files = await asyncio.to_thread(trained, scenario, past, await instruments(paper))
        async with FakeMlflow() as mlflow:
            mlflow.register(files)
            yield Stage(
                scenario=scenario,
                folder=folder,
                paper=paper,
                mlflow=mlflow,
                redis_url=redis_url,
                files=files,
            )


def ingested(scenario: Scenario, folder: Path, paper: Paper) -> list[Market]:
    """Bring the lake up to date from the exchange and return its markets with their features."""
    lake = Lake(folder)
    request = Request(
        symbols=scenario.symbols,
        interval=INTERVAL,
        start_ms=scenario.start_ms - HISTORY * INTERVAL_MS,
        mark=False,
    )
    assert failures(download(lake, Access(url=paper.url), request)) == []
    return [
        build_market(
            symbol,
            lake.candles("bybit", symbol, INTERVAL),
            lake.funding("bybit", symbol),
            scenario.catalog,
            days_min=0.0,
        )
        for symbol in scenario.symbols
    ]


def trained(
    scenario: Scenario, markets: Sequence[Market], known: dict[str, Instrument]
) -> dict[str, bytes]:
    """Return a bundle trained in a hurry on the signals of ``markets``."""
    catalog = scenario.catalog
    rows, outcomes = [], []
    for market in markets:
        signals = signals_batch(market.matrix, catalog, SIGNAL)
        wide = model_matrix(
            market.matrix, signals, market.symbol, sorted(scenario.symbols), "one_hot"
        )
        at = np.flatnonzero(signals.side != 0)
        at = at[(at >= market.first) & (at < market.candles.n - HORIZON - 1)]
        opens = market.candles.open
        rows.append(wide[at])
        outcomes.append(signals.side[at] * (opens[at + 1 + HORIZON] / opens[at + 1] - 1.0))
    shown = bundles.Market(
        catalog=catalog, tapes=tuple(tape(market) for market in markets), instruments=known
    )
    manifest = manifest_of(shown, exit_plan=plan_fields(scenario.plan))
    return pack(manifest, {"": train_part(stacked(rows), np.concatenate(outcomes))})


def stacked(rows: list[FloatArray]) -> FloatArray:
    """Return all rows in one matrix."""
    return np.ascontiguousarray(np.concatenate(rows))


def plan_fields(plan: ExitPlan) -> dict[str, Any]:
    """Return a plan as a manifest holds it."""
    return {name: getattr(plan, name) for name in ExitPlan.__dataclass_fields__}


@contextlib.asynccontextmanager
async def account(paper: Paper) -> AsyncIterator[Venue]:
    """Look at the account of the executor, by the same adapter over ccxt."""
    venue = Venue(
        VenueSettings(
            url=paper.url, ws_url=paper.ws, api_key=paper.api_key, api_secret=paper.secret
        ),
        environment="paper",
        clock=SystemClock(),
        fence=lambda path, params: None,
        emit=lambda event: None,
    )
    try:
        await venue.open()
        yield venue
    finally:
        await venue.close()


async def instruments(paper: Paper) -> dict[str, Instrument]:
    """Return what the exchange says of its contracts."""
    async with account(paper) as venue:
        return dict(venue.instruments)


def _is_starting(error: Exception) -> bool:
    """Say whether a journal cannot be read while its owner, killed, opens it anew."""
    return isinstance(error, sqlite3.OperationalError) and "unable to open" in str(error)


@stamina.retry(on=_is_starting, attempts=50, timeout=5.0, wait_initial=0.05, wait_max=0.2)
def rows(journal: Path, query: str) -> list[tuple[Any, ...]]:
    """Return rows of a journal, read beside whoever writes it."""
    with contextlib.closing(
        sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=10.0)
    ) as database:
        return database.execute(query).fetchall()


def traded(journal: Path) -> Run:
    """Return what a journal says was decided and done, in order."""

    def bodies(kind: type[Any], query: str) -> list[Any]:
        return [decode(kind, body) for (body,) in rows(journal, query)]

    equity = rows(journal, "SELECT close_ms, equity FROM equity ORDER BY close_ms")
    return Run(
        close_ms=[at for at, _ in equity],
        equity=[value for _, value in equity],
        intents=bodies(OrderIntent, "SELECT body FROM intents WHERE kind = 'order' ORDER BY seq"),
        decisions=bodies(Decision, "SELECT body FROM decisions ORDER BY seq"),
        fills=bodies(Fill, "SELECT body FROM fills ORDER BY event_seq"),
        trades=bodies(Trade, "SELECT body FROM trades ORDER BY seq"),
    )
