"""Money conserves: whatever is ordered, walked, settled or liquidated, every cent is accounted for.

The expectation is built from the executions alone, as a stranger would who reads only the private
stream: cash = deposits - sum(side * quantity * price) - fees + funding; equity = cash + holdings.
"""

from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from executor.paper.venue import liquidation, placing, protecting, stops
from executor.paper.venue.account import CROSS, ISOLATED, Account, Booking
from executor.paper.venue.errors import VenueError
from executor.paper.venue.events import Executed, OrderChanged, PositionChanged, WalletChanged
from executor.paper.venue.funding import settle
from executor.paper.venue.margin import cushion, totals, view
from executor.paper.venue.orders import Bracket, OrderRequest, PositionKey, Side, Status
from features.costs import Costs
from tests.support.venue import D, desk

COSTS = Costs(taker_fee=0.00055, maker_fee=-0.0001, slippage_base=0.0002, slippage_volatility=0.0)
SYMBOLS = ("AAAUSDT", "BBBUSDT")
DEPOSIT = D(2000)
CENT = D("0.0000001")
ENDED = {Status.FILLED, Status.CANCELLED, Status.DEACTIVATED, Status.REJECTED}
ENDED.add(Status.PARTIALLY_FILLED_CANCELED)

symbols = st.sampled_from(SYMBOLS)
names = st.sampled_from(("main", "other"))
sides = st.sampled_from(Side)
lots = st.integers(1, 400).map(lambda count: D(count) / 10)
moves = st.integers(-150, 150)
maybe = st.one_of(st.just(0), st.integers(1, 120))


class Venue(RuleBasedStateMachine):
    """Random trading on two accounts and two symbols, checked after every step."""

    @initialize(
        mode=st.sampled_from((CROSS, ISOLATED)),
        hedge=st.booleans(),
        leverage=st.sampled_from((3, 10, 50)),
    )
    def begin(self, mode: str, hedge: bool, leverage: int) -> None:
        made = desk(COSTS, balance=str(DEPOSIT), symbols=2)
        self.state = made.state
        other = Account(
            name="other", api_key="k2", secret="s2", taker_fee=0.00055, maker_fee=-0.0001
        )
        other.book(Booking.DEPOSIT, DEPOSIT)
        self.state.accounts["other"] = other
        made.account.margin_mode = mode
        for account in self.state.accounts.values():
            account.leverage.update(dict.fromkeys(SYMBOLS, D(leverage)))
        if hedge:
            made.account.hedged.update(SYMBOLS)
        self.desk = made
        self.cash: dict[str, Decimal] = defaultdict(lambda: DEPOSIT)
        self.held: dict[PositionKey, Decimal] = defaultdict(Decimal)
        self.filled: dict[str, Decimal] = defaultdict(Decimal)
        self.last: dict[str, Status] = {}

    def attempt(self, action: object, *args: object, **fields: object) -> None:
        """Do something that the venue may refuse; a refusal must leave no trace."""
        before = len(self.state.events)
        try:
            action(*args, **fields)  # type: ignore[operator]
        except VenueError:
            assert len(self.state.events) == before

    @rule(
        name=names,
        symbol=symbols,
        side=sides,
        quantity=lots,
        offset=moves,
        kind=st.sampled_from(("market", "limit", "stop", "stop-limit")),
        time_in_force=st.sampled_from(("GTC", "IOC", "FOK", "PostOnly")),
        reduce_only=st.booleans(),
        idx=st.sampled_from((0, 1, 2)),
        stop=maybe,
        take=maybe,
        partial=st.booleans(),
    )
    def order(
        self,
        name: str,
        symbol: str,
        side: Side,
        quantity: Decimal,
        offset: int,
        kind: str,
        time_in_force: str,
        reduce_only: bool,
        idx: int,
        stop: int,
        take: int,
        partial: bool,
    ) -> None:
        last = self.state.prices[symbol]
        limit, trigger = last + D(offset) / 10, last - D(offset) / 10
        base = limit if "limit" in kind else trigger if kind == "stop" else last
        away = side.sign * D(1) / 10
        request = OrderRequest(
            symbol=symbol,
            side=side,
            is_market="limit" not in kind,
            quantity=quantity,
            price=limit if "limit" in kind else D(0),
            time_in_force=time_in_force if "limit" in kind else "GTC",
            reduce_only=reduce_only,
            position_idx=idx if symbol in self.state.accounts[name].hedged else 0,
            trigger_price=trigger if "stop" in kind else D(0),
            trigger_direction=(1 if trigger > last else 2) if "stop" in kind else 0,
            bracket=Bracket(
                stop_loss=base - away * stop if stop else D(0),
                take_profit=base + away * take if take else D(0),
                partial=partial,
            ),
        )
        self.attempt(placing.place, self.state, self.state.accounts[name], request)

    @rule(name=names, symbol=symbols, side=sides, share=st.integers(1, 30), stop=maybe, take=maybe)
    def enter(self, name: str, symbol: str, side: Side, share: int, stop: int, take: int) -> None:
        """Trade at market with up to thirty times the first deposit."""
        account, last = self.state.accounts[name], self.state.prices[symbol]
        away = side.sign * D(1) / 10
        request = OrderRequest(
            symbol=symbol,
            side=side,
            is_market=True,
            quantity=(DEPOSIT * share / last).quantize(D("0.1")) + D("0.1"),
            position_idx=(1 if side is Side.BUY else 2) if symbol in account.hedged else 0,
            bracket=Bracket(
                stop_loss=max(D(0), last - away * stop) if stop else D(0),
                take_profit=max(D(0), last + away * take) if take else D(0),
            ),
        )
        self.attempt(placing.place, self.state, account, request)
        self.desk.match()

    @rule(name=names, symbol=symbols, offset=moves, share=st.integers(1, 9))
    def reduce(self, name: str, symbol: str, offset: int, share: int) -> None:
        """Rest or trade a reducing limit order for part of what is held."""
        account, last = self.state.accounts[name], self.state.prices[symbol]
        for position in account.open_positions():
            if position.key.symbol == symbol:
                request = OrderRequest(
                    symbol=symbol,
                    side=Side.SELL if position.quantity > 0 else Side.BUY,
                    is_market=False,
                    quantity=(position.size * share / 10).quantize(D("0.1")) + D("0.1"),
                    price=max(D("0.1"), last + position.sign * D(offset) / 10),
                    reduce_only=True,
                    position_idx=position.key.idx,
                )
                self.attempt(placing.place, self.state, account, request)

    @rule()
    def match(self) -> None:
        self.desk.match()

    @rule(symbol=symbols, bar=st.tuples(moves, moves, moves, moves), crash=st.booleans())
    def walk(self, symbol: str, bar: tuple[int, int, int, int], crash: bool) -> None:
        self.desk.match()
        last = self.state.prices[symbol]
        points = [max(D(1), last + D(move * (4 if crash else 1)) / 10) for move in bar]
        self.desk.walk(str(points[0]), str(max(points)), str(min(points)), str(points[-1]), symbol)
        for account in self.state.accounts.values():
            for position in account.open_positions():
                price = self.state.prices[position.key.symbol]
                assert cushion(self.state, account, position, price) > 0

    @rule(symbol=symbols, pool=st.one_of(st.none(), st.integers(0, 600)))
    def volume(self, symbol: str, pool: int | None) -> None:
        """Let the bar's volume limit what orders may take, or lift the limit."""
        self.state.liquidity.pop(symbol, None)
        if pool is not None:
            self.state.liquidity[symbol] = D(pool) / 10

    @rule(symbol=symbols, rate=st.integers(-1_000_000, 1_000_000))
    def fund(self, symbol: str, rate: int) -> None:
        settle(self.state, symbol, rate / 1e8, self.state.prices[symbol])

    @rule(name=names, symbol=symbols, leverage=st.integers(1, 50))
    def leverage(self, name: str, symbol: str, leverage: int) -> None:
        account = self.state.accounts[name]
        self.attempt(protecting.set_leverage, self.state, account, symbol, D(leverage))

    @rule(name=names, away=maybe, trail=maybe, partial=st.booleans())
    def protect(self, name: str, away: int, trail: int, partial: bool) -> None:
        account = self.state.accounts[name]
        for position in account.open_positions():
            last = self.state.prices[position.key.symbol]
            wanted = protecting.TradingStop(
                symbol=position.key.symbol,
                position_idx=position.key.idx,
                stop_loss=last - position.sign * D(away) / 10,
                trail=D(0) if partial else D(trail) / 10,
                partial=partial,
                size=D("0.1") if partial else D(0),
            )
            self.attempt(protecting.trading_stop, self.state, account, wanted)

    @rule(name=names, pick=st.integers(0, 9), offset=moves)
    def amend(self, name: str, pick: int, offset: int) -> None:
        account = self.state.accounts[name]
        orders = list(self.state.orders.open_of(name))
        if orders:
            order = orders[pick % len(orders)]
            price = self.state.prices[order.symbol] + D(offset) / 10
            self.attempt(
                placing.amend,
                self.state,
                account,
                order,
                quantity=None,
                price=price,
                trigger_price=None,
                bracket=None,
            )

    @rule(name=names, pick=st.integers(0, 9))
    def cancel(self, name: str, pick: int) -> None:
        orders = list(self.state.orders.open_of(name))
        if orders:
            placing.cancel(self.state, self.state.accounts[name], orders[pick % len(orders)])

    @rule(name=names, by=st.sampled_from((liquidation.deleverage, liquidation.close_by_hand)))
    def closed_by_venue(self, name: str, by: object) -> None:
        account = self.state.accounts[name]
        for position in account.open_positions()[:1]:
            by(self.state, account, position)  # type: ignore[operator]

    @rule(symbol=symbols, happens=st.integers(0, 9))
    def delist(self, symbol: str, happens: int) -> None:
        """Now and then a contract ends: nobody has anything of it left, and nobody paid for it."""
        if happens:
            return
        begun = len(self.state.events)
        liquidation.settle_out(self.state, symbol)
        for account in self.state.accounts.values():
            assert not account.held_in(symbol)
            assert all(o.symbol != symbol for o in self.state.orders.open_of(account.name))
        settled = [e for e in self.state.events[begun:] if isinstance(e, Executed)]
        assert all(e.kind == "Settle" and e.fee == 0 for e in settled)

    @invariant()
    def every_cent_is_accounted_for(self) -> None:
        for event in self.state.drain():
            if isinstance(event, Executed):
                self.read_execution(event)
            elif isinstance(event, OrderChanged):
                self.read_order(event)
            elif isinstance(event, WalletChanged):
                assert event.equity == event.wallet + event.unrealised
            else:
                assert isinstance(event, PositionChanged)
                assert (event.size == 0) == (event.side == "")
        for name, account in self.state.accounts.items():
            assert account.wallet == sum(account.booked.values())
            holdings = sum(
                (
                    q * self.state.prices[k.symbol]
                    for k, q in self.held.items()
                    if k.account == name
                ),
                D(0),
            )
            insured = account.booked[Booking.INSURED]
            assert totals(self.state, account).equity == pytest.approx(
                self.cash[name] + holdings + insured, abs=CENT
            )
            assert account.open_positions() or account.wallet >= 0
            closed = sum(line.profit for line in account.closed)
            opened = sum(p.entry_fee for p in account.positions.values())
            gained = account.booked[Booking.TRADE] + account.booked[Booking.FEE]
            assert closed - opened == gained
        paid = sum(a.booked[Booking.INSURED] for a in self.state.accounts.values())
        assert self.state.insurance == -paid

    def read_execution(self, event: Executed) -> None:
        order = event.order
        if event.kind != "Funding":
            self.held[order.key] += order.side.sign * event.quantity
            self.cash[event.account] -= order.side.sign * event.value
            self.filled[order.order_id] += event.quantity
            assert event.value == event.quantity * event.price
        self.cash[event.account] -= event.fee

    def read_order(self, event: OrderChanged) -> None:
        order = event.order
        assert self.last.get(order.order_id) not in ENDED
        self.last[order.order_id] = order.status
        assert order.filled == self.filled[order.order_id] <= order.quantity
        assert (order.status is Status.FILLED) == (order.filled == order.quantity)

    @invariant()
    def totals_are_the_sums_of_the_positions(self) -> None:
        """What is kept up as prices and positions move is what reckoning everything anew gives."""
        for account in self.state.accounts.values():
            said = totals(self.state, account)
            held = [p for p in account.positions.values() if p.quantity]
            assert account.open_positions() == sorted(held, key=lambda p: p.key)
            views = [view(self.state, account, position) for position in held]
            assert said.unrealised == sum(v.unrealised for v in views)
            assert said.position_margin == sum(v.initial_margin for v in views)
            kept = sum(v.maintenance_margin for v in views)
            assert said.maintenance_margin == pytest.approx(kept, abs=CENT)
            ever = sum(position.realised_total for position in account.positions.values())
            assert said.realised_total == ever

    @invariant()
    def resting_orders_bind_their_margin(self) -> None:
        """What is kept up order by order is what reckoning everything anew gives."""
        for name, account in self.state.accounts.items():
            expected = D(0)
            for order in self.state.orders.open_of(name):
                if order.reduce_only or order.status is Status.UNTRIGGERED:
                    continue
                held = self.held[order.key]
                opposite = held * order.side.sign < 0
                opening = max(D(0), order.left - abs(held)) if opposite else order.left
                price = order.price or self.state.prices[order.symbol]
                rate = 1 / account.leverage[order.symbol] + D(str(account.taker_fee))
                expected += opening * price * rate
            assert totals(self.state, account).order_margin == pytest.approx(expected, abs=CENT)

    @invariant()
    def positions_and_orders_agree(self) -> None:
        for account in self.state.accounts.values():
            for key, position in account.positions.items():
                assert position.quantity == self.held[key]
                assert (position.entry_value == 0) == (position.quantity == 0)
                assert position.margin >= 0
                whole = [o for o in self.state.orders.open_at(key) if o.stop_kind in stops.WHOLE]
                assert len(whole) == len({order.stop_kind for order in whole})
                assert all(order.quantity == position.size for order in whole)
                if not position.quantity:
                    assert not whole
                    assert not position.margin
                    assert not position.entry_fee
        for key, ids in self.state.orders.live.items():
            for order_id in ids:
                order = self.state.orders.by_id[order_id]
                assert order.is_open
                assert order.key == key


Venue.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_money_conserves = pytest.mark.slow(Venue.TestCase)


class LongVenue(Venue):
    """The same, for as long as issue 6 asks."""


LongVenue.TestCase.settings = settings(
    Venue.TestCase.settings, max_examples=3000, stateful_step_count=80
)
test_money_conserves_at_length = pytest.mark.soak(LongVenue.TestCase)
