"""The tables of the compiled portfolio loop: signals, rules, contracts, what it remembers.

Decides names only. Rule: arrays and plain numbers, so that the loop is compiled as it stands.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from executor.core.contract import Refusal
from features.types import FloatArray, IntArray
from flows.research.portfolio_book import Sheet

MINUTE_MS: Final = 60_000.0
# Reasons, by number; portfolio.py names them.
APPROVED: Final = 0
POSITION_OPEN: Final = 1
SESSION: Final = 2
EXPECTED_VALUE: Final = 3
NO_ECONOMICS: Final = 4
HALTED_REASON: Final = 5
DAILY_LOSS: Final = 6
COOL_DOWN: Final = 7
PERFORMANCE: Final = 8
MARGIN: Final = 9
POSITIONS_MAX: Final = 10
CORRELATION: Final = 11
SIZE_ZERO: Final = 12
MODEL_TOO_OLD: Final = 13
PRICE_COLLAR: Final = 14
ORDER_NOTIONAL: Final = 15
POSITION_LIMIT: Final = 16
LEVERAGE_LIMIT: Final = 17
GROSS_LIMIT: Final = 18
NET_LIMIT: Final = 19
ORDER_RATE: Final = 20
REPEATED: Final = 21
QUANTITY_STEP: Final = 22
NOTIONAL_MIN: Final = 23
STOP_MISSING: Final = 24
STOP_SIDE: Final = 25
STOP_DISTANCE: Final = 26
LIQUIDATION: Final = 27
REGIME: Final = 28
REASONS: Final = 29
# What the live core calls them.
NAMES: Final = {
    POSITION_OPEN: Refusal.POSITION_OPEN,
    SESSION: Refusal.SESSION_VOLUME,
    EXPECTED_VALUE: Refusal.EXPECTED_VALUE,
    NO_ECONOMICS: Refusal.NO_ECONOMICS,
    HALTED_REASON: Refusal.HALTED,
    DAILY_LOSS: Refusal.DAILY_LOSS,
    COOL_DOWN: Refusal.COOL_DOWN,
    PERFORMANCE: Refusal.PERFORMANCE,
    MARGIN: Refusal.MARGIN,
    POSITIONS_MAX: Refusal.POSITIONS_MAX,
    CORRELATION: Refusal.CORRELATION,
    SIZE_ZERO: Refusal.SIZE_ZERO,
    MODEL_TOO_OLD: Refusal.MODEL_TOO_OLD,
    PRICE_COLLAR: Refusal.PRICE_COLLAR,
    ORDER_NOTIONAL: Refusal.ORDER_NOTIONAL,
    POSITION_LIMIT: Refusal.POSITION_LIMIT,
    LEVERAGE_LIMIT: Refusal.LEVERAGE_LIMIT,
    GROSS_LIMIT: Refusal.GROSS_LIMIT,
    NET_LIMIT: Refusal.NET_LIMIT,
    ORDER_RATE: Refusal.ORDER_RATE,
    REPEATED: Refusal.REPEATED_EXECUTION,
    QUANTITY_STEP: Refusal.QUANTITY_STEP,
    NOTIONAL_MIN: Refusal.NOTIONAL_MIN,
    STOP_MISSING: Refusal.STOP_MISSING,
    STOP_SIDE: Refusal.STOP_SIDE,
    STOP_DISTANCE: Refusal.STOP_DISTANCE,
    LIQUIDATION: Refusal.LIQUIDATION,
    REGIME: Refusal.REGIME,
}


class Signals(NamedTuple):
    """Signals with the model's answers; arrays of shape (signals,), by close and symbol.

    ``first`` has shape (closes + 1,): the signals of a close are those in that range. ``is_regime``
    says where the regime filter refuses; ``bucket_n`` is -1 outside of every calibration bucket;
    ``kelly_share`` is the share of the growth-optimal bet.
    """

    first: IntArray
    symbol: IntArray
    side: IntArray
    probability: FloatArray
    expected: FloatArray
    error: FloatArray
    win_mean: FloatArray
    loss_mean: FloatArray
    second_moment: FloatArray
    bucket_wins: FloatArray
    bucket_n: FloatArray
    kelly_share: FloatArray
    volatility: FloatArray
    atr: FloatArray
    is_regime: NDArray[np.bool_]


class Contracts(NamedTuple):
    """What the venue says of each symbol; arrays of shape (symbols,)."""

    lot: FloatArray
    quantity_min: FloatArray
    quantity_most: FloatArray
    quantity_max: FloatArray
    notional_min: FloatArray
    leverage_max: FloatArray
    trading: NDArray[np.bool_]


class Memory(NamedTuple):
    """What entries remember: entries of the day by symbol, latches, volatilities, refusals.

    The rest is room to work in: the loop makes no array, so that its arrays are not counted.
    """

    repeated: FloatArray
    latched: NDArray[np.bool_]
    volatility: FloatArray
    reasons: IntArray
    notional: FloatArray
    held: NDArray[np.bool_]
    correlation: FloatArray
    beta: FloatArray
    sides: FloatArray
    ideas: IntArray
    keys: FloatArray
    names: IntArray
    spread: FloatArray
    centred: FloatArray
    known: NDArray[np.bool_]


class World(NamedTuple):
    """Everything that does not change."""

    sheet: Sheet
    signals: Signals
    rules: FloatArray
    contracts: Contracts
    active_hour: NDArray[np.bool_]
