"""How much to bet on an approved idea.

Decides the notional and the quantity: Bayesian fractional Kelly under the risk, position and
volume caps, then scaled to the book's volatility target and its net market exposure. Never decides
whether to bet. Rule: every rounding and every unknown makes the bet smaller; the size moves with
the probability wherever no cap binds.

Sources: MacLean, Thorp & Ziemba (2011) on fractional Kelly; shrinkage of a probability towards its
calibration bucket is the posterior mean of a beta-binomial; covariance shrunk towards a constant
correlation as in Ledoit & Wolf (2004), with the intensity a parameter.
"""

from dataclasses import dataclass
from typing import Final

from executor.core.decide import (
    BY_KELLY,
    BY_POSITION,
    BY_RISK,
    BY_VOLUME,
    bet_notional,
    beta_share,
    drawdown_throttle,
    kelly_bet,
    kelly_share,
    shrunk_probability,
    variance_share,
)
from executor.core.fills import quantise_quantity
from executor.core.model import Bucket, ModelInfo, Prediction
from executor.core.params import Limits, Sizing
from executor.core.types import Instrument

BINDING: Final = {
    BY_KELLY: "kelly",
    BY_RISK: "risk",
    BY_POSITION: "position",
    BY_VOLUME: "volume",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Variances per bar, as fractions of equity squared, of what is held and of a unit bet.

    ``crossed`` is the covariance of the held book with a bet of one equity on the new symbol and
    side, ``added`` that bet's own variance; ``beta_held`` and ``beta_added`` are market betas.
    """

    held: float
    crossed: float
    added: float
    beta_held: float
    beta_added: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Everything the size of one bet depends on. Fractions, quote currency, per-bar figures.

    ``share`` of what comes out is bet: less than 1 while a model is new.
    """

    prediction: Prediction
    equity: float
    drawdown: float
    price: float
    stop_distance: float
    bar_notional: float
    atr_fraction: float
    losses_row: int
    wins_row: int
    book: Book
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The answer: ``quantity`` is a multiple of the lot, 0 where nothing is left."""

    quantity: float
    notional: float
    kelly: float
    bound_by: str


def bucket_of(buckets: tuple[Bucket, ...], probability: float) -> Bucket | None:
    """Return the calibration bucket that holds ``probability``."""
    for bucket in buckets:
        if bucket.lo <= probability < bucket.hi:
            return bucket
    return buckets[-1] if buckets and probability >= buckets[-1].hi else None


def kelly_of(
    prediction: Prediction, info: ModelInfo, symbol: str, sizing: Sizing, cap: float
) -> float:
    """Return k·f, the bet as a fraction of equity before any cap but the one in k."""
    bets = info.bets_of(symbol)
    bucket = bucket_of(bets.buckets, prediction.probability)
    probability = prediction.probability
    if bucket is not None:
        probability = shrunk_probability(
            probability, sizing.kelly_prior_count, bucket.wins, bucket.n
        )
    bet = kelly_bet(
        probability, prediction.win_mean, prediction.loss_mean, prediction.second_moment
    )
    share_max = min(sizing.kelly_fraction_max, info.kelly_fraction)
    return kelly_share(share_max, cap, bets.kelly_q90) * bet


def risk_fraction(sizing: Sizing, ask: Ask) -> float:
    """Return risk per trade: halved in wild markets and after losses in a row."""
    risk = sizing.risk_per_trade
    if sizing.raise_after_wins and ask.wins_row >= sizing.raise_wins:
        risk *= sizing.raise_factor
    if ask.atr_fraction > sizing.atr_fraction_halving:
        risk *= 0.5
    if ask.losses_row >= sizing.losses_halving:
        risk *= 0.5
    return risk


def size(
    ask: Ask,
    info: ModelInfo,
    sizing: Sizing,
    limits: Limits,
    instrument: Instrument,
    variance_target: float,
) -> Size:
    """Return the size of a bet.

    ``variance_target`` is the book's per bar, as a fraction of equity squared.
    """
    cap = limits.position_fraction_max
    kelly = kelly_of(ask.prediction, info, instrument.symbol, sizing, cap)
    throttle = drawdown_throttle(
        ask.drawdown,
        sizing.throttle_drawdown_start,
        sizing.throttle_drawdown_full,
        sizing.throttle_floor,
    )
    notional, bound = bet_notional(
        ask.equity,
        throttle,
        kelly,
        risk_fraction(sizing, ask),
        ask.stop_distance,
        cap,
        sizing.volume_share_max * ask.bar_notional,
    )
    bound_by = BINDING[bound]
    if limits.order_notional_max < notional:
        notional, bound_by = limits.order_notional_max, "order"
    weight = notional / ask.equity
    book = ask.book
    share = variance_share(
        book.held, weight * book.crossed, weight * weight * book.added, variance_target
    )
    by_beta = beta_share(book.beta_held, weight * book.beta_added, sizing.beta_fraction_max)
    if share < 1.0 or by_beta < 1.0:
        bound_by = "volatility" if share <= by_beta else "beta"
        notional *= min(share, by_beta)
    notional *= ask.share
    quantity = quantise_quantity(notional / ask.price, instrument.lot)
    quantity = min(quantity, quantise_quantity(instrument.quantity_max, instrument.lot))
    return Size(quantity=quantity, notional=notional, kelly=kelly, bound_by=bound_by)
