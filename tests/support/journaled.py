"""A decision core that lives with a journal, as the trader does, and can be started again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.core.events import BarClosed, Event, FillReceived, ModelSwapped, VenuePosition
from executor.core.params import DAY_MS, Params
from executor.core.step import step
from executor.core.types import Fill, FillKind, OrderIntent, Outcome
from executor.journal.codec import encode
from executor.journal.recovery import rebuild, write_event, write_state
from executor.journal.rows import Entry
from executor.journal.store import Journal
from executor.trader import day_of
from tests.support.trading import INTERVAL_MS, Desk, bar

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


class Journaled:
    """A desk of which everything is written down."""

    def __init__(self, path: Path, symbols: Sequence[str] = SYMBOLS) -> None:
        self.journal = Journal(path)
        self.desk = Desk(symbols)
        self._fills = 0
        self.journal.begin_session(encode(self.desk.params), write_state(self.desk.state))
        info = self.desk.model.info
        self.journal.record_model("1", info.bundle_sha256, "{}", 0)
        self.do(ModelSwapped(model=self.desk.model, version="1", time_ms=0))

    def do(self, event: Event) -> Outcome:
        """Let the core decide and write it down."""
        desk = self.desk
        day = None
        if (
            isinstance(event, BarClosed)
            and event.close_ms // DAY_MS > desk.state.close_ms // DAY_MS
        ):
            day = day_of(event.close_ms)
        outcome = step(desk.state, event, desk.params)
        closed = isinstance(event, BarClosed)
        self.journal.record(
            Entry(
                kind=type(event).__name__,
                market_ms=getattr(event, "close_ms", desk.state.close_ms),
                body=write_event(event),
                outcome=outcome,
                fill=event.fill if isinstance(event, FillReceived) else None,
                day=day,
            ),
            recorded_ms=0,
            lease_token=1,
        )
        if closed:
            self.journal.save_snapshot(write_state(desk.state))
        return outcome

    def close(self, rows: Mapping[str, Sequence[float]], prices: Mapping[str, float]) -> Outcome:
        """Close one more bar of all symbols."""
        desk = self.desk
        desk.close_ms += INTERVAL_MS
        bars = tuple(bar(s, desk.close_ms, rows[s], prices[s]) for s in desk.symbols)
        return self.do(BarClosed(close_ms=desk.close_ms, bars=bars))

    def fill(self, intent: OrderIntent) -> Outcome:
        """Execute an intent at its reference price."""
        return self._execute(
            symbol=intent.symbol,
            side=intent.side,
            quantity=intent.quantity,
            price=intent.price or intent.reference_price,
            client_order_id=intent.client_order_id,
            reduce_only=intent.reduce_only,
        )

    def touch_stops(self) -> None:
        """Execute the stop or take of every position whose mark is past it."""
        ledger = self.desk.state.ledger
        for position in list(ledger.positions.values()):
            mark = ledger.mark(position)
            stopped = position.side * (mark - position.stop_price) <= 0.0
            taken = position.side * (mark - position.take_price) >= 0.0
            if stopped or taken:
                self._execute(
                    symbol=position.symbol,
                    side=-position.side,
                    quantity=position.quantity,
                    price=mark,
                    client_order_id="",
                    kind=FillKind.STOP if stopped else FillKind.TAKE,
                    reduce_only=True,
                )

    def _execute(self, **fields: Any) -> Outcome:
        self._fills += 1
        fee = 0.0005 * fields["quantity"] * fields["price"]
        fill = Fill(fill_id=f"f{self._fills}", fee=fee, time_ms=self.desk.state.close_ms, **fields)
        return self.do(FillReceived(fill=fill))

    def shown(self) -> list[VenuePosition]:
        """Return the positions as a venue that agrees shows them."""
        return [
            VenuePosition(
                symbol=p.symbol,
                side=p.side,
                quantity=p.quantity,
                entry_price=p.entry_price,
                stop_price=p.stop_price,
                take_price=p.take_price,
                mark_price=p.entry_price,
            )
            for p in self.desk.state.ledger.positions.values()
        ]

    def restart(self, params: Params) -> None:
        """Lose the memory and go on from the journal, with these parameters."""
        self.desk.params = params
        found = rebuild(self.journal, params, lambda _: self.desk.model)
        assert found is not None
        self.desk.state = found
        self.journal.begin_session(encode(params), write_state(found))
