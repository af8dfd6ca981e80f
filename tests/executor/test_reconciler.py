"""When the venue is asked, and when it is asked although it wants to be left alone."""

from executor.core.events import VenueSnapshot
from executor.errors import RateLimitedError
from executor.reconciler import Reconciler
from executor.trader import Item, SnapshotTaken
from tests.support.clocks import FakeClock


class Venue:
    """Answers what is planned, and notes how it was asked."""

    def __init__(self) -> None:
        self.refuses = False
        self.asked: list[tuple[str, bool]] = []

    async def executions(self, since_ms: int, *, urgent: bool = False) -> list[object]:
        assert since_ms > 0
        self.asked.append(("executions", urgent))
        return []

    async def snapshot(self, time_ms: int, *, urgent: bool = False) -> VenueSnapshot:
        self.asked.append(("snapshot", urgent))
        if self.refuses:
            raise RateLimitedError("10006: Too many visits!")
        return VenueSnapshot(time_ms=time_ms, wallet_balance=1.0, positions=(), orders=())


def reconciler(venue: Venue, inbox: list[Item], *, at_risk: list[bool]) -> Reconciler:
    return Reconciler(
        venue,  # type: ignore[arg-type]  # a venue by shape
        FakeClock(),
        put=inbox.append,
        generation=lambda: 7,
        market_ms=lambda: 1_000,
        at_risk=lambda: at_risk[0],
        known_until_ms=lambda: 90_000_000,
        account_since_ms=lambda: 1,
        in_step=False,
        interval_ms=10_000,
        naked_interval_ms=5_000,
    )


async def test_until_a_start_has_looked_it_waits_for_no_rate_limit():
    """A kill may wait for this start; thirty seconds of silence after each "too many" would too."""
    venue, inbox = Venue(), list[Item]()
    asks = reconciler(venue, inbox, at_risk=[False])
    venue.refuses = True
    assert not await asks.ask()
    venue.refuses = False
    assert await asks.ask()
    assert await asks.ask()
    assert venue.asked == [
        ("executions", True),
        ("snapshot", True),
        ("snapshot", True),
        ("snapshot", False),
    ]
    assert [type(item) for item in inbox] == [SnapshotTaken, SnapshotTaken]


async def test_nor_while_something_may_lie_open_without_a_stop():
    venue, inbox, at_risk = Venue(), list[Item](), [False]
    asks = reconciler(venue, inbox, at_risk=at_risk)
    assert await asks.ask()
    at_risk[0] = True
    assert await asks.ask()
    asks.nudge(missed=True)
    assert await asks.ask()
    assert venue.asked[2:] == [("snapshot", True), ("executions", True), ("snapshot", True)]
