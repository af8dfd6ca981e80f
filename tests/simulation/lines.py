"""The websockets of a run: who listens to what, and how a frame travels.

Decides when a frame arrives, and what a faulty network does to it: lost, twice, late. Never makes
one (the venue core does). Rule: a line keeps its order, but for a frame that was delayed; what is
delivered to a frozen process waits for it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from tests.simulation.faults import Faults
from tests.simulation.loop import WORLD, Process, VirtualLoop


@dataclass(slots=True, eq=False)
class Line:
    """One websocket: its topics, whether it still carries anything, when its last frame came."""

    process: Process
    url: str
    topics: set[str]
    deliver: Callable[["Line", Any], None]
    watched: Callable[["Line", Any], None]
    closed: "asyncio.Future[None]"
    last_at: float = 0.0
    deaf: bool = False
    is_open: bool = True

    def receive(self, message: Any) -> None:
        """Hand a frame to the process."""
        if self.is_open and not self.deaf and not self.process.dead:
            self.watched(self, message)
            self.deliver(self, message)


class Lines:
    """All websockets; stands in for the paper exchange's hub."""

    def __init__(self, loop: VirtualLoop, faults: Faults) -> None:
        self._loop = loop
        self._faults = faults
        self.lines: list[Line] = []
        self.told: Callable[[str, dict[str, Any]], None] = lambda topic, row: None
        self.received: Callable[[Line, Any], None] = lambda line, message: None

    def topics(self) -> list[str]:
        """Return the public topics that somebody listens to."""
        return sorted({t for line in self.lines if "public" in line.url for t in line.topics})

    def publish(self, topic: str, message: dict[str, Any]) -> None:
        """Send a public frame."""
        frame = orjson.loads(orjson.dumps(message))
        for line in list(self.lines):
            if topic in line.topics and "public" in line.url:
                self._send(line, frame)

    def publish_private(self, _account: str, topic: str, message: dict[str, Any]) -> None:
        """Send a frame of the account."""
        frame = orjson.loads(orjson.dumps(message))
        for row in frame["data"]:
            self.told(topic, row)
        for line in list(self.lines):
            if topic in line.topics and "private" in line.url:
                self._send(line, frame)

    def _send(self, line: Line, frame: Any) -> None:
        fate = self._faults.stream_fate()
        if fate == "ws_drop":
            return
        now, rng = self._loop.time(), self._faults.rng
        at = max(line.last_at + 1e-6, now + 0.01 + 0.03 * rng.random())
        if fate == "ws_delay":
            at = now + 20.0 * rng.random()
        else:
            line.last_at = at
        context = line.process.context
        self._loop.call_at(at, line.receive, frame, context=context)
        if fate == "ws_duplicate":
            self._loop.call_at(at + 0.001, line.receive, frame, context=context)

    def kick(self) -> int:
        """Close all sockets."""
        for line in self.lines:
            line.is_open = False
            if not line.closed.done():
                line.closed.set_result(None)
        count = len(self.lines)
        self.lines.clear()
        return count

    def deafen(self, seconds: float) -> None:
        """Let all sockets carry nothing for a while, until the client's pings notice."""
        for line in self.lines:
            line.deaf = True
        self._loop.call_later(seconds, self.kick, context=WORLD)
