"""The compiled portfolio loop: the live core's decisions over history, at the speed of a search.

Decides nothing of its own: it walks closes as ``core.replay`` does and asks the same plain decision
functions as ``core.entries`` (edge, Kelly, caps, variance, beta, barriers, rounding). Never tunes
itself and leads positions out by their barriers alone. Rule: equal to the live core to the last
bit, and a test compares trades, equity and every reason of refusal.
"""

import math

from executor.core.decide import (
    ENTER,
    NO_EDGE,
    entry_verdict,
    time_is_up,
)
from executor.core.fills import (
    quantise_barriers,
)
from features.barriers import (
    barrier_fractions,
    barrier_prices,
)
from features.types import (
    FloatArray,
    IntArray,
)
from flows.research.portfolio_bets import (
    gated,
    send,
    sized,
)
from flows.research.portfolio_book import (
    COOL_UNTIL,
    DAILY_LATCHED,
    DAY,
    DAY_EQUITY,
    DAY_MS,
    DEADLINE,
    ENTRIES_TODAY,
    HALTED,
    IS_ENTRY,
    LEAVING,
    OF_QUANTITY,
    OF_REFERENCE,
    OF_SIDE,
    OF_SYMBOL,
    OPEN,
    PERFORMANCE_UNTIL,
    QUANTITY,
    SIDE,
    WAITING,
    Book,
    Sheet,
    equity_of,
    guard_close,
    walk,
)
from flows.research.portfolio_covariance import move_together
from flows.research.portfolio_rules import (
    R_CORRELATED_MAX,
    R_CORRELATION_MAX,
    R_CORRELATION_ROWS,
    R_KAPPA,
    R_LOSS,
    R_POSITIONS_MAX,
    R_PROFIT,
    R_QUIET_FACTOR,
    R_VOLATILITY_SCALED,
    R_VOLUME_NEEDED,
    R_VOLUMES_MIN,
)
from flows.research.portfolio_tables import (
    APPROVED,
    COOL_DOWN,
    CORRELATION,
    DAILY_LOSS,
    EXPECTED_VALUE,
    HALTED_REASON,
    MARGIN,
    NO_ECONOMICS,
    PERFORMANCE,
    POSITION_OPEN,
    POSITIONS_MAX,
    REGIME,
    SESSION,
    SIZE_ZERO,
    Memory,
    World,
)


def run_portfolio(world: World, book: Book, memory: Memory, equity: FloatArray) -> None:
    """Walk all closes; ``equity`` (closes,) gets the account at each, marked to it."""
    sheet, account = world.sheet, book.account
    for g in range(sheet.close_ms.size):
        if account[OPEN] > 0.0 or account[WAITING] > 0.0:
            walk(g, sheet, world.rules, book)
        close_ms = float(sheet.close_ms[g])
        equity[g] = equity_of(g, sheet, book)
        day = close_ms // DAY_MS
        if day != account[DAY]:
            account[DAY], account[DAY_EQUITY] = day, equity[g]
            account[DAILY_LATCHED], account[ENTRIES_TODAY] = 0.0, 0.0
            memory.repeated[:] = 0.0
        guard_close(equity[g], world.rules, book)
        if account[OPEN] > 0.0:
            leave_in_time(close_ms, book)
        if world.signals.first[g] < world.signals.first[g + 1]:
            enter(g, close_ms, equity[g], world, book, memory)


def leave_in_time(close_ms: float, book: Book) -> None:
    """Ask for the exit of positions whose time is up."""
    for s in range(book.position.shape[0]):
        row = book.position[s]
        if (
            row[SIDE] != 0.0
            and row[LEAVING] == 0.0
            and time_is_up(int(close_ms), int(row[DEADLINE]))
        ):
            row[LEAVING] = 1.0
            order = book.waiting[int(book.account[WAITING])]
            order[OF_SYMBOL], order[IS_ENTRY], order[OF_SIDE] = s, 0.0, -row[SIDE]
            order[OF_QUANTITY] = row[QUANTITY]
            book.account[WAITING] += 1.0


def enter(g: int, close_ms: float, equity: float, world: World, book: Book, memory: Memory) -> None:
    """Run the chain of ``core.entries`` over the signals of one close."""
    signals, rules = world.signals, world.rules
    count = see_book(g, world.sheet, book, memory)
    first, last = signals.first[g], signals.first[g + 1]
    ideas, keys, n = memory.ideas, memory.keys, 0
    back = held_back(close_ms, book)
    for k in range(first, last):
        reason, edge = worth(k, g, world, memory)
        if reason == APPROVED:
            if not equity > 0.0:
                reason = MARGIN
            elif back != APPROVED:
                reason = back
            elif count >= int(rules[R_POSITIONS_MAX]):
                reason = POSITIONS_MAX
        if reason != APPROVED:
            memory.reasons[reason] += 1
            continue
        ideas[n] = k
        keys[n] = -(edge * edge) / signals.second_moment[k]
        n += 1
    if n == 0:
        return
    rank(ideas, keys, n)
    for k in range(n):
        memory.held[signals.symbol[ideas[k]]] = True
    move_together(g, world, memory)
    for k in range(n):
        count = attempt(ideas[k], g, close_ms, equity, count, world, book, memory)


def see_book(g: int, sheet: Sheet, book: Book, memory: Memory) -> int:
    """Lay out signed notionals of positions and waiting entries; return how many are held."""
    memory.notional[:] = 0.0
    memory.sides[:] = 0.0
    memory.held[:] = False
    count = 0
    for k in range(int(book.account[OPEN])):
        s = book.order[k]
        side = book.position[s, SIDE]
        memory.notional[s] = side * book.position[s, QUANTITY] * sheet.mark[g, s]
        memory.held[s] = True
        count += 1
    for k in range(int(book.account[WAITING])):
        order = book.waiting[k]
        if order[IS_ENTRY] != 0.0:
            s = int(order[OF_SYMBOL])
            count += not memory.held[s]
            memory.notional[s] += order[OF_SIDE] * order[OF_QUANTITY] * order[OF_REFERENCE]
            memory.held[s] = True
    for s in range(memory.held.size):
        if memory.held[s]:
            memory.sides[s] = 1.0 if memory.notional[s] > 0.0 else -1.0
    return count


def worth(k: int, g: int, world: World, memory: Memory) -> tuple[int, float]:
    """Return why an idea is refused before selection (or APPROVED), and its edge."""
    signals, rules = world.signals, world.rules
    s = signals.symbol[k]
    if memory.held[s]:
        return POSITION_OPEN, 0.0
    if signals.is_regime[k]:
        return REGIME, 0.0
    ratio = volume_ratio(g, s, world.sheet, rules)
    needed = rules[R_VOLUME_NEEDED]
    if not world.active_hour[int(world.sheet.close_ms[g] % 86_400_000 // 3_600_000)]:
        needed *= rules[R_QUIET_FACTOR]
    if not (math.isnan(ratio) or ratio >= needed):
        return SESSION, 0.0
    verdict, edge = entry_verdict(signals.expected[k], signals.error[k], rules[R_KAPPA])
    if verdict == ENTER and signals.second_moment[k] > 0.0:
        return APPROVED, edge
    return (EXPECTED_VALUE if verdict == NO_EDGE else NO_ECONOMICS), edge


def volume_ratio(g: int, s: int, sheet: Sheet, rules: FloatArray) -> float:
    """Return the newest volume as a multiple of the mean held, NaN where unknown."""
    total, held, newest = 0.0, 0, 0.0
    for row in range(max(0, g + 1 - int(rules[R_CORRELATION_ROWS])), g + 1):
        value = sheet.volume[s, row]
        if value == value:  # noqa: PLR0124 - NaN where there is no bar
            newest = value
            total += newest
            held += 1
    if held < int(rules[R_VOLUMES_MIN]):
        return math.nan
    mean = total / held
    return newest / mean if mean > 0.0 else math.nan


def held_back(close_ms: float, book: Book) -> int:
    """Return why no entry may be made now, as ``core.guard.held_back``."""
    account = book.account
    if account[HALTED] != 0.0:
        return HALTED_REASON
    if account[DAILY_LATCHED] != 0.0:
        return DAILY_LOSS
    if close_ms < account[COOL_UNTIL]:
        return COOL_DOWN
    if close_ms < account[PERFORMANCE_UNTIL]:
        return PERFORMANCE
    return APPROVED


def rank(ideas: IntArray, keys: FloatArray, n: int) -> None:
    """Sort the ideas by their keys, equal ones in the order of symbols (insertion sort)."""
    for i in range(1, n):
        idea, key = ideas[i], keys[i]
        j = i - 1
        while j >= 0 and keys[j] > key:
            ideas[j + 1], keys[j + 1] = ideas[j], keys[j]
            j -= 1
        ideas[j + 1], keys[j + 1] = idea, key


def attempt(
    k: int,
    g: int,
    close_ms: float,
    equity: float,
    count: int,
    world: World,
    book: Book,
    memory: Memory,
) -> int:
    """Select, size and gate one idea; return how many are held after it."""
    signals, rules, sheet = world.signals, world.rules, world.sheet
    s, side = signals.symbol[k], int(signals.side[k])
    reason = select(s, side, count, rules, memory)
    if reason != APPROVED:
        memory.reasons[reason] += 1
        return count
    price = sheet.next_open[g, s]
    profit, loss = barrier_fractions(
        rules[R_PROFIT], rules[R_LOSS], (rules[R_VOLATILITY_SCALED] != 0.0), signals.volatility[k]
    )
    quantity, take, stop, priced = 0.0, 0.0, 0.0, 0.0 < price < math.inf
    if priced:
        take, stop = barrier_prices(price, side, profit, loss)
        take, stop = quantise_barriers(side, take, stop, book.tick[s])
        quantity = sized(k, g, equity, price, loss, world, book, memory)
    if priced and not quantity > 0.0:
        reason = SIZE_ZERO
    else:
        reason = gated(s, side, quantity, price, stop, equity, close_ms, world, book, memory)
    if reason != APPROVED:
        memory.reasons[reason] += 1
        return count
    memory.reasons[APPROVED] += 1
    signed = side * quantity * price
    memory.notional[s] += signed
    memory.sides[s] = side
    send(s, side, quantity, price, take, stop, close_ms, rules, book, memory)
    return count + 1


def select(s: int, side: int, count: int, rules: FloatArray, memory: Memory) -> int:
    """Return why an entry does not fit beside what is held, as ``core.selector.select``."""
    if count >= int(rules[R_POSITIONS_MAX]):
        return POSITIONS_MAX
    alike = 0
    for other in range(memory.sides.size):
        if memory.sides[other] != 0.0:
            together = side * memory.sides[other] * memory.correlation[s, other]
            alike += together > rules[R_CORRELATION_MAX]
    return CORRELATION if alike >= int(rules[R_CORRELATED_MAX]) else APPROVED
