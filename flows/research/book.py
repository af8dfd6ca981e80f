"""From wished-for entries to the trades a book could hold, and their daily result.

Decides which events become trades (one position a symbol at a time, first come first served) and
on which UTC day each part of a trade's result falls. Never fits, never sizes by probability: a
symbol has an equal, constant share of the capital, so that trials are compared on their choices.
Rule: the days of a series sum to the trades' net returns, and days without a position are in it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray, IntArray

DAY_MS = 86_400_000
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prices:
    """What marking a book needs of one symbol; arrays of shape (bars,)."""

    close: FloatArray
    close_ms: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundTrips:
    """Labelled events of all symbols as possible trades; arrays of shape (m,)."""

    symbol: IntArray
    side: IntArray
    entry_index: IntArray
    exit_index: IntArray
    entry_price: FloatArray
    gross: FloatArray
    net: FloatArray

    def take(self, rows: NDArray[np.intp]) -> "RoundTrips":
        """Return the round trips of ``rows``."""
        return RoundTrips(
            symbol=self.symbol[rows],
            side=self.side[rows],
            entry_index=self.entry_index[rows],
            exit_index=self.exit_index[rows],
            entry_price=self.entry_price[rows],
            gross=self.gross[rows],
            net=self.net[rows],
        )


def one_at_a_time(events: RoundTrips, wished: Flags) -> NDArray[np.intp]:
    """Return the rows of ``wished`` events that a book of one position a symbol would enter.

    Events of a symbol must be ascending by entry. An entry needs the former trade to have left
    in an earlier bar. The rows returned are ascending.
    """
    accepted: list[NDArray[np.intp]] = []
    for symbol in np.unique(events.symbol):
        rows = np.flatnonzero(wished & (events.symbol == symbol))
        entries, exits = events.entry_index[rows], events.exit_index[rows]
        kept, place = [], 0
        while place < rows.size:
            kept.append(rows[place])
            place = int(np.searchsorted(entries, exits[place], side="right"))
        accepted.append(np.array(kept, dtype=np.intp))
    return np.sort(np.concatenate(accepted)) if accepted else np.empty(0, dtype=np.intp)


def daily_returns(
    trades: RoundTrips,
    prices: list[Prices],
    *,
    first_day: int,
    days: int,
    cost_factor: float = 1.0,
) -> FloatArray:
    """Return mark-to-market net returns by UTC day, idle days included.

    Parameters
    ----------
    trades
        Accepted round trips; those that end outside the range count where they fall inside it.
    prices
        By symbol number.
    first_day, days
        Range in days since 1970; day d holds bars that close in (d, d + 1] times 24 h.
    cost_factor
        Multiplies everything between gross and net: fees, slippage and funding.

    Returns
    -------
    FloatArray
        Shape (days,), fraction of the capital, an equal share of it behind each symbol. All costs
        of a trade fall on the day of its entry.
    """
    total = np.zeros(days)
    share = 1.0 / max(1, len(prices))
    for number, price in enumerate(prices):
        mine = np.flatnonzero(trades.symbol == number)
        if mine.size == 0:
            continue
        day_of_bar = (price.close_ms - 1) // DAY_MS - first_day
        entered = day_of_bar[trades.entry_index[mine]]
        left = day_of_bar[trades.exit_index[mine]]
        nights = left - entered
        trade = np.repeat(mine, nights)
        nth = np.arange(nights.sum()) - np.repeat(np.cumsum(nights) - nights, nights)
        day = np.repeat(entered, nights) + nth
        last_bar = np.searchsorted(day_of_bar, day, side="right") - 1
        mark = trades.side[trade] * (price.close[last_bar] / trades.entry_price[trade] - 1.0)
        cost = cost_factor * (trades.gross[mine] - trades.net[mine])
        pieces = (
            (day, mark),
            (day + 1, -mark),
            (left, trades.gross[mine]),
            (entered, -cost),
        )
        for when, amount in pieces:
            inside = (when >= 0) & (when < days)
            np.add.at(total, when[inside], amount[inside] * share)
    return total


def mean_exposure(trades: RoundTrips, interval_ms: int, *, days: int, symbols: int) -> float:
    """Return the mean signed share of the capital in the market: 1 is fully long all the time.

    What a rising market gives to whoever is in it is no skill: the gate compares a record with
    this constant share of the market.
    """
    held_ms = float(((trades.exit_index - trades.entry_index) * trades.side).sum()) * interval_ms
    return held_ms / (DAY_MS * days * max(1, symbols))
