"""From settings to a market.

Decides which source the market comes from: a folder of recordings, or the seeded generator. Never
serves it. Rule: everything that can be wrong with a source is found here, before a port is opened;
a simulated market is a function of its seed, its symbols and its length.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from executor.paper.clock import Clock
from executor.paper.faults import Fault, fault_of
from executor.paper.lake import Lake, is_lake
from executor.paper.market import Market, Recorded, build, on_tick
from executor.paper.params import Params
from executor.paper.parquet import read_candles, read_funding
from executor.paper.scenarios import HALT_BARS, bent, planned
from executor.paper.settings import START_MS, Settings, default_bars
from executor.paper.venue.errors import VenueError
from features.errors import InputError
from features.synthetic import simulate_market


def standing_at(settings: Settings, clock: Clock) -> int | None:
    """Return where a new run begins: as told, or else the market's own choice.

    A simulated market stands in the present when it goes by the clock, and always at the same time
    in lockstep.
    """
    if settings.now_ms is not None or settings.recordings is not None:
        return settings.now_ms
    wall = clock.now_ms()
    return START_MS if settings.speed == 0.0 else wall - wall % settings.interval_ms


def load(settings: Settings, now_ms: int | None) -> tuple[Market, list[Fault]]:
    """Return the market that ``settings`` ask for, standing at ``now_ms``, and its own faults."""
    faults: list[Fault] = []
    bars = settings.bars
    if settings.recordings is not None:
        recorded = _replayed(settings, settings.recordings)
    else:
        begin_ms = START_MS if now_ms is None else now_ms
        bars = bars or default_bars(len(settings.symbols))[1]
        for scenario in settings.scenarios:
            faults += planned(scenario, settings.symbols, bars)
        recorded = _simulated(settings, begin_ms, bars)
    series = {one.symbol: on_tick(one) for one in recorded}
    market = build(series, settings.interval, settings.interval_ms, now_ms, bars)
    return market, faults


def _simulated(settings: Settings, now_ms: int, bars: int) -> Iterator[Recorded]:
    symbols = sorted(settings.symbols)
    made = simulate_market(
        np.random.default_rng(settings.seed),
        symbols=len(symbols),
        # One bar more than is streamed, so that the last close is followed by an opening, and as
        # many as a halt leaves out.
        bars=settings.history + bars + 1 + HALT_BARS,
        interval_ms=settings.interval_ms,
        start_ms=now_ms - settings.history * settings.interval_ms,
    )
    for symbol in symbols:
        made_up = made.pop(0)  # hundreds of symbols must not be held twice
        one = Recorded(symbol=symbol, candles=made_up.candles, funding=made_up.funding)
        for scenario in settings.scenarios:
            one = bent(scenario, one, now_ms, bars)
        yield one


def _replayed(settings: Settings, where: str) -> Iterator[Recorded]:
    interval, length_ms = settings.interval, settings.interval_ms
    lake = Lake(where, settings.venue) if is_lake(where) else None
    for symbol in sorted(settings.symbols):
        if lake is not None:
            candles = lake.candles(symbol, interval, length_ms)
            funding = lake.funding(symbol, interval)
        else:
            candles = read_candles(Path(where), symbol, interval, length_ms)
            funding = read_funding(Path(where), symbol)
        yield Recorded(symbol=symbol, candles=candles, funding=funding)


def planned_faults(path: Path | None) -> list[Fault]:
    """Return the faults of a JSON file: a list of objects as the control endpoint takes them.

    Raises
    ------
    InputError
        Where the file cannot be read or names something that is no fault.
    """
    if path is None:
        return []
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--faults {path.name}: {str(error).splitlines()[0]}") from error
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise InputError(f"--faults {path.name}: give a JSON list of objects with a kind each")
    try:
        return [fault_of(Params(value)) for value in values]
    except VenueError as error:
        raise InputError(f"--faults {path.name}: {error.message}") from error
