"""A trading set-up judged on history: one run as it would trade, and what it would bear.

Decides which questions a backtest answers: the result and its sources, the same with dearer costs
and later entries, how much capital it carries, and whether one set-up beat another on the same
days. Never chooses parameters and never hides a run. Rule: every number comes from the live
decision core over the same bars; capacity alone is a formula, and says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from executor.core.model import Model, ModelInfo, Prediction, Request
from executor.core.params import Params
from executor.core.types import Trade
from features.catalog import Catalog
from features.types import FloatArray
from flows.research.band import block_means
from flows.research.evidence import finite
from flows.research.market import Market
from flows.research.portfolio_figures import chosen, compared_figures, dearer
from flows.research.simulate import EQUITY, Simulation, foresee, simulate

DAY_MS = 86_400_000
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
COST_FACTORS = (2.0, 3.0)
DELAYS = (1, 2, 3)
CAPITALS = (10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0, 100_000_000.0)
# Price moves by this many daily deviations where an order is all of a day's volume: the
# square-root law (Tóth et al. 2011, doi:10.1103/PhysRevX.1.021006); measured values are near 1.
IMPACT = 1.0
Tell = Callable[[str], None]
Table = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setup:
    """What is judged: a model, and the parameters that it trades with."""

    name: str
    model: Model
    params: Params


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backtest:
    """One set-up's outcome; tables by the name of a run or of a group."""

    name: str
    simulation: Simulation
    groups: Mapping[str, Table]
    stress: Table
    delays: Table
    capacity: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; what is not a number becomes None."""
        return {
            "name": self.name,
            **self.simulation.as_dict(),
            "groups": {kind: _plain(rows) for kind, rows in self.groups.items()},
            "stress": _plain(self.stress),
            "delays": _plain(self.delays),
            "capacity": self.capacity,
        }


class Adjusted:
    """A model under other facts: signal, barriers or entry rule that a person wants to try."""

    def __init__(self, model: Model, info: ModelInfo) -> None:
        self._model = model
        self._info = info

    @property
    def info(self) -> ModelInfo:
        """Return the facts that are tried."""
        return self._info

    def predict_many(self, requests: Sequence[Request]) -> list[Prediction]:
        """Answer as the model does."""
        return self._model.predict_many(requests)


def backtest(
    setup: Setup,
    markets: Sequence[Market],
    catalog: Catalog,
    *,
    start_ms: int,
    stop_ms: int,
    equity: float = EQUITY,
    tell: Tell = lambda _: None,
) -> Backtest:
    """Return what ``setup`` would have done, with costs, funding and (where on) self-tuning.

    Raises
    ------
    InputError
        Where there is no close in the range.
    """
    tell(f"{setup.name}: asking the model")
    ahead = foresee(setup.model, markets, catalog, start_ms, stop_ms)

    def once(params: Params, entry_delay_bars: int = 0) -> Simulation:
        return simulate(
            ahead,
            markets,
            params,
            start_ms=start_ms,
            stop_ms=stop_ms,
            equity=equity,
            entry_delay_bars=entry_delay_bars,
        )

    tell(f"{setup.name}: trading")
    plain = once(setup.params)
    stress = {"costs ×1": chosen(plain.metrics)}
    for factor in COST_FACTORS:
        tell(f"{setup.name}: costs ×{factor:g}")
        stress[f"costs ×{factor:g}"] = compared_figures(
            ahead,
            markets,
            dearer(setup.params, factor),
            start_ms=start_ms,
            stop_ms=stop_ms,
            equity=equity,
        )
    delays = {"at the next open": chosen(plain.metrics)}
    for bars in DELAYS:
        tell(f"{setup.name}: entries {bars} bars late")
        delays[f"{bars} bar{'s'[: bars - 1]} late"] = chosen(once(setup.params, bars).metrics)
    return Backtest(
        name=setup.name,
        simulation=plain,
        groups=trade_groups(plain.trades),
        stress=stress,
        delays=delays,
        capacity=capacity(plain.trades, markets, equity),
    )


def trade_groups(trades: Sequence[Trade]) -> dict[str, Table]:
    """Return trades, win rate, mean net return and profit by group; each kind sums to all trades.

    Hours and weekdays are UTC, of the opening.
    """
    opened = [datetime.fromtimestamp(trade.opened_ms / 1000, UTC) for trade in trades]
    kinds = {
        "symbol": [trade.symbol for trade in trades],
        "side": ["long" if trade.side > 0 else "short" for trade in trades],
        "regime": [trade.regime or "unknown" for trade in trades],
        "way out": [str(trade.reason) for trade in trades],
        "weekday": [WEEKDAYS[moment.weekday()] for moment in opened],
        "hour": [f"{moment.hour:02d}" for moment in opened],
    }
    net = np.array([trade.net_return for trade in trades])
    pnl = np.array([trade.pnl for trade in trades])
    out: dict[str, Table] = {}
    for kind, keys in kinds.items():
        order = WEEKDAYS if kind == "weekday" else sorted(set(keys))
        column = np.array(keys)
        out[kind] = {
            name: {
                "trades": float(inside.sum()),
                "win_rate": float((net[inside] > 0.0).mean()),
                "mean_net": float(net[inside].mean()),
                "pnl": float(pnl[inside].sum()),
            }
            for name in order
            if (inside := column == name).any()
        }
    return out


def capacity(trades: Sequence[Trade], markets: Sequence[Market], start: float) -> dict[str, Any]:
    """Return what the trades would have earned on more capital, by square-root impact.

    An order of notional Q pays IMPACT · σ · √(Q/V) of itself beside the simulated costs: σ the
    daily volatility, V the quote volume of the 24 hours before. Sizes scale with the capital, so
    impact costs grow with its power 3/2 and the gain a·E/E₀ - b·(E/E₀)^1.5 has a highest point at
    E₀·(2a/3b)² and is gone at E₀·(a/b)². Caps by volume and lots are left aside.
    """
    gained = sum(trade.pnl for trade in trades)
    lost = 0.0
    known = {market.symbol: _daily(market) for market in markets}
    for trade in trades:
        market, volume, deviation = known[trade.symbol]
        for time_ms, price in (
            (trade.opened_ms, trade.entry_price),
            (trade.closed_ms, trade.exit_price),
        ):
            bar = int(np.searchsorted(market.candles.open_ms, time_ms, side="right")) - 1
            if bar >= 0 and volume[bar] > 0.0:
                notional = trade.quantity * price
                lost += IMPACT * deviation[bar] * np.sqrt(notional / volume[bar]) * notional
    rows = {
        f"{capital:,.0f}": {
            "capital": capital,
            "return_total": (gained - float(lost) * np.sqrt(capital / start)) / start,
            "impact_share": float(lost) * np.sqrt(capital / start) / start,
        }
        for capital in CAPITALS
    }
    earns = gained > 0.0 and lost > 0.0
    return {
        "rows": rows,
        "best_capital": float(start * (2.0 * gained / (3.0 * lost)) ** 2) if earns else None,
        "zero_capital": float(start * (gained / lost) ** 2) if earns else None,
    }


def difference(one: Simulation, other: Simulation, seed: int = 7) -> dict[str, float]:
    """Return how much ``one`` earned more a year than ``other`` on the same days.

    ``low`` and ``high`` bound the mean difference with 90 %, by stationary bootstrap of the paired
    days with blocks of five on average; ``share_below`` is the share of draws below zero.
    """
    first, last = max(one.first_day, other.first_day), min(_end(one), _end(other))
    paired = (
        one.daily[first - one.first_day : last - one.first_day]
        - other.daily[first - other.first_day : last - other.first_day]
    )
    if paired.size < 10:
        return {"days": float(paired.size), "mean": float(paired.sum())}
    means = block_means(paired, draws=4000, block_mean=5.0, rng=np.random.default_rng(seed))
    return {
        "days": float(paired.size),
        "mean": float(paired.mean()) * 365.0,
        "low": float(np.quantile(means, 0.05)) * 365.0,
        "high": float(np.quantile(means, 0.95)) * 365.0,
        "share_below": float((means < 0.0).mean()),
    }


def hold(markets: Sequence[Market], first_day: int, days: int) -> FloatArray:
    """Return the daily returns of an equal share in each symbol, without costs."""
    edges = (first_day + np.arange(days + 1)) * DAY_MS
    total = np.zeros(days)
    for market in markets:
        at = np.searchsorted(market.candles.close_ms, edges, side="right") - 1
        close = market.candles.close[np.maximum(at, 0)]
        total += np.where(at[:-1] >= 0, close[1:] / close[:-1] - 1.0, 0.0)
    return total / max(1, len(markets))


def setting_changes(one: Params, other: Params) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two set-ups differ, by ``section.name``."""
    found: dict[str, tuple[Any, Any]] = {}
    left, right = asdict(one), asdict(other)
    for section, values in left.items():
        if section == "instruments" or not isinstance(values, dict):
            continue
        for name, value in values.items():
            if right[section][name] != value:
                found[f"{section}.{name}"] = (value, right[section][name])
    return found


def _daily(market: Market) -> tuple[Market, FloatArray, FloatArray]:
    """Return quote volume and volatility of the day up to each bar, shape (bars,) each."""
    bars = max(1, DAY_MS // market.candles.interval_ms)
    quote = np.concatenate(([0.0], np.cumsum(market.candles.volume * market.candles.close)))
    end = np.arange(market.candles.n)
    begin = np.maximum(end - bars, 0)
    volume = (quote[end] - quote[begin]) * bars / np.maximum(end - begin, 1)
    deviation = np.nan_to_num(market.volatility) * np.sqrt(bars)
    return market, volume, np.concatenate((deviation[:1], deviation[:-1]))


def _end(simulation: Simulation) -> int:
    return simulation.first_day + simulation.daily.size


def _plain(rows: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {name: finite(figures) for name, figures in rows.items()}
