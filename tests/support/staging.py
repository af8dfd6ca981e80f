"""A stage for the executor as a program, and what its run is compared with."""

import json
import sqlite3
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from executor.clock import SystemClock
from executor.core.bundle import unpack
from executor.core.events import ModelSwapped
from executor.core.params import Limits, Params
from executor.core.recording import Tape
from executor.core.replay import Replayed, closes, replay
from executor.core.state import new_state
from executor.core.step import step
from executor.journal.store import Journal
from executor.model_changes import kept_model
from executor.models.store import ModelStore
from executor.replay_day import Mismatch, replay_day
from executor.settings.sections import Venue as VenueSettings
from executor.venue.adapter import Venue
from features.catalog import default_catalog
from features.stream import FeatureStream
from features.types import Candles, Funding
from tests.support.bundles import INTERVAL_MS, SYMBOLS, small_bundle
from tests.support.executor_program import ExecutorProgram
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import Paper

HISTORY = 2_000


@dataclass
class Stage:
    """Everything an executor needs, running."""

    folder: Path
    paper: Paper
    mlflow: FakeMlflow
    redis_url: str

    def program(self, name: str = "executor", **more: Any) -> ExecutorProgram:
        return ExecutorProgram(
            self.folder,
            self.paper,
            redis_url=self.redis_url,
            registry_url=self.mlflow.url,
            symbols=SYMBOLS,
            name=name,
            prefix=f"{self.folder.name}:",
            **more,
        )

    async def state(self) -> dict[str, Any]:
        url = self.paper.acknowledge_url.replace("acknowledge", "state")
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            return dict(await reply.json())


def paper_arguments(bars: int) -> list[str]:
    return [
        "--market", "simulated", "--symbols", ",".join(SYMBOLS), "--bars", str(bars),
        "--history", str(HISTORY), "--speed", "lockstep", "--seed", "3",
        "--taker-fee", "0.0005", "--maker-fee", "0.0002",
    ]  # fmt: skip


def rows(journal: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def intents(journal: Path) -> list[tuple[str, str, int, float, str]]:
    """Return what was decided, in order: the flagship comparison."""
    found = []
    for (body,) in rows(journal, "SELECT body FROM intents WHERE kind = 'order' ORDER BY seq"):
        one = json.loads(body)
        found.append(
            (one["client_order_id"], one["symbol"], one["side"], one["quantity"], one["reason"])
        )
    return found


def derived_again(journal: Path, models: Path) -> tuple[int, int, tuple[Mismatch, ...]]:
    """Derive every day of a journal again: closes, orders and what differs."""
    with Journal(journal, read_only=True) as opened:
        found = [
            replay_day(opened, day, partial(kept_model, ModelStore(models)))
            for day in opened.days()
        ]
    differences = tuple(mismatch for day in found for mismatch in day.mismatches)
    return sum(day.closes for day in found), sum(day.orders for day in found), differences


async def recorded(paper: Paper) -> tuple[list[Tape], dict[str, Any]]:
    """Return what the paper exchange shows after its last bar, and its instruments."""
    venue = Venue(
        VenueSettings(
            url=paper.url, ws_url=paper.ws, api_key=paper.api_key, api_secret=paper.secret
        ),
        environment="paper",
        clock=SystemClock(),
        fence=lambda path, params: None,
        emit=lambda event: None,
    )
    await venue.open()
    catalog = unpack(small_bundle()).info.feature_names
    tapes = []
    try:
        for symbol in SYMBOLS:
            shown = await venue.newest_candles(symbol, "15m", 50_000)
            settled = await venue._data.fetch_funding_rate_history(venue._names[symbol])
            tapes.append(tape(symbol, shown, catalog, settled))
        return tapes, venue.instruments
    finally:
        await venue.close()


def tape(
    symbol: str, shown: list[Any], names: tuple[str, ...], settled: list[dict[str, Any]]
) -> Tape:
    """Return what was shown of a symbol, with the features of the live stream."""
    stream = FeatureStream(default_catalog().subset(names), INTERVAL_MS)
    matrix = np.array([stream.update(candle) for candle in shown])
    column = names.index("volatility_96")
    candles = Candles(
        interval_ms=INTERVAL_MS,
        open_ms=np.array([c.open_ms for c in shown], dtype=np.int64),
        **{
            name: np.array([getattr(c, name) for c in shown], dtype=np.float64)
            for name in ("open", "high", "low", "close", "volume")
        },
    )
    funding = Funding(
        time_ms=np.array([row["timestamp"] for row in settled], dtype=np.int64),
        rate=np.array([row["fundingRate"] for row in settled], dtype=np.float64),
    )
    return Tape(
        symbol=symbol,
        candles=candles,
        features=matrix,
        volatility=matrix[:, column],
        funding=funding,
    )


async def simulate(paper: Paper, first_ms: int, last_ms: int) -> Replayed:
    """Run the same history through the core alone."""
    tapes, instruments = await recorded(paper)
    bundle = unpack(small_bundle())
    params = Params(interval_ms=INTERVAL_MS, instruments=instruments, costs=bundle.info.costs)
    params = replace(params, limits=Limits(model_age_days_max=100_000.0))
    state = new_state(10_000.0, params)
    step(state, ModelSwapped(model=bundle, version="1", time_ms=first_ms), params)
    return replay(closes(tapes, first_ms, last_ms + 1), state, params, step)


async def journal_is_exchange(
    journal: Path, paper: Paper, *, stopped_ms: int | None = None
) -> None:
    """Every execution of ours is in the journal once, and every fill had its intent before it.

    With `stopped_ms`, the last close that a stopped executor journaled, the exchange may have
    gone on: what it executed from then on (a stop that it held) is not yet in the journal.
    """
    venue = Venue(
        VenueSettings(
            url=paper.url, ws_url=paper.ws, api_key=paper.api_key, api_secret=paper.secret
        ),
        environment="paper",
        clock=SystemClock(),
        fence=lambda path, params: None,
        emit=lambda event: None,
    )
    await venue.open()
    try:
        executed = [e.fill for e in await venue.executions(0) if hasattr(e, "fill")]
        positions = (await venue.snapshot(0)).positions
    finally:
        await venue.close()
    booked = {name for (name,) in rows(journal, "SELECT fill_id FROM fills")}
    known = executed if stopped_ms is None else [f for f in executed if f.time_ms < stopped_ms]
    assert {fill.fill_id for fill in known} <= booked <= {fill.fill_id for fill in executed}
    assert all(fill.reduce_only for fill in executed if fill.fill_id not in booked)
    late = rows(
        journal,
        "SELECT f.fill_id FROM fills f JOIN intents i ON i.client_order_id = f.client_order_id "
        "WHERE i.event_seq >= f.event_seq AND i.kind = 'order'",
    )
    assert late == []
    entries = [fill for fill in executed if not fill.reduce_only]
    assert {fill.client_order_id for fill in entries} <= {name for name, *_ in intents(journal)}
    assert all(position.stop_price > 0.0 for position in positions)
