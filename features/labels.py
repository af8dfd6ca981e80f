"""Triple-barrier meta-labels: what became of every primary signal, after all costs.

Decides the outcome, gross and net return and label of each event by the exit rule that live
positions use (``barriers``, ``exit_plan``). Never decides which events exist nor which labels to
train on. Rule: a signal of bar i (known at its close) enters at the open of bar i+1 and holds at
most ``horizon_bars`` bars; all input is checked before any work; a row whose end lies beyond the
data is marked ``truncated`` and must be dropped from training.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.barriers import TIME, TRUNCATED
from features.compiled import compiled
from features.costs import SETTLEMENT_GRID_MS, Costs, FlatFunding
from features.errors import InputError
from features.exit_plan import ExitPlan
from features.label_checks import (
    Scalar,
    check_column,
    check_distance,
    check_events,
    check_funding,
    check_horizon,
    check_prices,
    check_volatility,
    one_layout,
)
from features.label_kernel import Bars, Found, Requests, Terms, label_by_stack
from features.label_scan import label_by_scan
from features.types import Candles, FloatArray, Funding, IntArray

HORIZON_BARS = 96  # 24 h of 15m bars

_label_by_stack = compiled(label_by_stack)
_label_by_scan = compiled(label_by_scan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Barriers:
    """Distances of the barriers: one number for all events, or an array with one for each.

    ``profit`` and ``loss`` are fractions of the entry price, or with ``volatility_scaled``
    multiples of the per-bar volatility of the signal's bar. ``horizon_bars`` counts bars held.
    """

    profit: float | FloatArray = 0.02
    loss: float | FloatArray = 0.01
    horizon_bars: int | IntArray = HORIZON_BARS
    volatility_scaled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """One row an event; all arrays of shape (m,).

    Attributes
    ----------
    event, side
        As given: bar of the signal, 1 long or -1 short.
    entry_index, exit_index
        Bars in which the position was filled and closed; -1 where the data end first. A position
        ended by time leaves at the open of ``exit_index``.
    reason
        ``barriers.PROFIT``, ``STOP``, ``TIME`` or ``TRUNCATED``.
    gross, net
        Return per unit of reference notional before and after fees, slippage and funding; a
        truncated row is valued at the last close, NaN if it never entered.
    label
        1 where ``net > 0``, else 0.
    ambiguous
        The exit bar held stop and profit and its open did not tell the order: counted as stop.
    truncated
        The data end before the position does; not for training.
    start_ms, end_ms
        Closed span of market time from which the row was made: close of the signal's bar, and
        close of the exit bar (its open for a time exit).
    """

    event: IntArray
    side: NDArray[np.int8]
    entry_index: IntArray
    exit_index: IntArray
    reason: NDArray[np.int8]
    gross: FloatArray
    net: FloatArray
    label: NDArray[np.int8]
    ambiguous: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    start_ms: IntArray
    end_ms: IntArray


def triple_barrier(
    candles: Candles,
    events: IntArray,
    side: NDArray[np.int8],
    barriers: Barriers,
    costs: Costs,
    funding: Funding | FlatFunding,
    *,
    volatility: FloatArray,
    plan: ExitPlan | None = None,
    tick: float = 0.0,
) -> Labels:
    """Label every event by the barrier its position would have met first.

    Parameters
    ----------
    candles : Candles
        Bars, shape (n,).
    events : int64 array, shape (m,)
        Bars whose close gave a signal, ascending; equal ones are allowed.
    side : int8 array, shape (m,)
        1 long, -1 short.
    barriers : Barriers
        Distances and horizon, for all events or each.
    costs : Costs
        Fees and slippage.
    funding : Funding or FlatFunding
        Settlements that cover every position, or a constant rate asked for by name. A settlement
        costs rate·(open of the first bar at or after it), side positive pays.
    volatility : float64 array, shape (n,)
        ``volatility_96``; must be a number from the first event on.
    plan : ExitPlan, optional
        Default: the barriers alone, which costs O(1) an event whatever the horizon; any other
        plan is walked bar by bar.
    tick : float
        Smallest price step; needed where a limit order takes profit, for it fills only when the
        market trades through its price by one.

    Returns
    -------
    Labels

    Raises
    ------
    InputError
        For anything above that does not hold; names the row and column.

    Notes
    -----
    After López de Prado, Advances in Financial Machine Learning (2018), 3.4 and 3.6, with highs
    and lows in place of closes, entry at the next open, and costs.
    """
    exits = plan if plan is not None else ExitPlan()
    requests, volatility, points = _checked(candles, events, side, barriers, funding, volatility)
    terms = _terms(barriers.volatility_scaled, costs, exits, tick)
    bars = Bars(
        one_layout(candles.open),
        one_layout(candles.high),
        one_layout(candles.low),
        one_layout(candles.close),
        volatility,
        points,
    )
    rows = events.size
    found = Found(
        np.empty(rows, np.int64),
        np.empty(rows, np.int8),
        np.empty(rows),
        np.empty(rows),
        np.empty(rows, np.bool_),
    )
    if exits.barriers_alone:
        horizon_max = int(requests.horizon.max(initial=1))
        _label_by_stack(bars, requests, terms, found, horizon_max)
    else:
        _label_by_scan(bars, requests, terms, found)
    return _labels(candles, requests, found)


def _per_event(name: str, value: object, rows: int, dtype: type[Scalar]) -> NDArray[Scalar]:
    """Return a barrier's column: as given, or one row where one number holds for all."""
    if isinstance(value, np.ndarray):
        check_column(f"barriers.{name}", value, dtype, rows)
        return one_layout(value)
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"barriers.{name}: {value!r} is not a number nor an array")
    if dtype is np.int64 and value != int(value):
        raise InputError(f"barriers.{name}: {value!r} is not a whole number of bars")
    return np.array([value], dtype)


def _checked(
    candles: Candles,
    events: IntArray,
    side: NDArray[np.int8],
    barriers: Barriers,
    funding: Funding | FlatFunding,
    volatility: FloatArray,
) -> tuple[Requests, FloatArray, FloatArray]:
    """Refuse bad input; return the requests, the volatility and the funding as kernels take it."""
    check_prices(candles)
    check_events(events, side, candles.n)
    profit = _per_event("profit", barriers.profit, events.size, np.float64)
    loss = _per_event("loss", barriers.loss, events.size, np.float64)
    horizon = _per_event("horizon_bars", barriers.horizon_bars, events.size, np.int64)
    check_horizon(horizon)
    # Beyond the data every horizon is alike, and sums of bar numbers cannot overflow.
    horizon = np.minimum(horizon, candles.n)
    first = int(events[0]) if events.size else candles.n
    last = int(min((events + horizon).max(initial=-1) + 1, candles.n - 1))
    check_volatility(volatility, first, last, candles.n)
    for name, distance in (("profit", profit), ("loss", loss)):
        scaled = distance * volatility[events] if barriers.volatility_scaled else distance
        check_distance(name, scaled, side)
    if isinstance(funding, FlatFunding):
        funding = _settlements(funding, candles)
    elif not isinstance(funding, Funding):
        raise InputError(
            f"funding: {funding!r}; give the symbol's Funding history, or ask for a constant rate "
            "by name: FlatFunding(rate=...)"
        )
    elif first + 1 < candles.n:
        check_funding(funding, int(candles.open_ms[first + 1]), int(candles.open_ms[last]))
    requests = Requests(one_layout(events), one_layout(side), profit, loss, horizon)
    return requests, one_layout(volatility), funding_points(candles, funding)


def _settlements(flat: FlatFunding, candles: Candles) -> Funding:
    """Return the settlements of a constant rate, at the multiples of its interval."""
    if not candles.n:
        return Funding(time_ms=np.empty(0, np.int64), rate=np.empty(0))
    first = int(candles.open_ms[0]) // flat.interval_ms * flat.interval_ms
    times = np.arange(first, int(candles.open_ms[-1]) + 1, flat.interval_ms, dtype=np.int64)
    return Funding(time_ms=times, rate=np.full(times.size, flat.rate))


def funding_points(candles: Candles, funding: Funding) -> FloatArray:
    """Return what a long of one unit has paid up to each bar's open, shape (n,), quote currency.

    A settlement is booked at the first bar that opens at or after it, at that open, before any
    fill of that bar: a position from bar e to bar x pays ``points[x] - points[e]``, which is the
    rule of :func:`features.costs.pays_settlement`.
    """
    settled = funding.time_ms - funding.time_ms % SETTLEMENT_GRID_MS
    bar = np.searchsorted(candles.open_ms, settled, side="left")
    inside = (bar > 0) & (bar < candles.n)
    bar = bar[inside]
    paid = np.zeros(candles.n)
    np.add.at(paid, bar, funding.rate[inside] * candles.open[bar])
    return np.cumsum(paid, out=paid)


def _terms(volatility_scaled: bool, costs: Costs, plan: ExitPlan, tick: float) -> Terms:
    """Return the kernels' scalars, each of its one type."""
    needs_tick = plan.partial_fraction > 0.0 or not costs.take_profit_is_market
    if not 0.0 <= tick < np.inf or (needs_tick and tick == 0.0):
        raise InputError(
            f"tick: {tick}; a limit order fills when traded through: give the symbol's price step"
        )
    return Terms(
        bool(volatility_scaled),
        float(tick),
        float(costs.taker_fee),
        float(costs.maker_fee),
        float(costs.slippage_base),
        float(costs.slippage_volatility),
        bool(costs.take_profit_is_market),
        float(plan.partial_fraction),
        float(plan.partial_at),
        bool(plan.break_even),
        float(plan.break_even_offset),
        float(plan.trail),
        float(plan.trail_from),
    )


def _labels(candles: Candles, requests: Requests, found: Found) -> Labels:
    """Add what follows from the kernel's columns."""
    event, leaves = requests.event, found.exit_index
    start_ms = candles.open_ms[event]
    start_ms += candles.interval_ms
    end_ms = candles.open_ms[leaves]
    np.add(end_ms, candles.interval_ms, out=end_ms, where=found.reason != TIME)
    entry = event + 1
    if event.size and event[-1] == candles.n - 1:
        never = leaves < 0
        entry[never] = -1
        end_ms[never] = start_ms[never]
    return Labels(
        event=event,
        side=requests.side,
        entry_index=entry,
        exit_index=leaves,
        reason=found.reason,
        gross=found.gross,
        net=found.net,
        label=(found.net > 0.0).view(np.int8),
        ambiguous=found.ambiguous,
        truncated=found.reason == TRUNCATED,
        start_ms=start_ms,
        end_ms=end_ms,
    )
