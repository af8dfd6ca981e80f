"""From settings to a market.

Decides which source the market comes from. Never serves it. Rule: everything that can be wrong
with a source is found here, before a port is opened.
"""

from pathlib import Path

from executor.paper.market import Market, Recorded, build, on_tick
from executor.paper.parquet import read_candles, read_funding
from executor.paper.settings import Settings
from features.errors import InputError


def load(settings: Settings) -> Market:
    """Return the market that ``settings`` ask for."""
    if settings.folder is None:
        raise InputError("the simulated market is not there yet")
    recorded = _replayed(settings, settings.folder)
    series = {one.symbol: on_tick(one) for one in recorded}
    return build(series, settings.interval, settings.interval_ms, settings.now_ms, settings.bars)


def _replayed(settings: Settings, folder: Path) -> list[Recorded]:
    return [
        Recorded(
            symbol=symbol,
            candles=read_candles(folder, symbol, settings.interval, settings.interval_ms),
            funding=read_funding(folder, symbol),
        )
        for symbol in settings.symbols
    ]
