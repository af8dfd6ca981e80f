"""The parts of a running executor that others look at.

Decides nothing: it holds what exists so far, None for what does not yet. Never made by anyone but
`overview`, filled by `app` and `session`. Rule: read only; whoever wants to change something goes
through the trader's queue.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from executor.core.params import Params
from executor.core.state import TradingState
from executor.lease.lease import Lease
from executor.market.feed import Feed
from executor.market.universe import Universe
from executor.models.loader import Loader
from executor.order_manager import OrderManager
from executor.reconciler import Reconciler
from executor.venue.calls import Calls


def _nothing_waits() -> tuple[int, int]:
    return 0, 0


@dataclass(slots=True, kw_only=True)
class Parts:
    """The parts that exist; ``backlog`` tells what waits for the trader and what it has handled."""

    lease: Lease | None = None
    loader: Loader | None = None
    feed: Feed | None = None
    universe: Universe | None = None
    orders: OrderManager | None = None
    reconciler: Reconciler | None = None
    calls: Calls | None = None
    state: TradingState | None = None
    params: Params | None = None
    lost_streams: dict[str, str] = field(default_factory=dict)
    backlog: Callable[[], tuple[int, int]] = _nothing_waits
