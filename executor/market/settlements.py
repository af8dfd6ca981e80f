"""Funding settlements: which of them a bar may know of, and whether it is certain.

Decides that the venue is asked for a settlement that it announced (`schedule`) before a bar that
contains it is handed over: by the rule of training (`features.funding`) that bar's features know
of it. Where nothing is announced, that is after each whole hour: venues settle on no other times.
It is asked some seconds after the hour, one symbol after the other, out of the way of that
moment's orders; at once where a bar waits. One that is due and not listed yet is asked for again;
bars wait, a minute at most. If it stays unknown, the symbol is in doubt: its bars go on without
funding features, so that no model that reads them opens a position, until the venue lists it or
has said for a quarter of an hour that there is none. Where nothing was announced it is asked once
more a minute later: one that nobody foretold, and that comes after its bar was handed over, makes
the stream stale; it is made anew. Never hands out an old rate as a new one. Rule: what a stream
was told equals what training reads from the lake, or the symbol is unsure.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import structlog

from executor.clock import Clock
from executor.errors import VenueError
from executor.market.schedule import Announcer, Schedule
from features.funding import on_minute, settled_between
from features.types import Funding

HOUR_MS: Final = 3_600_000
LATER_S: Final = 5.0
APART_S: Final = 0.1
TRIES: Final = 20
WAIT_S: Final = 60.0
FOLLOW_PAUSE_S: Final = 60.0
FOLLOW_ANSWERS: Final = 15
SCHEDULE_S: Final = 600.0

log = structlog.get_logger("settlements")


class Source(Announcer, Protocol):
    """Who knows of settlements, made and announced: the venue."""

    async def funding(self, symbol: str, start_ms: int) -> list[tuple[int, float]]:
        """Return settlements (time, rate) since ``start_ms``, ascending."""
        ...


def _funding(rows: Sequence[tuple[int, float]]) -> Funding:
    times, rates = [at for at, _ in rows], [rate for _, rate in rows]
    return Funding(time_ms=np.array(times, np.int64), rate=np.array(rates, np.float64))


@dataclass(slots=True)
class _Series:
    """One symbol. Whole hours: ``asked_ms`` is the newest to know about, ``known_ms`` is done with.

    Settlements before ``given_ms`` were handed out, or can no longer be; the next one is announced
    for ``next_ms``, 0 where that is not known.
    """

    start_ms: int
    funding: Funding = field(default_factory=lambda: _funding(()))
    next_ms: int = 0
    asked_ms: int = 0
    known_ms: int = 0
    given_ms: int = 0
    doubt_ms: int = 0
    waiting_ms: int = 0
    waiting_since: float = 0.0
    is_planned: bool = False
    is_asking: bool = False
    is_followed: bool = False
    is_stale: bool = False

    def take(self, rows: Sequence[tuple[int, float]]) -> None:
        """Add what is new; one that its bar should have known of makes the stream stale."""
        last = int(self.funding.time_ms[-1]) if self.funding.time_ms.size else -1
        fresh = _funding([row for row in rows if row[0] > last])
        if not fresh.time_ms.size:
            return
        self.is_stale = self.is_stale or int(on_minute(fresh.time_ms[:1])[0]) < self.given_ms
        self.funding = Funding(
            time_ms=np.concatenate((self.funding.time_ms, fresh.time_ms)),
            rate=np.concatenate((self.funding.rate, fresh.rate)),
        )

    def announce(self, next_ms: int) -> None:
        """Take an announcement, unless the one before has come due and is still asked for."""
        if not (self.doubt_ms or self.asked_ms >= self.next_ms > self.known_ms):
            self.next_ms = next_ms

    def lacks(self, hour_ms: int) -> bool:
        """Say whether a settlement is due at ``hour_ms``, as announced or by the rhythm so far."""
        times = on_minute(self.funding.time_ms[-4:])
        if self.next_ms:
            return hour_ms >= self.next_ms and not (times.size and times[-1] >= self.next_ms)
        if times.size < 2:
            return False
        away, rhythm = hour_ms - int(times[-1]), int(np.diff(times).min())
        return away > 0 and away % rhythm == 0

    @property
    def newest_ms(self) -> int:
        return int(self.funding.time_ms[-1]) if self.funding.time_ms.size else self.start_ms


class Settlements:
    """Settlements by symbol. ``wake`` is called when bars need not wait any more."""

    def __init__(
        self,
        source: Source,
        clock: Clock,
        *,
        pause_s: float,
        begin: Callable[[Coroutine[Any, Any, None]], None],
        wake: Callable[[], None],
        make_anew: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        self._source = source
        self._clock = clock
        self._pause_s = pause_s
        self._begin = begin
        self._wake = wake
        self._make_anew = make_anew
        self._schedule = Schedule(source)
        self._series: dict[str, _Series] = {}

    async def load(self, symbol: str, start_ms: int) -> None:
        """Read the history that the symbol's bars from ``start_ms`` on need."""
        await self._schedule.read(0)
        series = _Series(start_ms=start_ms)
        series.take(await self._source.funding(symbol, start_ms))
        series.announce(self._schedule.next_ms(symbol))
        self._series[symbol] = series

    def drop(self, symbol: str) -> None:
        """Forget a symbol that is followed no longer."""
        self._series.pop(symbol, None)

    async def watch(self) -> None:
        """Look at the venue's announcements from time to time: a rhythm may be changed."""
        while True:
            await self._clock.sleep(SCHEDULE_S)
            newest_ms = max((s.asked_ms for s in self._series.values()), default=0)
            await self._schedule.read(newest_ms, again=True)
            for symbol, series in self._series.items():
                series.announce(self._schedule.next_ms(symbol))

    def rate(self, symbol: str, after_ms: int, until_ms: int) -> float | None:
        """Return the rate for a bar that closes at ``until_ms``, the last one at ``after_ms``."""
        series = self._series[symbol]
        series.given_ms = max(series.given_ms, until_ms)
        return settled_between(series.funding, after_ms, until_ms)

    def see(self, symbol: str, time_ms: int) -> None:
        """Learn that the market has come to ``time_ms``: a settlement may have been made."""
        series, hour_ms = self._series.get(symbol), time_ms // HOUR_MS * HOUR_MS
        if series is None or hour_ms <= series.asked_ms or time_ms < series.next_ms:
            return
        series.asked_ms = hour_ms
        if not series.is_planned:
            series.is_planned = True
            self._begin(self._later(symbol, series))

    def known(self, symbol: str, close_ms: int) -> bool:
        """Say whether a bar that closes at ``close_ms`` need not wait for settlements; else ask."""
        series, hour_ms = self._series.get(symbol), (close_ms - 1) // HOUR_MS * HOUR_MS
        if series is None or series.known_ms >= hour_ms or close_ms <= series.next_ms:
            return True
        if hour_ms < series.given_ms:  # the hour lies in bars that were handed out
            return True
        if series.waiting_ms != hour_ms:
            series.waiting_ms, series.waiting_since = hour_ms, self._clock.monotonic()
        elif self._clock.monotonic() - series.waiting_since > WAIT_S:
            self._doubt(symbol, series, hour_ms)
            return True
        series.asked_ms = max(series.asked_ms, hour_ms)
        if not series.is_asking:
            series.is_asking = True
            self._begin(self._ask(symbol, series))
        return False

    def is_sure(self, symbol: str) -> bool:
        """Say whether all that the symbol's stream should know was told to it in time."""
        series = self._series[symbol]
        return not (series.doubt_ms or series.is_stale)

    def made_anew(self, symbol: str) -> None:
        """Learn that the symbol's stream was made from all settlements that are known."""
        self._series[symbol].is_stale = False

    async def _later(self, symbol: str, series: _Series) -> None:
        """Ask some seconds after the hour, unless a bar that waits was quicker."""
        place = list(self._series).index(symbol) if symbol in self._series else 0
        await self._clock.sleep(LATER_S + APART_S * place)
        series.is_planned = False
        if not series.is_asking and series.known_ms < series.asked_ms:
            series.is_asking = True
            await self._ask(symbol, series)

    async def _ask(self, symbol: str, series: _Series) -> None:
        """Ask until nothing is open."""
        while series.known_ms < series.asked_ms:
            hour_ms = series.asked_ms
            if not await self._listed(symbol, series, hour_ms):
                self._doubt(symbol, series, hour_ms)
            series.known_ms = max(series.known_ms, hour_ms)
            await self._schedule.read(hour_ms)
            series.announce(self._schedule.next_ms(symbol))
            self._wake()
        series.is_asking = False
        if not series.is_followed and (series.doubt_ms or not series.next_ms):
            series.is_followed = True
            self._begin(self._follow(symbol, series))
        if series.is_stale:
            await self._make_anew(symbol)

    @staticmethod
    def _doubt(symbol: str, series: _Series, hour_ms: int) -> None:
        series.doubt_ms = series.doubt_ms or hour_ms
        series.known_ms = max(series.known_ms, hour_ms)
        log.warning("funding_unknown", symbol=symbol, hour_ms=hour_ms)

    async def _listed(self, symbol: str, series: _Series, hour_ms: int) -> bool:
        """Ask until the venue lists the settlement of ``hour_ms``, or none is due."""
        for _ in range(TRIES):
            if await self._query(symbol, series) and not series.lacks(hour_ms):
                return True
            await self._clock.sleep(self._pause_s)
        return False

    async def _query(self, symbol: str, series: _Series) -> bool:
        try:
            series.take(await self._source.funding(symbol, series.newest_ms))
        except VenueError as error:
            log.warning("funding_not_read", symbol=symbol, error=str(error))
            return False
        return True

    async def _follow(self, symbol: str, series: _Series) -> None:
        """Ask again a minute later, and on while what is due is neither listed nor long denied."""
        answers = 0
        while answers == 0 or (answers < FOLLOW_ANSWERS and series.lacks(series.doubt_ms)):
            await self._clock.sleep(FOLLOW_PAUSE_S)
            answers += await self._query(symbol, series)
        if series.doubt_ms:
            log.info("funding_known", symbol=symbol, late=series.is_stale)
        series.doubt_ms = 0
        series.announce(self._schedule.next_ms(symbol))
        series.is_followed = False
        if series.is_stale:
            await self._make_anew(symbol)
