"""Markets with an edge of known size, and what one who knows it earns.

The gate's power is measured on them.

Decides how the edge is planted: after a primary signal of the *altered* prices, prices drift its
way for some bars. Signals while a drift goes on change nothing, or prolong it and turn it
round (``prolonged``), so that it outlasts any holding time fixed at the entry. Never judges. Rule:
the oracle trades through the costs, slippage and marking of everybody else
(``flows.research.book``), so that "Sharpe 3" means the same for it and for a trial.
"""

from dataclasses import dataclass

import numpy as np

from features.costs import Costs
from features.signals import SignalParams
from features.types import Candles, FloatArray, IntArray
from flows.research.book import Prices, RoundTrips, daily_returns
from flows.research.drift import drift_walk
from flows.research.nulls import Histories
from flows.research.performance import sharpe_annual

SECANT_STEPS = 8
SHARPE_TOLERANCE = 0.05
SLOPE = 50.0  # of the oracle's annual Sharpe ratio by strength, on hourly bars, about


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edge:
    """Where one symbol drifts: each drift's side, its first bar and the first bar after it.

    Volatilities, a fraction a bar, are those of the bars before ``entry`` and before ``leave``.
    """

    entry: IntArray
    leave: IntArray
    side: IntArray
    volatility_in: FloatArray
    volatility_out: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """Altered histories and, by symbol, the edge in them."""

    histories: Histories
    edges: tuple[Edge, ...]


def plant(
    histories: Histories,
    *,
    bars: int,
    strength: float,
    signal: SignalParams | None = None,
    prolonged: bool = False,
) -> Planted:
    """Return histories in which a momentum signal is followed by a drift its way.

    Parameters
    ----------
    bars
        How long a drift goes on after the signal that began it.
    strength
        Drift a bar, as a multiple of the per-bar volatility at the signal.
    signal
        The default one where not given.
    prolonged
        Whether later signals count too: the drift goes on for ``bars`` after the latest one, and
        one of the other side turns it round.
    """
    rule = signal or SignalParams()
    made = [_planted(candles, rule, bars, strength, prolonged) for candles, _ in histories]
    return Planted(
        histories=[(c, f) for (c, _), (_, f) in zip(made, histories, strict=True)],
        edges=tuple(edge for _, edge in made),
    )


def oracle_daily(market: Planted, costs: Costs, *, first_day: int, days: int) -> FloatArray:
    """Return the daily net returns of who knows the rule: every drift, held from end to end.

    Market orders at the opens, an equal share of the capital a symbol, marked daily, shape (days,).
    """
    parts: dict[str, list[FloatArray]] = {name: [] for name in ("price", "gross", "net")}
    whole: dict[str, list[IntArray]] = {name: [] for name in ("symbol", "side", "entry", "exit")}
    marks = []
    for number, ((candles, _), edge) in enumerate(zip(market.histories, market.edges, strict=True)):
        kept = np.flatnonzero(edge.leave < candles.n)
        entry, leave, side = edge.entry[kept], edge.leave[kept], edge.side[kept]
        price = candles.open[entry]
        gross = side * (candles.open[leave] / price - 1.0)
        moved = edge.volatility_in[kept] + edge.volatility_out[kept]
        slipped = 2.0 * costs.slippage_base + costs.slippage_volatility * moved
        parts["price"].append(price)
        parts["gross"].append(gross)
        parts["net"].append(gross - 2.0 * costs.taker_fee - slipped)
        whole["symbol"].append(np.full(kept.size, number, dtype=np.int64))
        whole["side"].append(side)
        whole["entry"].append(entry)
        whole["exit"].append(leave)
        marks.append(Prices(close=candles.close, close_ms=candles.close_ms))
    trips = RoundTrips(
        symbol=np.concatenate(whole["symbol"]),
        side=np.concatenate(whole["side"]),
        entry_index=np.concatenate(whole["entry"]),
        exit_index=np.concatenate(whole["exit"]),
        entry_price=np.concatenate(parts["price"]),
        gross=np.concatenate(parts["gross"]),
        net=np.concatenate(parts["net"]),
    )
    return daily_returns(trips, marks, first_day=first_day, days=days)


def plant_sharpe(
    histories: Histories,
    *,
    bars: int,
    sharpe: float,
    costs: Costs,
    first_day: int,
    days: int,
    signal: SignalParams | None = None,
    prolonged: bool = False,
) -> tuple[Planted, float]:
    """Return a market whose oracle's net Sharpe ratio a year over the days is ``sharpe``.

    Solved for by the secant rule on the strength, to within 0.05 where that is possible; the
    second value is what was reached. It is the ratio in this very market, not on average over
    markets: what is left to chance is what the pipeline makes of it.
    """
    tried: list[tuple[float, float, Planted]] = []
    strength = 0.02 + 0.022 * max(sharpe, 0.0)
    for _ in range(SECANT_STEPS):
        market = plant(histories, bars=bars, strength=strength, signal=signal, prolonged=prolonged)
        found = sharpe_annual(oracle_daily(market, costs, first_day=first_day, days=days))
        tried.append((strength, found, market))
        if abs(found - sharpe) <= SHARPE_TOLERANCE:
            break
        slope = SLOPE
        if len(tried) > 1:
            (s0, f0, _), (s1, f1, _) = tried[-2:]
            measured = (f1 - f0) / (s1 - s0) if s1 != s0 else SLOPE
            slope = min(max(measured, SLOPE / 2.0), SLOPE * 2.0)
        strength += (sharpe - found) / slope
    _, found, market = min(tried, key=lambda one: abs(one[1] - sharpe))
    return market, found


def _planted(
    candles: Candles, signal: SignalParams, bars: int, strength: float, prolonged: bool
) -> tuple[Candles, Edge]:
    """Return altered candles and the drifts that ended in them."""
    shift, drifts = drift_walk(candles, signal, bars=bars, strength=strength, prolonged=prolonged)
    before, after = np.exp(shift[:-1]), np.exp(shift[1:])
    return (
        Candles(
            interval_ms=candles.interval_ms,
            open_ms=candles.open_ms,
            open=candles.open * before,
            high=candles.high * np.maximum(before, after),
            low=candles.low * np.minimum(before, after),
            close=candles.close * after,
            volume=candles.volume,
        ),
        Edge(
            entry=drifts[:, 0].astype(np.int64),
            side=drifts[:, 1].astype(np.int64),
            volatility_in=drifts[:, 2],
            leave=drifts[:, 3].astype(np.int64),
            volatility_out=drifts[:, 4],
        ),
    )
