"""Things that happen to a simulated market: crashes, squeezes, halts and the like.

Decides how a scenario bends a symbol's candles and funding from a given bar on, and which faults
come with it. Never touches recorded candles: what was real stays as it was. Rule: a scenario is a
function of the market it is given; nothing is drawn here.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from executor.paper.faults import Fault
from executor.paper.market import Recorded
from executor.paper.venue.instruments import tick_of
from features.errors import InputError
from features.suggest import unknown_name
from features.types import Candles, FloatArray, Funding

HALT_BARS = 20
CRASH_BARS = 12
SQUEEZE_BARS = 8
DELISTING_BARS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens, to which symbol ("" is all), from which streamed bar on (0: a quarter in)."""

    name: str
    symbol: str = ""
    bar: int = 0


def parse_scenario(text: str) -> Scenario:
    """Return the scenario of ``NAME[:SYMBOL[:BAR]]``."""
    name, *rest = text.split(":")
    if name not in SCENARIOS:
        raise InputError(unknown_name("scenario", name, SCENARIOS))
    symbol = rest[0].upper() if rest else ""
    bar = rest[1] if len(rest) > 1 else "0"
    if len(rest) > 2 or not bar.isdecimal():
        raise InputError(f"--scenario is {text!r}; give NAME, NAME:SYMBOL or NAME:SYMBOL:BAR")
    return Scenario(name=name, symbol=symbol, bar=int(bar))


def _bar(scenario: Scenario, bars: int) -> int:
    """Return the streamed bar, from 1 on, at which a scenario begins."""
    return scenario.bar or max(1, bars // 4)


def bent(scenario: Scenario, one: Recorded, now_ms: int, bars: int) -> Recorded:
    """Return a symbol with a scenario in it, where it is about that symbol."""
    if scenario.symbol not in ("", one.symbol):
        return one
    first = int(np.searchsorted(one.candles.open_ms, now_ms)) + _bar(scenario, bars) - 1
    return SCENARIOS[scenario.name](one, first)


def planned(scenario: Scenario, symbols: Collection[str], bars: int) -> list[Fault]:
    """Return the faults that belong to a scenario.

    Raises
    ------
    InputError
        Where it is about a symbol or a bar that the market does not have.
    """
    if scenario.symbol and scenario.symbol not in symbols:
        raise InputError(unknown_name("symbol", scenario.symbol, symbols))
    bar = _bar(scenario, bars)
    if bar > bars:
        raise InputError(f"--scenario {scenario.name}: only {bars} bars are streamed, not {bar}")
    chosen = [symbol for symbol in sorted(symbols) if scenario.symbol in ("", symbol)]
    if scenario.name != "delisting":
        return []
    return [fault for symbol in chosen for fault in _delisted(symbol, bar, bars)]


def _delisted(symbol: str, bar: int, bars: int) -> list[Fault]:
    """Return what the venue does at a delisting: lets only reduce, then settles everything."""
    end = min(bars, bar + DELISTING_BARS)
    only_reduce = {"status": "ReduceOnly"}
    return [
        Fault(kind="instrument", match=symbol, bar=bar, arguments=only_reduce),
        Fault(kind="delist", match=symbol, bar=end),
    ]


def _scaled(recorded: Recorded, factor: FloatArray) -> Recorded:
    """Return the candles times ``factor`` at each close, shape (n,); bars stay joined."""
    candles = recorded.candles
    before = np.concatenate([factor[:1], factor[:-1]])
    opened, close = candles.open * before, candles.close * factor
    high = np.maximum.reduce([opened, close, candles.high * np.maximum(before, factor)])
    low = np.minimum.reduce([opened, close, candles.low * np.minimum(before, factor)])
    return replace(
        recorded,
        candles=_rounded(candles, replace(candles, open=opened, high=high, low=low, close=close)),
    )


def _rounded(original: Candles, bent: Candles) -> Candles:
    """Return ``bent`` with the decimals of ``original``."""
    places = max(0, -tick_of(original.close[-2000:]).adjusted())

    def rounded(column: FloatArray) -> FloatArray:
        return np.maximum(np.round(column, places), 10.0**-places)

    return replace(
        bent,
        open=rounded(bent.open),
        high=rounded(bent.high),
        low=rounded(bent.low),
        close=rounded(bent.close),
    )


def _ramp(recorded: Recorded, first: int, points: list[tuple[int, float]]) -> FloatArray:
    """Return a factor that is 1 before ``first`` and goes through ``(bars later, factor)``."""
    at = np.arange(recorded.candles.n) - (first - 1)
    known = [(0, 1.0), *points]
    logs = np.interp(at, [bars for bars, _ in known], np.log([value for _, value in known]))
    factor: FloatArray = np.exp(logs)
    return factor


def _trend(recorded: Recorded, first: int) -> Recorded:
    length = max(1, recorded.candles.n - first)
    return _scaled(recorded, _ramp(recorded, first, [(length, 1.5)]))


def _chop(recorded: Recorded, first: int) -> Recorded:
    """Hold the price near where it was: deviations are a quarter of what they would have been."""
    close = recorded.candles.close
    factor = np.ones(close.size)
    factor[first:] = (close[first:] / close[max(0, first - 1)]) ** -0.75
    return _scaled(recorded, factor)


def _crash(recorded: Recorded, first: int) -> Recorded:
    fallen = _scaled(recorded, _ramp(recorded, first, [(CRASH_BARS, 0.65)]))
    return _busier(fallen, first, CRASH_BARS, 8.0)


def _squeeze(recorded: Recorded, first: int) -> Recorded:
    points = [(SQUEEZE_BARS, 1.4), (3 * SQUEEZE_BARS, 1.15)]
    return _busier(_scaled(recorded, _ramp(recorded, first, points)), first, SQUEEZE_BARS, 6.0)


def _halt(recorded: Recorded, first: int) -> Recorded:
    """Leave out twenty bars and open again a tenth lower."""
    lower = _scaled(recorded, _ramp(recorded, first, [(1, 1.0), (HALT_BARS, 0.9)]))
    candles = lower.candles
    kept = np.ones(candles.n, dtype=bool)
    kept[first : min(first + HALT_BARS, candles.n - 1)] = False
    return replace(
        lower,
        candles=Candles(
            interval_ms=candles.interval_ms,
            open_ms=candles.open_ms[kept],
            open=candles.open[kept],
            high=candles.high[kept],
            low=candles.low[kept],
            close=candles.close[kept],
            volume=candles.volume[kept],
        ),
    )


def _flash_wick(recorded: Recorded, first: int) -> Recorded:
    """Let one bar reach 15 % below and 5 % above itself, and come back."""
    candles = recorded.candles
    high, low = candles.high.copy(), candles.low.copy()
    high[first] *= 1.05
    low[first] *= 0.85
    bent = _rounded(candles, replace(candles, high=high, low=low))
    return _busier(replace(recorded, candles=bent), first, 1, 20.0)


def _funding_spike(recorded: Recorded, first: int) -> Recorded:
    """Set the next six settlements to half a percent each."""
    funding = recorded.funding
    begin = int(np.searchsorted(funding.time_ms, recorded.candles.open_ms[first]))
    rate = funding.rate.copy()
    rate[begin : begin + 6] = 0.005
    return replace(recorded, funding=Funding(time_ms=funding.time_ms, rate=rate))


def _delisting(recorded: Recorded, first: int) -> Recorded:
    return _scaled(recorded, _ramp(recorded, first, [(DELISTING_BARS, 0.8)]))


def _busier(recorded: Recorded, first: int, bars: int, times: float) -> Recorded:
    volume = recorded.candles.volume.copy()
    volume[first : first + bars] *= times
    return replace(recorded, candles=replace(recorded.candles, volume=volume))


SCENARIOS: dict[str, Callable[[Recorded, int], Recorded]] = {
    "trend": _trend,
    "chop": _chop,
    "crash": _crash,
    "squeeze": _squeeze,
    "halt": _halt,
    "delisting": _delisting,
    "flash-wick": _flash_wick,
    "funding-spike": _funding_spike,
}
