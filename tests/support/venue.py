"""A venue core for tests: one account with money, instruments with round steps, prices set."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from executor.paper.venue import matching, placing
from executor.paper.venue.account import Account, Booking
from executor.paper.venue.instruments import instrument_for
from executor.paper.venue.orders import Bracket, Order, OrderRequest, Side
from executor.paper.venue.state import VenueState, new_state
from features.costs import Costs

FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
D = Decimal


@dataclass(slots=True)
class Desk:
    """A venue and the account that trades on it."""

    state: VenueState
    account: Account

    def order(self, side: str, quantity: str, **fields: Any) -> Order:
        """Place an order: a limit where ``price`` is given, else a market order."""
        numbers = ("price", "trigger_price")
        values = {k: D(v) if k in numbers else v for k, v in fields.items()}
        request = OrderRequest(
            symbol=values.pop("symbol", "AAAUSDT"),
            side=Side(side),
            is_market="price" not in values,
            quantity=D(quantity),
            **values,
        )
        return placing.place(self.state, self.account, request)

    def trade(self, side: str, quantity: str, **fields: Any) -> Order:
        """Place an order and let it take."""
        placed = self.order(side, quantity, **fields)
        self.match()
        return self.state.orders.by_id[placed.order_id]

    def match(self) -> None:
        """Let waiting orders take."""
        matching.match_takers(self.state, self.state.instruments)

    def walk(self, start: str, high: str, low: str, end: str, symbol: str = "AAAUSDT") -> None:
        """Walk one bar."""
        path = matching.Path(start=D(start), high=D(high), low=D(low), end=D(end))
        matching.walk(self.state, symbol, path)

    def now(self, order: Order) -> Order:
        """Return the order as it is now."""
        return self.state.orders.by_id[order.order_id]

    def quantity(self, idx: int = 0, symbol: str = "AAAUSDT") -> Decimal:
        """Return the signed quantity of a position."""
        return self.account.position(symbol, idx).quantity


def bracket(stop: str = "0", take: str = "0", **fields: Any) -> Bracket:
    """Return the exits of an order."""
    return Bracket(stop_loss=D(stop), take_profit=D(take), **fields)


def desk(costs: Costs = FREE, balance: str = "10000", price: str = "100", symbols: int = 1) -> Desk:
    """Return a venue with AAAUSDT (and BBBUSDT …) at ``price``: tick 0.1, lot 0.1."""
    prices = np.array([100.1, float(price)])
    names = [letter * 3 + "USDT" for letter in "ABCDEFGH"[:symbols]]
    state = new_state(1, costs, [instrument_for(name, prices) for name in names])
    account = Account(
        name="main",
        api_key="key",
        secret="secret",
        taker_fee=costs.taker_fee,
        maker_fee=costs.maker_fee,
    )
    account.book(Booking.DEPOSIT, D(balance))
    state.accounts["main"] = account
    state.now_ms = 1_700_000_000_000
    state.prices.update({name: D(price) for name in names})
    return Desk(state=state, account=account)
