"""The window that others look through: the keys of `core.contract.Keys` in Redis.

Decides when everything is written (every beat, and at once after a trade, a command or a model
change) and that it is written in one pipeline. Never reads a decision from Redis: it is a window,
not the memory; a start that has not read the journal yet leaves what stands there. Rule: a Redis
that is away costs one bounded try a beat; when it is back, the next beat writes everything again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, cast

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from executor.clock import Clock, iso
from executor.core.contract import (
    HEARTBEAT_EXPIRY_INTERVALS,
    STREAM_KEPT,
    TRADE_HISTORY_KEPT,
    Keys,
)
from executor.core.state import TradingState
from executor.core.types import Decision, Notice
from executor.health.overview import Overview
from executor.journal.codec import plain
from executor.supervisor import heed_cancellation

PENDING_MAX: Final = 2_000
AGAIN_S: Final = 0.2

log = structlog.get_logger("publisher")


class Publisher:
    """Publishes until it is cancelled; :meth:`wake` asks for a beat at once."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        overview: Overview,
        clock: Clock,
        *,
        interval_ms: int,
        holds_lease: Callable[[], bool],
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._overview = overview
        self._clock = clock
        self._interval_ms = interval_ms
        self._holds_lease = holds_lease
        self._wake = asyncio.Event()
        self._pending: deque[tuple[str, dict[str, str]]] = deque(maxlen=PENDING_MAX)
        self._beaten_at: float | None = None
        self._lost_said = False

    def wake(self) -> None:
        """Publish soon."""
        self._wake.set()

    def note(self, what: Decision | Notice) -> None:
        """Put a decision or a notice on its stream at the next beat."""
        key = self._keys.decisions if isinstance(what, Decision) else self._keys.events
        body = orjson.dumps(plain(what)).decode()
        name = "decision" if isinstance(what, Decision) else "notice"
        self._pending.append((key, {name: body}))

    def note_shadow(self, row: Mapping[str, Any]) -> None:
        """Put what the challenger would have decided on the stream at the next beat."""
        self._pending.append((self._keys.decisions, {"shadow": _json(row)}))

    def answer(self, fields: dict[str, str]) -> None:
        """Put the answer to a command on the stream of events at once."""
        self._pending.append((self._keys.events, fields))
        self.wake()

    async def run(self) -> None:
        """Beat for as long as the process runs."""
        while True:
            taken = await self.beat() or not self._holds_lease()
            heed_cancellation()
            # A Redis that restarts is back within seconds: the next beat need not wait an interval.
            pause_s = self._interval_ms / 1000 if taken else min(AGAIN_S, self._interval_ms / 1000)
            due = self._clock.monotonic() + pause_s
            self._overview.vitals.hearts.expect("publisher", due)
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
                await self._clock.sleep(0.05)  # what happens together is published together
            except TimeoutError:
                pass

    async def beat(self) -> bool:
        """Publish everything once; say whether Redis took it."""
        self._wake.clear()
        if not self._holds_lease():
            return False
        sent = list(self._pending)
        pipeline = self._redis.pipeline(transaction=True)
        self._fill(pipeline)
        for key, fields in sent:
            pipeline.xadd(key, cast("Any", fields), maxlen=STREAM_KEPT, approximate=True)
        try:
            await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            return False
        for _ in range(min(len(sent), len(self._pending))):
            self._pending.popleft()
        self._beaten()
        return True

    def _fill(self, pipeline: Any) -> None:
        keys, overview, judged = self._keys, self._overview, self._overview.judge()
        now = iso(self._clock.now_ms())
        expiry_ms = HEARTBEAT_EXPIRY_INTERVALS * self._interval_ms
        pipeline.set(keys.heartbeat, now, px=expiry_ms)
        pipeline.set(keys.status, str(judged.status))
        pipeline.set(keys.last_update, now)
        pipeline.set(keys.health, _json(overview.health(judged)))
        if overview.parts.state is not None:
            self._fill_memory(pipeline, overview.parts.state)

    def _fill_memory(self, pipeline: Any, state: TradingState) -> None:
        """Put in what the journal holds: nothing of it is known before it was read."""
        keys, overview = self._keys, self._overview
        trades = state.trades[-TRADE_HISTORY_KEPT:]
        pipeline.set(keys.adaptive_params, _json(overview.adaptive()))
        pipeline.set(keys.trade_count, state.trade_count)
        pipeline.delete(keys.trade_history)
        if trades:
            pipeline.rpush(keys.trade_history, *(_json(asdict(t)) for t in reversed(trades)))
        pipeline.hset(
            keys.metrics, mapping={name: str(v) for name, v in overview.metrics().items()}
        )
        pipeline.set(keys.positions, _json(overview.positions()))
        pipeline.set(keys.model, _json(overview.model()))
        pipeline.set(keys.coverage, _json(overview.coverage()))

    def _beaten(self) -> None:
        """Count the beat and the gap before it."""
        now, counters = self._clock.monotonic(), self._overview.counters
        if self._beaten_at is not None:
            gap_s = now - self._beaten_at
            counters.max_heartbeat_gap_s = max(counters.max_heartbeat_gap_s, gap_s)
        if not self._overview.redis_ok:
            log.info("redis_published")
        self._lost_said = False
        self._beaten_at = now
        counters.heartbeats += 1
        self._overview.redis_ok = True

    def _lost(self, error: BaseException) -> None:
        if not self._lost_said:
            self._lost_said = True
            self._overview.counters.redis_outages += 1
            log.warning("redis_lost", error=str(error) or type(error).__name__)
        self._overview.redis_ok = False
        self._overview.redis_problem = str(error) or type(error).__name__


def _json(value: Any) -> str:
    return orjson.dumps(plain(value)).decode()
