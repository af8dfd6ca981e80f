"""The trader's order of things: what is decided is journaled, then sent, then told.

Rule: the real trader, core, order manager and journal; only the venue is a stand-in.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from executor.core.events import BarClosed, FillReceived, GateFacts, VenueOrder, VenueSnapshot
from executor.core.types import Fill, FillKind, OrderIntent, OrderStatus
from executor.counters import Counters
from executor.journal.store import Journal
from executor.order_manager import AllSettled, OrderManager, Patience
from executor.trader import Item, SnapshotTaken, Trader
from tests.support.clocks import FakeClock
from tests.support.trading import HEALTHY, INTERVAL_MS, LONG_ROW, Desk, bar

SYMBOL = "BTCUSDT"


class Rig:
    """A running trader; ``seen`` is what the outside saw, in order."""

    def __init__(self, folder: Path, clock: FakeClock | None = None) -> None:
        self.seen: list[str] = []
        self.sent: list[OrderIntent] = []
        self.desk = Desk((SYMBOL,))
        self.journal = Journal(folder / "journal.db")
        self.inbox: asyncio.Queue[Item] = asyncio.Queue()
        patience = Patience(recv_window_ms=5_000, query_interval_ms=500, entry_age_ms_max=30_000)
        self.clock = clock = clock or FakeClock()
        self.trader = Trader(
            state=self.desk.state,
            params=self.desk.params,
            journal=self.journal,
            orders=OrderManager(cast("Any", self), clock, self.inbox.put_nowait, patience),
            feed=cast("Any", None),
            clock=clock,
            counters=Counters(),
            inbox=self.inbox,
            facts=self.facts,
            lease_token=lambda: 1,
            after=lambda event, outcome: self.seen.append(f"told {type(event).__name__}"),
            quiet=self.quiet,
            nudge=lambda missed: None,
        )

    def facts(self, event: BarClosed) -> GateFacts:
        self.clock.now_ms()
        return HEALTHY

    async def quiet(self, close_ms: int) -> None:
        self.seen.append("quiet")

    async def submit(self, intent: OrderIntent) -> str:
        """Take an order one turn later, as aiohttp writes it."""
        self.sent.append(intent)
        assert self.journal.planned(), "it is sent and no journal knows of it"
        await asyncio.sleep(0)
        self.seen.append("left")
        await asyncio.Event().wait()  # no word ever comes
        return ""

    async def enter(self) -> OrderIntent:
        """Close a bar that brings an entry, and wait until that is told."""
        close_ms = self.desk.close_ms + INTERVAL_MS
        closed = BarClosed(
            close_ms=close_ms, bars=(bar(SYMBOL, close_ms, LONG_ROW, 100.0),), facts=HEALTHY
        )
        self.inbox.put_nowait(cast("Any", closed))
        await self.until("told BarClosed")
        return self.sent[0]

    async def until(self, what: str) -> None:
        async with asyncio.timeout(5.0):
            while what not in self.seen:  # noqa: ASYNC110 - a bounded look
                await asyncio.sleep(0)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    running = asyncio.get_running_loop().create_task(made.trader.run())
    yield made
    running.cancel()
    await made.trader._orders.stop()


async def test_an_order_leaves_before_anybody_is_told(rig: Rig) -> None:
    await rig.enter()
    assert rig.seen == ["left", "told BarClosed"]


async def test_what_its_executions_ended_is_no_longer_planned(rig: Rig) -> None:
    """Found by seed 58: no frame told of the order, and it stayed planned for ever.

    In one transaction: who died between two was told by the core that the order had ended, and by
    the venue, whose reads lagged, nothing (seed 3816).
    """
    intent = await rig.enter()
    rig.journal.done = cast("Any", None)  # nothing is written a moment later
    for number, share in enumerate((0.5, 0.5)):
        names = [row.action.client_order_id for row in rig.journal.planned()]
        assert intent.client_order_id in names
        fill = Fill(
            fill_id=f"f{number}",
            symbol=SYMBOL,
            side=intent.side,
            quantity=intent.quantity * share,
            price=100.0,
            fee=0.0,
            time_ms=intent.close_ms,
            client_order_id=intent.client_order_id,
            kind=FillKind.ORDER,
        )
        rig.trader.handle(FillReceived(fill=fill))
    names = [row.action.client_order_id for row in rig.journal.planned()]
    assert intent.client_order_id not in names


async def test_an_order_in_doubt_that_rests_is_there(rig: Rig) -> None:
    """Found by seed 1188: the list showed it, the query by its id did not, and no frame told."""
    intent = await rig.enter()
    trader, name = rig.trader, intent.client_order_id
    await trader._orders.stop()
    trader.handle(AllSettled())
    trader.reconciled = True
    rests = VenueOrder(
        symbol=SYMBOL,
        client_order_id=name,
        venue_order_id="v1",
        side=intent.side,
        quantity=intent.quantity,
        filled_quantity=0.0,
        price=100.0,
        reduce_only=False,
    )
    snapshot = VenueSnapshot(time_ms=1, wallet_balance=1.0, positions=(), orders=(rests,))
    assert name in [row.action.client_order_id for row in rig.journal.planned()]
    trader.handle(SnapshotTaken(snapshot=snapshot, generation=trader.generation))
    assert name not in [row.action.client_order_id for row in rig.journal.planned()]
    known = trader.state.order(name)
    assert known is not None
    assert (known.status, known.venue_order_id) == (OrderStatus.ACCEPTED, "v1")


FROZEN_S = 23.0
READINGS = 5


class StutteringClock(FakeClock):
    """Before its reading of this number (0 is the first), the process stands still."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.readings = 0

    def _read(self) -> None:
        if self.readings == self.number:
            self.pass_s(FROZEN_S)
        self.readings += 1

    def monotonic(self) -> float:
        self._read()
        return super().monotonic()

    def now_ms(self) -> int:
        self._read()
        return super().now_ms()


@pytest.mark.parametrize("number", range(1, READINGS))
async def test_who_stands_still_makes_no_entry_younger(tmp_path: Path, number: int) -> None:
    """Found by seed 1171: frozen between the decision and its order, it was signed 32 s old."""
    clock = StutteringClock(-1)
    rig = Rig(tmp_path, clock)
    began_ms = clock.now_ms()
    clock.readings, clock.number = 0, number
    close_ms = rig.desk.close_ms + INTERVAL_MS
    rig.trader._close(close_ms, (bar(SYMBOL, close_ms, LONG_ROW, 100.0),))
    (planned,) = rig.journal.planned()
    name = planned.action.client_order_id
    assert planned.recorded_ms <= began_ms, "the next process would take it for younger"
    stood_still = clock.readings > number
    clock.pass_s(30.001 - (FROZEN_S if stood_still else 0.0))
    assert not rig.trader._orders.wants(name)
    assert clock.readings > number, "it never stood still"
    await rig.trader._orders.stop()
