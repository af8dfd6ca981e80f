"""Those who watch: each rule by itself, from what the venue, the journal's file and Redis show.

Decides what an end of a process and a log line count for, and hangs every monitor on its port.
Never asks the executor what it thinks it did. Rule: one layer, one monitor, so that a second layer
which happens to catch a bug does not hide that the first one failed; whatever stands in `on_change`
(each change), `over_time` (what lasts) and `at_rest` (the end) is proven to see its bug by `bugs`.
"""

from typing import TYPE_CHECKING, Any

from executor.core.contract import NoticeCode
from tests.simulation.at_rest import AtRest

if TYPE_CHECKING:
    from tests.simulation.instance import Instance
    from tests.simulation.world import World


class Monitors(AtRest):
    """All monitors of one run."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        venue = world.venue
        venue.sent = self.sent
        venue.arriving = self.arriving
        venue.arrived = self.arrived
        venue.spoiled = self.unwell
        venue.limited = self.left_alone
        venue.looked = self.looked
        venue.priced = self.saw_prices
        venue.lines.told = self.told
        venue.lines.received = self.received

    def logged(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """See what should never be logged: something broke that nobody foresaw, or is not so."""
        if fields.get("code") == NoticeCode.DROPPED:
            self.dropped(str(fields["symbol"]))
        if level == "exception" or event.endswith("order_task_failed"):
            error = str(fields.get("error", ""))
            if "Dead()" not in error:
                self.bad("BROKE", f"{event} {error[:200]}")

    def ended(self, instance: "Instance") -> None:
        """See a process end by itself: a broken disk and a request to stop are reasons."""
        if instance.dead or instance.stop.is_set():
            return
        life = instance.life
        error = None if life.cancelled() else life.exception()
        code = "" if error is not None or life.cancelled() else life.result()
        if error is not None or not instance.disk_broke:
            self.bad("DIED", f"{instance.name}: code {code} {error!r}"[:300])
