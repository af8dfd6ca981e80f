"""Recorded bars driven through the decision core: the engine of every simulation.

Decides the order of things inside a bar where there is no venue: settlements at the open, market
orders at the open, the walk of the bar, settlements inside it, and then the close. Never decides a
trade (``advance`` does) and never draws a random number. Rule: the same order as the paper
exchange; market fills in the order of the intents, walks in the order of symbols; a market order of
a symbol whose next bar is missing waits for the next bar there is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from executor.core.events import (
    HEALTHY,
    BarClosed,
    Event,
    FillReceived,
    FundingPaid,
    GateFacts,
    OrderUpdated,
)
from executor.core.fills import (
    Resting,
    RestingLimit,
    fee,
    funding_payment,
    market_fill_price,
    walk_bar,
)
from executor.core.params import Params
from executor.core.recording import (
    LastVolatility,
    RecordedClose,
    Recording,
    Settled,
    Tape,
)
from executor.core.signal_source import SignalSource
from executor.core.state import TradingState
from executor.core.types import (
    Bar,
    Decision,
    Fill,
    Notice,
    OrderIntent,
    OrderStatus,
    Outcome,
    Refused,
    Trade,
)
from features.types import Candle

Advance = Callable[[TradingState, Event, Params], Outcome]
_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Close:
    """One close of all symbols, with what only the simulated venue knows.

    ``volatility`` is by symbol, at this close; where ``is_complete``, also of the symbols that do
    not close now. ``settled`` are (symbol, time, rate) of the settlements from this bar's open
    (included) to its close (not included).
    """

    event: BarClosed
    bars: Mapping[str, Bar]
    volatility: Mapping[str, float]
    settled: Settled
    is_complete: bool = False


def closes(
    tapes: Sequence[Tape],
    start_ms: int,
    stop_ms: int,
    facts: GateFacts = HEALTHY,
    signals: SignalSource | None = None,
) -> Iterator[Close]:
    """Yield every close in [start_ms, stop_ms) that has a following bar for some symbol.

    Symbols come in alphabetical order. A row that is not warm (NaN volatility) is given as None.
    ``signals`` may answer for many rows at once.
    """
    return map(played, Recording(tapes, start_ms, stop_ms, facts, signals))


def played(event: RecordedClose) -> Close:
    """Return a recorded close as the simulated venue sees it."""
    recording, place = event.recording, event.place
    return Close(
        event=event,
        bars=event.by_symbol(),
        volatility=LastVolatility(recording, place),
        settled=recording.settled(place),
        is_complete=True,
    )


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What a replay did; ``equity`` is at each close, marked to it.

    ``slipped`` is what each fill lost to slippage and ``funding`` what cash gained by settlements,
    in quote currency.
    """

    close_ms: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    intents: list[OrderIntent] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    refusals: list[Refused] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    slipped: list[float] = field(default_factory=list)
    funding: float = 0.0


def replay(
    recorded: Iterable[Close],
    state: TradingState,
    params: Params,
    advance: Advance,
    *,
    entry_delay_bars: int = 0,
) -> Replayed:
    """Drive ``recorded`` closes through ``advance`` (normally ``core.step.step``).

    ``state`` is changed as it would be live; open positions stay open at the end. Entries reach the
    market ``entry_delay_bars`` bars late: what a slow executor would have got.
    """
    venue = _Venue(state, params, advance, entry_delay_bars * params.interval_ms)
    done = venue.done
    for close in recorded:
        venue.walk(close)
        venue.take(advance(state, close.event, params))
        done.close_ms.append(close.event.close_ms)
        done.equity.append(state.ledger.equity())
    return done


class _Venue:
    """The simulated venue: market orders that wait for an open, and the walk of each bar."""

    def __init__(
        self, state: TradingState, params: Params, advance: Advance, delay_ms: int
    ) -> None:
        self._state = state
        self._delay_ms = delay_ms
        self._params = params
        self._advance = advance
        self._pending: list[OrderIntent] = []
        self._volatility: Mapping[str, float] = {}
        self.done = Replayed()

    def walk(self, close: Close) -> None:
        """Play the bar that ends at ``close`` for all that is open or waiting."""
        positions = self._state.ledger.positions
        if self._pending or positions:
            open_settled = [s for s in close.settled if s[1] == close.bars[s[0]].candle.open_ms]
            self._settle(open_settled, close)
            self._fill_pending(close)
            for symbol in sorted(positions):
                bar = close.bars.get(symbol)
                if bar is not None:
                    self._walk_position(symbol, bar.candle)
            self._settle([s for s in close.settled if s not in open_settled], close)
        if close.is_complete:
            self._volatility = close.volatility
        else:
            self._volatility = {**self._volatility, **close.volatility}

    def take(self, outcome: Outcome) -> None:
        """Carry out what a step wanted."""
        done = self.done
        done.intents.extend(outcome.intents)
        done.decisions.extend(outcome.decisions)
        done.refusals.extend(outcome.refusals)
        done.notices.extend(outcome.notices)
        done.trades.extend(outcome.trades)
        self._pending.extend(intent for intent in outcome.intents if not intent.price)
        for cancel in outcome.cancels:
            name = cancel.client_order_id
            self._pending = [i for i in self._pending if i.client_order_id != name]
            self._report(name, cancel.symbol, OrderStatus.CANCELED)

    def _fill_pending(self, close: Close) -> None:
        waiting, self._pending = self._pending, []
        for intent in waiting:
            bar = close.bars.get(intent.symbol)
            late_ms = 0 if intent.reduce_only else self._delay_ms
            if bar is None or bar.candle.open_ms < intent.close_ms + late_ms:
                self._pending.append(intent)
                continue
            quantity = intent.quantity
            if intent.reduce_only:
                held = self._state.ledger.positions.get(intent.symbol)
                quantity = min(quantity, held.quantity) if held is not None else 0.0
            if quantity <= 0.0:
                self._report(intent.client_order_id, intent.symbol, OrderStatus.CANCELED)
                continue
            candle = bar.candle
            price = self._market_price(intent.symbol, intent.side, candle.open)
            self._filled(
                Fill(
                    fill_id=f"{intent.client_order_id}-{candle.open_ms}",
                    symbol=intent.symbol,
                    side=intent.side,
                    quantity=quantity,
                    price=price,
                    fee=fee(quantity, price, self._params.costs.taker_fee),
                    time_ms=candle.open_ms,
                    client_order_id=intent.client_order_id,
                    reduce_only=intent.reduce_only,
                ),
                candle.open,
            )

    def _walk_position(self, symbol: str, candle: Candle) -> None:
        position = self._state.ledger.positions[symbol]
        limits = tuple(
            RestingLimit(
                client_order_id=order.intent.client_order_id,
                quantity=order.intent.quantity,
                price=order.intent.price,
            )
            for order in self._state.active.values()
            if order.intent.symbol == symbol and order.intent.price
        )
        stop, take = position.stop_price, position.take_price
        lower, upper = (stop, take) if position.side > 0 else (take, stop)
        if not limits and 0.0 < lower < candle.low and candle.high < upper:
            return  # nothing rests within the bar's reach
        resting = Resting(
            side=position.side,
            quantity=position.quantity,
            take_price=position.take_price,
            stop_price=position.stop_price,
            limits=limits,
        )
        costs, tick = self._params.costs, self._params.instruments[symbol].tick
        walked = walk_bar(resting, candle, self._volatility.get(symbol, _NAN), costs, tick)
        for fill in walked:
            self._filled(
                Fill(
                    fill_id=f"{symbol}-{candle.open_ms}-{fill.client_order_id or fill.kind}",
                    symbol=symbol,
                    side=-position.side,
                    quantity=fill.quantity,
                    price=fill.price,
                    fee=fill.fee,
                    time_ms=candle.open_ms,
                    client_order_id=fill.client_order_id,
                    kind=fill.kind,
                    reduce_only=True,
                ),
                fill.reference,
            )

    def _settle(self, settled: Sequence[tuple[str, int, float]], close: Close) -> None:
        for symbol, time_ms, rate in settled:
            position = self._state.ledger.positions.get(symbol)
            if position is None:
                continue
            mark = close.bars[symbol].candle.open
            amount = funding_payment(position.side, position.quantity, mark, rate)
            self.done.funding += amount
            paid = FundingPaid(symbol=symbol, time_ms=time_ms, amount=amount, rate=rate)
            self.take(self._advance(self._state, paid, self._params))

    def _market_price(self, symbol: str, side: int, reference: float) -> float:
        instrument, costs = self._params.instruments[symbol], self._params.costs
        volatility = self._volatility.get(symbol, _NAN)
        return market_fill_price(reference, side, volatility, costs, instrument.tick)

    def _filled(self, fill: Fill, reference: float) -> None:
        self.done.fills.append(fill)
        self.done.slipped.append(fill.side * (fill.price - reference) * fill.quantity)
        self.take(self._advance(self._state, FillReceived(fill=fill), self._params))

    def _report(self, name: str, symbol: str, status: OrderStatus) -> None:
        event = OrderUpdated(
            client_order_id=name, symbol=symbol, status=status, time_ms=self._state.close_ms
        )
        self.take(self._advance(self._state, event, self._params))
