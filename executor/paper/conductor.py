"""What drives the market: its clients in lockstep, or the clock.

Decides when the next move comes. Never decides what a move does (``mover``). Rule, in lockstep: the
close of a bar is pushed only after every private message before it was handled, and the next bar
begins only when every client has reported that close done; so nothing depends on anybody's speed.
Clients that say so in their report act on fills at the opening too, before the bar goes on: such
fills are followed by the openings once more, which they answer by a second report.
"""

import asyncio
from contextlib import suppress

from executor.paper.exchange import Exchange
from executor.paper.mover import Mover
from executor.paper.pace import Pace
from features.errors import InputError

BARRIER_SECONDS = 5.0
SHOW_AGAIN_SECONDS = 2.0
SHOW_AGAIN_FIRST_SECONDS = 0.5
TICKS_A_BAR_MAX = 60
TICKS_A_BAR_MIN = 3
TICK_SECONDS = 0.25


class Conductor:
    """Drives the market of one exchange from where it stands to its last bar."""

    def __init__(self, exchange: Exchange, mover: Mover) -> None:
        self._exchange = exchange
        self._done: dict[str, int] = {}
        self._at_openings: set[str] = set()
        self._again: set[str] = set()
        self._reported = asyncio.Event()
        self.mover = mover
        self.pace = Pace(exchange.clock, exchange.settings.speed)

    def acknowledge(self, client: str, close_ms: int, *, openings: bool = False) -> bool:
        """Note that ``client`` has done everything up to ``close_ms``; say whether that is all.

        With ``openings`` it wants to be asked again where orders were filled at an opening.

        Raises
        ------
        InputError
            Where the close lies in the future.
        """
        if close_ms > self.mover.close_ms:
            raise InputError(
                f"close_ms {close_ms} is in the future; the last close is {self.mover.close_ms}"
            )
        self._done[client] = close_ms
        if openings:
            self._at_openings.add(client)
        if close_ms == self.mover.close_ms:
            self._again.add(client)
        self._reported.set()
        return self.mover.finished or close_ms >= self._exchange.market.end_ms

    @property
    def clients(self) -> dict[str, int]:
        """The last close that each client reported done."""
        return dict(self._done)

    async def run(self) -> None:
        """Stream every bar that is left; then the exchange answers and is otherwise silent."""
        mover = self.mover
        if mover.finished:
            return
        if self.pace.speed == 0.0:
            await self._lockstep()
        else:
            while mover.bars_left:
                await self._timed_bar()
                # Even the fastest market lets its clients speak between two bars.
                await asyncio.sleep(0)
        mover.finish()

    async def _lockstep(self) -> None:
        mover = self.mover
        await self._everyone(mover.close_ms if mover.bars_done else -1)
        while mover.bars_left:
            await self.pace.begin(mover.open_ms)
            if not mover.is_open and mover.begin(0):
                await self._act_at_opening()
            mover.whole()
            await self._tell()
            await self._exchange.hub.barrier(BARRIER_SECONDS)
            mover.close()
            await self._tell()
            self.pace.end()
            await self._everyone(mover.close_ms)

    async def _everyone(self, close_ms: int) -> None:
        """Wait until as many clients as were announced have reported ``close_ms`` done."""
        wanted, patience = self._exchange.settings.clients, SHOW_AGAIN_FIRST_SECONDS
        while sum(done >= close_ms for done in self._done.values()) < wanted:
            self._reported.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._reported.wait()
            except TimeoutError:
                # As the venue repeats a quiet bar: a client that was not listening at the moment
                # of its opening would wait for us for ever, and we for it.
                if self.mover.bars_done:
                    self.mover.show_opening()
                patience = min(2 * patience, SHOW_AGAIN_SECONDS)

    async def _act_at_opening(self) -> None:
        """Let clients that want it act on what was filled at the opening."""
        wanted = min(len(self._at_openings), self._exchange.settings.clients)
        if not wanted:
            return
        await self._exchange.hub.barrier(BARRIER_SECONDS)
        self._again.clear()
        while len(self._again & self._at_openings) < wanted:
            # Shown again to whoever was not connected; a second report of one close is no news.
            self.mover.show_opening()
            with suppress(TimeoutError):
                async with asyncio.timeout(SHOW_AGAIN_SECONDS):
                    await self._acted(wanted)

    async def _acted(self, wanted: int) -> None:
        while len(self._again & self._at_openings) < wanted:
            self._reported.clear()
            await self._reported.wait()

    async def _timed_bar(self) -> None:
        """Stream one bar by the clock, in ticks where there is time for them."""
        mover, clock = self.mover, self._exchange.clock
        at_once = await self.pace.begin(mover.open_ms)
        seconds = self._exchange.market.interval_ms / 1000 / self.pace.speed
        if not mover.is_open:
            count = 0 if at_once else min(TICKS_A_BAR_MAX, int(seconds / TICK_SECONDS))
            mover.begin(count if count >= TICKS_A_BAR_MIN else 0)
        if mover.ticks_left:
            step = seconds / mover.ticks_left
            due = clock.monotonic()
            while mover.ticks_left:
                due += step
                await self.pace.until(due)
                await self._tick()
        else:
            if not at_once:
                await self.pace.until(clock.monotonic() + seconds)
            mover.whole()
            await self._tell()
        mover.close()
        await self._tell()
        self.pace.end()

    async def _tick(self) -> None:
        """Move all symbols by one tick; clients are answered between two portions of them."""
        left = self.mover.ticks_left
        while self.mover.ticks_left == left:
            self.mover.tick()
            await asyncio.sleep(0)
        await self._tell()

    async def _tell(self) -> None:
        """Publish the news of the last move, as ``_tick`` moves."""
        for _ in self.mover.news():
            await asyncio.sleep(0)
