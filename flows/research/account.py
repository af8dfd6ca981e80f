"""What an account's history is made of: positions bar by bar, exposure, and where equity came from.

Decides how a result divides into market, skill and costs. Never decides a trade and never looks
ahead: positions are those that the fills left. Rule: the parts are measured one by one from fills,
prices without slippage and settlements, and their sum is the account's gain; what is left over is
reported and not hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from executor.core.replay import Replayed
from features.types import FloatArray
from flows.research.market import Market

YEAR_MS = 31_536_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holdings:
    """Positions and prices of all symbols at each close; arrays of shape (bars, symbols).

    ``quantity`` is signed and held after the bar; ``price`` the last close; ``gained`` what the
    bar brought at prices without slippage, before any cost.
    """

    symbols: tuple[str, ...]
    quantity: FloatArray
    price: FloatArray
    gained: FloatArray

    @property
    def notional(self) -> FloatArray:
        """Signed notionals at the last closes, shape (bars, symbols)."""
        return self.quantity * self.price


def holdings(done: Replayed, markets: Sequence[Market]) -> Holdings:
    """Return what was held at each close of a replay."""
    close_ms = np.array(done.close_ms, dtype=np.int64)
    symbols = tuple(market.symbol for market in markets)
    shape = (close_ms.size, len(symbols))
    price, traded, paid = np.empty(shape), np.zeros(shape), np.zeros(shape)
    for s, market in enumerate(markets):
        at = np.searchsorted(market.candles.close_ms, close_ms, side="right") - 1
        price[:, s] = market.candles.close[np.maximum(at, 0)]
    number = {symbol: s for s, symbol in enumerate(symbols)}
    for fill, slipped in zip(done.fills, done.slipped, strict=True):
        bar = int(np.searchsorted(close_ms, fill.time_ms, side="right"))
        place = min(bar, close_ms.size - 1), number[fill.symbol]
        signed = fill.side * fill.quantity
        traded[place] += signed
        paid[place] += signed * fill.price - slipped
    quantity = np.cumsum(traded, axis=0)
    held = np.vstack([np.zeros((1, len(symbols))), quantity[:-1]])
    before = np.vstack([price[:1], price[:-1]])
    gained = held * (price - before) + traded * price - paid
    return Holdings(symbols=symbols, quantity=quantity, price=price, gained=gained)


def market_returns(price: FloatArray) -> FloatArray:
    """Return the bar returns of an equal share in each symbol, shape (bars,); the first is 0."""
    returns = np.zeros(price.shape)
    returns[1:] = price[1:] / price[:-1] - 1.0
    return np.asarray(returns.mean(axis=1))


def betas(price: FloatArray) -> FloatArray:
    """Return each symbol's beta to the equally weighted market over these closes."""
    market = market_returns(price)
    variance = float(market.var())
    if price.shape[0] < 3 or variance <= 0.0:
        return np.ones(price.shape[1])
    own = np.zeros(price.shape)
    own[1:] = price[1:] / price[:-1] - 1.0
    centred = market - market.mean()
    return np.asarray((own * centred[:, None]).mean(axis=0) / variance)


def attribution(done: Replayed, held: Holdings, start: float) -> dict[str, float]:
    """Return where the account's gain came from, in quote currency.

    ``beta`` is what the market's moves gave to the exposure that was held, each symbol's notional
    times its beta; ``alpha`` the rest of the gain at prices without slippage. alpha + beta + fees +
    slippage + funding = net, the gain of the equity; ``unexplained`` is what the sum misses.
    """
    notional = held.notional
    before = np.vstack([np.zeros((1, notional.shape[1])), notional[:-1]])
    market = market_returns(held.price)
    beta = float(((before * betas(held.price)).sum(axis=1) * market).sum())
    gross = float(held.gained.sum())
    parts = {
        "alpha": gross - beta,
        "beta": beta,
        "fees": -sum(fill.fee for fill in done.fills),
        "slippage": -sum(done.slipped),
        "funding": done.funding,
    }
    net = done.equity[-1] - start
    return {**parts, "net": net, "unexplained": net - sum(parts.values())}


def book_metrics(done: Replayed, held: Holdings, start: float) -> dict[str, float]:
    """Return exposure, turnover and costs; exposures are shares of the equity of their bar."""
    equity = np.array(done.equity)
    notional = held.notional
    gross = np.abs(notional).sum(axis=1) / equity
    traded = sum(fill.quantity * fill.price for fill in done.fills)
    years = (done.close_ms[-1] - done.close_ms[0]) / YEAR_MS
    fees, slipped = sum(fill.fee for fill in done.fills), sum(done.slipped)
    return {
        "exposure_mean": float(gross.mean()),
        "exposure_max": float(gross.max()),
        "exposure_net_mean": float((notional.sum(axis=1) / equity).mean()),
        "in_market_share": float((gross > 0.0).mean()),
        "turnover": traded / start,
        "turnover_annual": traded / float(equity.mean()) / years if years > 0.0 else float("nan"),
        "fees_paid": fees,
        "slippage_paid": slipped,
        "cost_share": (fees + slipped - done.funding) / start,
    }
