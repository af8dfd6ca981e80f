"""The account of the compiled portfolio loop: fills, settlements, guards.

Decides what a bar does to open positions and waiting orders, in the order of ``core.replay``, and
what the guards remember of it. Never decides an entry (``portfolio_loop`` does). Rule: plain
functions over numbers and arrays, compiled as they stand; prices, fees and touches come from the
functions that labels, core and paper exchange use; equal to the live core to the last bit.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from executor.core.fills import fee, funding_payment, quantise_price
from features.barriers import NONE, PROFIT, TIME, touch, traded_through
from features.costs import slippage, slipped_price
from features.types import FloatArray, IntArray
from flows.research.portfolio_rules import (
    R_COOL_DOWN_MS,
    R_DAILY_LOSS_MAX,
    R_DRAWDOWN_HALT,
    R_HORIZON_MS,
    R_INTERVAL_MS,
    R_LOSSES_COOL_DOWN,
    R_PERFORMANCE_PAUSE_MS,
    R_PERFORMANCE_PROFIT_FACTOR_MIN,
    R_PERFORMANCE_TRADES,
    R_PERFORMANCE_WIN_RATE_MIN,
    R_SLIPPAGE_BASE,
    R_SLIPPAGE_VOLATILITY,
    R_TAKE_FEE,
    R_TAKE_IS_MARKET,
    R_TAKER_FEE,
)

DAY_MS: Final = 86_400_000.0

# Numbers of the account, one array.
CASH: Final = 0
PEAK: Final = 1
DAY: Final = 2
DAY_EQUITY: Final = 3
DAILY_LATCHED: Final = 4
HALTED: Final = 5
LOSSES_ROW: Final = 6
WINS_ROW: Final = 7
COOL_UNTIL: Final = 8
PERFORMANCE_UNTIL: Final = 9
ENTRIES_TODAY: Final = 10
MINUTE: Final = 11
ENTRIES_MINUTE: Final = 12
OPEN: Final = 13
WAITING: Final = 14
TRADES: Final = 15
ACCOUNT: Final = 16

# Columns of a position, one row a symbol; SIDE 0 where there is none.
SIDE: Final = 0
QUANTITY: Final = 1
ENTRY: Final = 2
STOP: Final = 3
TAKE: Final = 4
DEADLINE: Final = 5
FEES: Final = 6
FUNDING: Final = 7
OPENED: Final = 8
LEAVING: Final = 9
POSITION: Final = 10

# Columns of a waiting order; IS_ENTRY 0 for an exit.
OF_SYMBOL: Final = 0
IS_ENTRY: Final = 1
OF_SIDE: Final = 2
OF_QUANTITY: Final = 3
OF_STOP: Final = 4
OF_TAKE: Final = 5
OF_CLOSE: Final = 6
OF_REFERENCE: Final = 7
ORDER: Final = 8

# Columns of a trade.
T_SYMBOL: Final = 0
T_SIDE: Final = 1
T_QUANTITY: Final = 2
T_ENTRY: Final = 3
T_EXIT: Final = 4
T_PNL: Final = 5
T_FEES: Final = 6
T_FUNDING: Final = 7
T_OPENED: Final = 8
T_CLOSED: Final = 9
T_REASON: Final = 10
TRADE: Final = 11


class Sheet(NamedTuple):
    """The market on one grid: arrays of shape (closes, symbols), settlements by close.

    ``there`` says whether a symbol has a bar; ``mark`` is its last valid close. ``price`` (NaN
    where a close is none) and ``volume`` (NaN where there is no bar) have shape (symbols, closes).
    ``paid_from`` has shape (closes + 1,): the settlements of a close are ``paid_symbol``,
    ``paid_rate`` and ``paid_open`` (at the bar's open) in that range.
    """

    close_ms: IntArray
    there: NDArray[np.bool_]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    price: FloatArray
    mark: FloatArray
    next_open: FloatArray
    volume: FloatArray
    volatility: FloatArray
    filling: FloatArray
    paid_from: IntArray
    paid_symbol: IntArray
    paid_rate: FloatArray
    paid_open: NDArray[np.bool_]


class Book(NamedTuple):
    """What changes: the account, positions by symbol, orders that wait, trades, symbols held."""

    account: FloatArray
    position: FloatArray
    waiting: FloatArray
    trades: FloatArray
    order: IntArray
    tick: FloatArray


def market_price(
    reference: float, side: float, volatility: float, rules: FloatArray, tick: float
) -> float:
    """Return the price of a market order, as ``core.fills.market_fill_price``."""
    if not volatility >= 0.0:
        volatility = 0.0
    slipped = slippage(rules[R_SLIPPAGE_BASE], rules[R_SLIPPAGE_VOLATILITY], volatility)
    return quantise_price(slipped_price(reference, int(side), slipped), tick, int(side))


def equity_of(g: int, sheet: Sheet, book: Book) -> float:
    """Return cash and the open result at the marks, summed in the order of the openings."""
    total = 0.0
    for k in range(int(book.account[OPEN])):
        s = book.order[k]
        move = sheet.mark[g, s] - book.position[s, ENTRY]
        total += book.position[s, SIDE] * move * book.position[s, QUANTITY]
    worth: float = book.account[CASH] + total
    return worth


def settle(g: int, at_open: bool, sheet: Sheet, book: Book) -> None:
    """Pay the settlements of a bar at its open, or those inside it."""
    for k in range(sheet.paid_from[g], sheet.paid_from[g + 1]):
        s = sheet.paid_symbol[k]
        side = book.position[s, SIDE]
        if side != 0.0 and sheet.paid_open[k] == at_open:
            quantity = book.position[s, QUANTITY]
            amount = funding_payment(int(side), quantity, sheet.open[g, s], sheet.paid_rate[k])
            book.account[CASH] += amount
            book.position[s, FUNDING] += amount


def fill_waiting(g: int, sheet: Sheet, rules: FloatArray, book: Book) -> None:
    """Fill the market orders at the open; those of a symbol without a bar go on waiting."""
    count, kept = int(book.account[WAITING]), 0
    for k in range(count):
        order = book.waiting[k]
        s = int(order[OF_SYMBOL])
        if not sheet.there[g, s]:
            for c in range(ORDER):
                book.waiting[kept, c] = order[c]
            kept += 1
            continue
        side = order[OF_SIDE]
        volatility = sheet.filling[g, s]
        price = market_price(sheet.open[g, s], side, volatility, rules, book.tick[s])
        opened_ms = sheet.close_ms[g] - rules[R_INTERVAL_MS]
        if order[IS_ENTRY] != 0.0:
            open_position(s, price, opened_ms, rules, order, book)
        elif book.position[s, SIDE] != 0.0:
            close_position(s, price, rules[R_TAKER_FEE], opened_ms, TIME, rules, book)
    book.account[WAITING] = kept


def open_position(
    s: int, price: float, opened_ms: float, rules: FloatArray, order: FloatArray, book: Book
) -> None:
    """Book an entry."""
    account, row = book.account, book.position[s]
    quantity = order[OF_QUANTITY]
    paid = fee(quantity, price, rules[R_TAKER_FEE])
    account[CASH] -= paid
    row[SIDE], row[QUANTITY], row[ENTRY] = order[OF_SIDE], quantity, price
    row[STOP], row[TAKE] = order[OF_STOP], order[OF_TAKE]
    row[DEADLINE] = order[OF_CLOSE] + rules[R_HORIZON_MS]
    row[FEES], row[FUNDING], row[OPENED], row[LEAVING] = paid, 0.0, opened_ms, 0.0
    book.order[int(account[OPEN])] = s
    account[OPEN] += 1.0


def close_position(
    s: int, price: float, rate: float, time_ms: float, reason: int, rules: FloatArray, book: Book
) -> None:
    """Book the way out of a whole position, and let the guards see the trade."""
    account, row = book.account, book.position[s]
    quantity, side = row[QUANTITY], row[SIDE]
    paid = fee(quantity, price, rate)
    account[CASH] -= paid
    gross = side * (price - row[ENTRY]) * quantity
    account[CASH] += gross
    fees = row[FEES] + paid
    pnl = gross - fees + row[FUNDING]
    n = int(account[TRADES])
    trade = book.trades[n]
    trade[T_SYMBOL], trade[T_SIDE], trade[T_QUANTITY] = s, side, quantity
    trade[T_ENTRY], trade[T_EXIT], trade[T_PNL] = row[ENTRY], price, pnl
    trade[T_FEES], trade[T_FUNDING] = fees, row[FUNDING]
    trade[T_OPENED], trade[T_CLOSED], trade[T_REASON] = row[OPENED], time_ms, reason
    account[TRADES] += 1.0
    row[SIDE] = 0.0
    place = 0
    for k in range(int(account[OPEN])):
        if book.order[k] != s:
            book.order[place] = book.order[k]
            place += 1
    account[OPEN] = place
    see_trade(pnl, time_ms, rules, book)


def see_trade(pnl: float, time_ms: float, rules: FloatArray, book: Book) -> None:
    """Count streaks, cool down and pause, as ``core.guard.on_trade``."""
    account = book.account
    if pnl > 0.0:
        account[WINS_ROW] += 1.0
        account[LOSSES_ROW] = 0.0
    else:
        account[LOSSES_ROW] += 1.0
        account[WINS_ROW] = 0.0
    row = account[LOSSES_ROW]
    if row > 0.0 and rules[R_LOSSES_COOL_DOWN] > 0.0 and row % rules[R_LOSSES_COOL_DOWN] == 0.0:
        account[COOL_UNTIL] = time_ms + rules[R_COOL_DOWN_MS]
    if time_ms >= account[PERFORMANCE_UNTIL] and is_poor(rules, book):
        account[PERFORMANCE_UNTIL] = time_ms + rules[R_PERFORMANCE_PAUSE_MS]


def is_poor(rules: FloatArray, book: Book) -> bool:
    """Say whether the newest trades are below the floor, as ``core.guard.poor``."""
    n, wanted = int(book.account[TRADES]), int(rules[R_PERFORMANCE_TRADES])
    if wanted <= 0 or n < wanted:
        return False
    wins, won, lost = 0, 0.0, 0.0
    for k in range(n - wanted, n):
        pnl = book.trades[k, T_PNL]
        if pnl > 0.0:
            wins += 1
            won += pnl
        else:
            lost += pnl
    lost = -lost
    if wins < rules[R_PERFORMANCE_WIN_RATE_MIN] * wanted:
        return True
    return lost > 0.0 and won < rules[R_PERFORMANCE_PROFIT_FACTOR_MIN] * lost


def walk(g: int, sheet: Sheet, rules: FloatArray, book: Book) -> None:
    """Play one bar for all that is open or waiting, in the order of ``core.replay``."""
    settle(g, True, sheet, book)
    fill_waiting(g, sheet, rules, book)
    for s in range(book.position.shape[0]):
        row = book.position[s]
        if row[SIDE] == 0.0 or not sheet.there[g, s]:
            continue
        side, target, tick = int(row[SIDE]), row[TAKE], book.tick[s]
        if rules[R_TAKE_IS_MARKET] == 0.0:
            target = traded_through(side, target, tick)
        reason, reached = touch(
            side, target, row[STOP], sheet.open[g, s], sheet.high[g, s], sheet.low[g, s]
        )
        if reason == NONE:
            continue
        price, rate = reached, rules[R_TAKER_FEE]
        if reason == PROFIT:
            price, rate = row[TAKE], rules[R_TAKE_FEE]
        if reason != PROFIT or (rules[R_TAKE_IS_MARKET] != 0.0):
            price = market_price(price, -row[SIDE], sheet.filling[g, s], rules, tick)
        opened_ms = sheet.close_ms[g] - rules[R_INTERVAL_MS]
        close_position(s, price, rate, opened_ms, reason, rules, book)
    settle(g, False, sheet, book)


def guard_close(equity: float, rules: FloatArray, book: Book) -> None:
    """Take in the equity at a close, as ``core.guard.on_close``; the caller resets daily counts."""
    account = book.account
    account[PEAK] = max(account[PEAK], equity)
    if account[DAILY_LATCHED] == 0.0 and equity <= account[DAY_EQUITY] * (
        1.0 - rules[R_DAILY_LOSS_MAX]
    ):
        account[DAILY_LATCHED] = 1.0
    if account[HALTED] == 0.0 and drawdown(equity, book) >= rules[R_DRAWDOWN_HALT]:
        account[HALTED] = 1.0


def drawdown(equity: float, book: Book) -> float:
    """Return the drop from the peak, as ``core.guard.GuardState.drawdown``."""
    peak = book.account[PEAK]
    if peak <= 0.0 or equity >= peak:
        return 0.0
    return float(1.0 - equity / peak)
