"""The universe in the running executor: symbols join and leave while it trades.

Decides when the choice is made anew (`core.universe` makes it), that a symbol joins once its
history is there, and that one which is held is followed until it is flat: a member that lost its
place, or a position that was found at the venue, gets bars without features, so that its exits are
managed and nothing is entered. Never decides a trade. Rule: whatever fails leaves the universe as
it was and is tried again; every change is said.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

import structlog

from executor.clock import Clock
from executor.core.contract import NoticeCode
from executor.core.universe import Liquidity, Selection, choose
from executor.errors import VenueError
from executor.market.feed import Feed
from executor.settings.sections import Trading
from executor.settings.sections import Universe as UniverseSettings
from executor.venue.adapter import Venue
from features.errors import InputError

LOOK_S: Final = 5.0
JOIN_AT_ONCE: Final = 16  # the others at the next looks: a look stays short

log = structlog.get_logger("universe")


async def _nothing(_symbols: Sequence[str]) -> None:
    """Prepare nothing."""


class Universe:
    """Members, and the symbols that are only followed. :meth:`choose` first, then :meth:`run`."""

    def __init__(
        self,
        settings: UniverseSettings,
        trading: Trading,
        venue: Venue,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._venue = venue
        self._clock = clock
        self._selection = Selection(
            turnover_min=settings.quote_volume_min,
            price_min=settings.price_min,
            count_max=settings.count_max,
            allow=frozenset(settings.allow),
            deny=frozenset(settings.deny),
            stay_fraction=settings.stay_fraction,
        )
        self._unlisted: set[str] = set()
        self._chosen_at = 0.0
        self._choice_problem = ""
        self.members: tuple[str, ...] = () if self.is_auto else trading.symbols
        self.followed: tuple[str, ...] = ()
        self.scan_s = 0.0
        self.problem = ""
        self.held: Callable[[], Collection[str]] = lambda: ()
        self.prepare: Callable[[Sequence[str]], Awaitable[None]] = _nothing
        self.say: Callable[[NoticeCode, str], None] = lambda _code, _text: None

    @property
    def is_auto(self) -> bool:
        """Say whether symbols are chosen rather than named."""
        return self._settings.mode == "auto"

    @property
    def leaving(self) -> list[str]:
        """Return the symbols that are followed only because something is held of them."""
        return sorted(set(self.followed) - set(self.members))

    async def choose(self) -> None:
        """Choose for the first time.

        Raises
        ------
        InputError
            Where a named symbol is not listed, or the automatic choice comes out empty.
        """
        if not self.is_auto:
            self._venue.check_symbols(self.members)
            return
        self._venue.check_symbols([*self._settings.allow, *self._settings.deny])
        await self._scan()
        if not self.members:
            raise InputError(
                f"[universe]: no perpetual has {self._settings.quote_volume_min:,.0f} of 24 h "
                f"volume and a price of {self._settings.price_min:g}; lower the minimum, or name "
                'the symbols in [trading] and set mode = "fixed"'
            )

    def start_with(self, held: Collection[str]) -> tuple[str, ...]:
        """Return what the feed begins with: the members, and what is held of others."""
        self.followed = (*self.members, *self._more(held))
        return self.followed

    async def run(self, feed: Feed) -> None:
        """Keep the universe up to date for as long as the process runs."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.look(feed)

    async def look(self, feed: Feed) -> None:
        """Look once: choose anew where that is due, follow what is held, leave what is flat."""
        before = set(self.members)
        problem = await self._choose_anew()
        # From here on nothing is entered of what lost its place, however long the others take.
        feed.only_followed = frozenset(self.leaving)
        wanted = (*self.members, *self._more(self.held()))
        new = [s for s in wanted if s not in self.followed][:JOIN_AT_ONCE]
        joined = await feed.join(new) if new else []
        if joined:
            await self.prepare(joined)
        if len(joined) < len(new):
            late = sorted(set(new) - set(joined))
            problem = problem or f"no history yet of {', '.join(late[:5])}; tried again"
        kept = {*self.members, *self.held()}
        left = [s for s in self.followed if s not in kept]
        self.followed = tuple(s for s in (*self.followed, *joined) if s in kept)
        feed.only_followed = frozenset(self.leaving)
        if left:
            await feed.leave(left)
        if problem and problem != self.problem:
            log.warning("universe", problem=problem)
        self.problem = problem
        if joined or left or set(self.members) != before:
            self._tell(joined=joined, left=left)

    async def _choose_anew(self) -> str:
        """Choose anew where that is due; return what stood against it."""
        due_s = self._settings.refresh_ms / 1000
        if not self.is_auto or self._clock.monotonic() - self._chosen_at < due_s:
            return self._choice_problem
        try:
            await self._scan()
        except VenueError as error:
            return f"the universe could not be chosen anew: {error}"
        return self._choice_problem

    async def _scan(self) -> None:
        """Choose from the tickers of now; where nothing is liquid enough the members stay."""
        began = self._clock.monotonic()
        tickers = await self._venue.liquidity()
        chosen = choose(tickers, self._venue.instruments, self.members, self._selection)
        self._chosen_at = self._clock.monotonic()
        self.scan_s = self._chosen_at - began
        self._note_unlisted(tickers)
        self._choice_problem = ""
        if chosen or not self.members:
            self.members = chosen
        else:
            self._choice_problem = "no symbol is liquid enough now; the members of before stay"

    def _note_unlisted(self, tickers: Sequence[Liquidity]) -> None:
        """Say which symbols were listed since the start: their lots and ticks are not known."""
        news = {one.symbol for one in tickers if one.symbol.endswith("USDT")}
        news -= set(self._venue.instruments) | self._unlisted
        if news:
            self._unlisted |= news
            log.info("listed_since_the_start", symbols=sorted(news), note="joins at a restart")

    def _more(self, held: Collection[str]) -> list[str]:
        """Return what must be followed beside the members."""
        return sorted(s for s in set(held) - set(self.members) if s in self._venue.instruments)

    def _tell(self, *, joined: Sequence[str], left: Sequence[str]) -> None:
        body = {
            "members": len(self.members),
            "joined": sorted(joined),
            "left": sorted(left),
            "leaving": self.leaving,
        }
        log.info("universe_changed", **body, scan_s=round(self.scan_s, 3))
        self.say(NoticeCode.UNIVERSE_CHANGED, json.dumps(body))
