"""How large a bet of the compiled portfolio loop is, and whether the gate lets it through.

Decides as ``core.sizing``, ``core.covariance`` and ``core.risk`` do, through the same plain
decision functions. Never sees anything but numbers. Rule: equal to the live core to the last
bit; sums run in the order of bars and symbols.
"""

import math

import numpy as np

from executor.core.decide import (
    bet_notional,
    beta_share,
    drawdown_throttle,
    kelly_bet,
    shrunk_probability,
    variance_share,
)
from executor.core.fills import (
    quantise_quantity,
)
from features.types import (
    FloatArray,
)
from flows.research.portfolio_book import (
    DAY_MS,
    ENTRIES_MINUTE,
    ENTRIES_TODAY,
    IS_ENTRY,
    LOSSES_ROW,
    MINUTE,
    OF_CLOSE,
    OF_QUANTITY,
    OF_REFERENCE,
    OF_SIDE,
    OF_STOP,
    OF_SYMBOL,
    OF_TAKE,
    WAITING,
    WINS_ROW,
    Book,
    drawdown,
)
from flows.research.portfolio_rules import (
    R_ATR_HALVING,
    R_BETA_MAX,
    R_GROSS_MAX,
    R_KELLY_PRIOR,
    R_LEVERAGE_MAX,
    R_LOSSES_HALVING,
    R_MAINTENANCE,
    R_MODEL_AGE_DAYS_MAX,
    R_NET_MAX,
    R_ORDER_NOTIONAL_MAX,
    R_ORDERS_DAY_MAX,
    R_ORDERS_MINUTE_MAX,
    R_POSITION_MAX,
    R_RAISE_FACTOR,
    R_RAISE_WINS,
    R_REPEATED_MAX,
    R_RISK_PER_TRADE,
    R_ROUNDING,
    R_STOP_DISTANCE_MAX,
    R_STOP_DISTANCE_MIN,
    R_THROTTLE_FLOOR,
    R_THROTTLE_FULL,
    R_THROTTLE_START,
    R_TRAINED_UNTIL_MS,
    R_VARIANCE_TARGET,
    R_VOLUME_SHARE_MAX,
)
from flows.research.portfolio_tables import (
    APPROVED,
    GROSS_LIMIT,
    LEVERAGE_LIMIT,
    LIQUIDATION,
    MARGIN,
    MINUTE_MS,
    MODEL_TOO_OLD,
    NET_LIMIT,
    NOTIONAL_MIN,
    ORDER_NOTIONAL,
    ORDER_RATE,
    POSITION_LIMIT,
    PRICE_COLLAR,
    QUANTITY_STEP,
    REPEATED,
    STOP_DISTANCE,
    STOP_MISSING,
    STOP_SIDE,
    Contracts,
    Memory,
    World,
)


def sized(
    k: int,
    g: int,
    equity: float,
    price: float,
    loss: float,
    world: World,
    book: Book,
    memory: Memory,
) -> float:
    """Return the quantity of a bet, as ``core.sizing.size``."""
    signals, rules, sheet, s = world.signals, world.rules, world.sheet, world.signals.symbol[k]
    probability = signals.probability[k]
    if signals.bucket_n[k] >= 0.0:
        probability = shrunk_probability(
            probability, rules[R_KELLY_PRIOR], signals.bucket_wins[k], signals.bucket_n[k]
        )
    bet = kelly_bet(
        probability, signals.win_mean[k], signals.loss_mean[k], signals.second_moment[k]
    )
    kelly = signals.kelly_share[k] * bet
    risk = rules[R_RISK_PER_TRADE]
    if book.account[WINS_ROW] >= rules[R_RAISE_WINS]:
        risk *= rules[R_RAISE_FACTOR]
    if signals.atr[k] > rules[R_ATR_HALVING]:
        risk *= 0.5
    if book.account[LOSSES_ROW] >= rules[R_LOSSES_HALVING]:
        risk *= 0.5
    fallen = drawdown(equity, book)
    throttle = drawdown_throttle(
        fallen, rules[R_THROTTLE_START], rules[R_THROTTLE_FULL], rules[R_THROTTLE_FLOOR]
    )
    traded = rules[R_VOLUME_SHARE_MAX] * (sheet.volume[s, g] * sheet.price[s, g])
    notional, _ = bet_notional(equity, throttle, kelly, risk, loss, rules[R_POSITION_MAX], traded)
    notional = min(notional, rules[R_ORDER_NOTIONAL_MAX])
    notional = in_book(s, float(signals.side[k]), notional, equity, rules, memory)
    quantity = quantise_quantity(notional / price, world.contracts.lot[s])
    most: float = world.contracts.quantity_most[s]
    return min(quantity, most)


def in_book(
    s: int, side: float, notional: float, equity: float, rules: FloatArray, memory: Memory
) -> float:
    """Return the notional that the book's variance and market exposure leave of a bet."""
    held = crossed = beta = 0.0
    n = memory.sides.size
    for one in range(n):
        if memory.sides[one] == 0.0:
            continue
        weight = memory.notional[one] / equity
        beta += weight * memory.beta[one]
        crossed += weight * side * covariance(one, s, memory)
        for other in range(n):
            if memory.sides[other] != 0.0:
                other_weight = memory.notional[other] / equity
                held += weight * other_weight * covariance(one, other, memory)
    weight = notional / equity
    added = memory.volatility[s] * memory.volatility[s]
    share = variance_share(
        held, weight * crossed, weight * weight * added, rules[R_VARIANCE_TARGET]
    )
    by_beta = beta_share(beta, weight * (side * memory.beta[s]), rules[R_BETA_MAX])
    if share < 1.0 or by_beta < 1.0:
        notional *= min(share, by_beta)
    return notional


def covariance(one: int, other: int, memory: Memory) -> float:
    """Return the covariance of two symbols' bar returns."""
    together: float = (
        memory.correlation[one, other] * memory.volatility[one] * memory.volatility[other]
    )
    return together


def gated(
    s: int,
    side: int,
    quantity: float,
    price: float,
    stop: float,
    equity: float,
    close_ms: float,
    world: World,
    book: Book,
    memory: Memory,
) -> int:
    """Return why the pre-trade gate refuses an order, as ``core.risk.gate`` with healthy facts."""
    rules = world.rules
    age_days = (close_ms - rules[R_TRAINED_UNTIL_MS]) / DAY_MS
    if not age_days <= rules[R_MODEL_AGE_DAYS_MAX]:
        return MODEL_TOO_OLD
    if not 0.0 < price < math.inf:
        return PRICE_COLLAR
    notional = quantity * price
    gross, net = 0.0, 0.0
    for other in range(memory.sides.size):
        if memory.sides[other] != 0.0:
            gross += abs(memory.notional[other])
            net += memory.notional[other]
    reason = within(s, side * notional, notional, gross, net, equity, rules, memory)
    if reason == APPROVED:
        reason = paced(s, close_ms, rules, book, memory)
    if reason == APPROVED:
        reason = contracted(s, quantity, price, world.contracts)
    if reason == APPROVED:
        distance = side * (price - stop) / price
        leverage = min(rules[R_LEVERAGE_MAX], world.contracts.leverage_max[s])
        reason = protected(stop, distance, leverage, rules)
        used = gross / rules[R_LEVERAGE_MAX]
        if reason == APPROVED and not used + notional / leverage <= equity:
            reason = MARGIN
    return reason


def within(
    s: int,
    signed: float,
    notional: float,
    gross: float,
    net: float,
    equity: float,
    rules: FloatArray,
    memory: Memory,
) -> int:
    """Check an order against the limits on notionals."""
    slack = 1.0 + rules[R_ROUNDING]
    if not (equity > 0.0 and notional > 0.0):
        return POSITION_LIMIT
    if not notional <= rules[R_ORDER_NOTIONAL_MAX] * slack:
        return ORDER_NOTIONAL
    if not abs(memory.notional[s] + signed) <= rules[R_POSITION_MAX] * equity * slack:
        return POSITION_LIMIT
    if not gross + notional <= rules[R_LEVERAGE_MAX] * equity * slack:
        return LEVERAGE_LIMIT
    if not gross + notional <= rules[R_GROSS_MAX] * equity * slack:
        return GROSS_LIMIT
    return APPROVED if abs(net + signed) <= rules[R_NET_MAX] * equity * slack else NET_LIMIT


def paced(s: int, close_ms: float, rules: FloatArray, book: Book, memory: Memory) -> int:
    """Check an order against the rates."""
    account = book.account
    this_minute = account[ENTRIES_MINUTE] if close_ms // MINUTE_MS == account[MINUTE] else 0.0
    if (
        this_minute >= rules[R_ORDERS_MINUTE_MAX]
        or account[ENTRIES_TODAY] >= rules[R_ORDERS_DAY_MAX]
    ):
        return ORDER_RATE
    return REPEATED if memory.latched[s] else APPROVED


def contracted(s: int, quantity: float, price: float, contracts: Contracts) -> int:
    """Check an order against what the venue takes of this contract."""
    lots = quantity / contracts.lot[s]
    if not abs(lots - np.rint(lots)) <= 1e-6 or quantity < contracts.quantity_min[s]:
        return QUANTITY_STEP
    if not quantity <= contracts.quantity_max[s]:
        return QUANTITY_STEP
    return APPROVED if quantity * price >= contracts.notional_min[s] else NOTIONAL_MIN


def protected(stop: float, distance: float, leverage: float, rules: FloatArray) -> int:
    """Check the stop of an order."""
    if not 0.0 < stop < math.inf:
        return STOP_MISSING
    if not distance > 0.0:
        return STOP_SIDE
    if not rules[R_STOP_DISTANCE_MIN] <= distance <= rules[R_STOP_DISTANCE_MAX]:
        return STOP_DISTANCE
    if not leverage > 0.0:
        return LEVERAGE_LIMIT
    return APPROVED if distance < 1.0 / leverage - rules[R_MAINTENANCE] else LIQUIDATION


def send(
    s: int,
    side: int,
    quantity: float,
    price: float,
    take: float,
    stop: float,
    close_ms: float,
    rules: FloatArray,
    book: Book,
    memory: Memory,
) -> None:
    """Let an entry wait for the next open, and count it, as ``core.guard.on_entry``."""
    account = book.account
    order = book.waiting[int(account[WAITING])]
    order[OF_SYMBOL], order[IS_ENTRY], order[OF_SIDE] = s, 1.0, side
    order[OF_QUANTITY], order[OF_STOP], order[OF_TAKE] = quantity, stop, take
    order[OF_CLOSE], order[OF_REFERENCE] = close_ms, price
    account[WAITING] += 1.0
    minute = close_ms // MINUTE_MS
    if minute != account[MINUTE]:
        account[MINUTE], account[ENTRIES_MINUTE] = minute, 0.0
    account[ENTRIES_MINUTE] += 1.0
    account[ENTRIES_TODAY] += 1.0
    memory.repeated[s] += 1.0
    if memory.repeated[s] >= rules[R_REPEATED_MAX]:
        memory.latched[s] = True
