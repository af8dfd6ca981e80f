"""Who listens to what.

Decides which connection gets a message and in what order. Never reads a frame (``websocket``
does). Rule: a connection's messages leave in the order in which they were published; a client
that does not read is dropped, never waited for.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import WSCloseCode, web

from executor.paper.faults import Fault
from executor.paper.replies import Row

BACKLOG_MAX = 100_000
CLOSE_SECONDS = 2.0


class Connection:
    """One websocket: its topics, its account once it is known, its outgoing queue."""

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, name: str
    ) -> None:
        self.socket = socket
        self.name = name
        self._transport = transport
        self.account = ""
        self.topics: set[str] = set()
        self.frozen = False
        self.closing: asyncio.Task[bool] | None = None
        self._queue: asyncio.Queue[str | asyncio.Future[None]] = asyncio.Queue()
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._count = 0

    def put(self, raw: str) -> None:
        """Send ``raw`` after everything put before."""
        if self._queue.qsize() < BACKLOG_MAX:
            self._queue.put_nowait(raw)
        elif self._transport is not None:
            self._transport.abort()

    def barrier(self) -> asyncio.Future[None]:
        """Return a future that is done when the client has handled all that was put before."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(reached)
        return reached

    async def pump(self) -> None:
        """Write the queue to the socket until the connection ends."""
        with contextlib.suppress(ConnectionError):
            while True:
                item = await self._queue.get()
                if self.frozen:
                    continue
                if isinstance(item, str):
                    await self.socket.send_str(item)
                    continue
                self._count += 1
                mark = str(self._count).encode()
                self._pings[mark] = item
                await self.socket.ping(mark)

    def ponged(self, mark: bytes) -> None:
        """Note that the client answered a ping."""
        reached = self._pings.pop(mark, None)
        if reached is not None and not reached.done():
            reached.set_result(None)

    def release(self) -> None:
        """Let nobody wait for a connection that has ended."""
        for reached in self._pings.values():
            if not reached.done():
                reached.set_result(None)
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if not isinstance(item, str) and not item.done():
                item.set_result(None)


class Hub:
    """All connections, public by topic and private by account.

    ``tamper`` is asked for every message whether a planned fault meets its topic.
    """

    def __init__(self, tamper: Callable[[str], Fault | None]) -> None:
        self._tamper = tamper
        self._held: dict[str, tuple[list[Connection], str]] = {}
        self.public: set[Connection] = set()
        self.private: set[Connection] = set()
        self.trade: set[Connection] = set()
        self._listeners: dict[str, set[Connection]] = defaultdict(set)

    def subscribe(self, connection: Connection, topic: str) -> None:
        """Let a public connection listen to ``topic``."""
        connection.topics.add(topic)
        self._listeners[topic].add(connection)

    def unsubscribe(self, connection: Connection, topic: str) -> None:
        """Let a public connection no longer listen to ``topic``."""
        connection.topics.discard(topic)
        self._listeners[topic].discard(connection)
        if not self._listeners[topic]:
            del self._listeners[topic]

    def drop(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        if connection in self.public:
            for topic in list(connection.topics):
                self.unsubscribe(connection, topic)
        for group in (self.public, self.private, self.trade):
            group.discard(connection)
        connection.release()

    def topics(self) -> list[str]:
        """Return the public topics that somebody listens to, in a fixed order."""
        return sorted(self._listeners)

    def has(self, topic: str) -> bool:
        """Say whether anybody listens to a public topic."""
        return topic in self._listeners

    def publish(self, topic: str, message: Row) -> None:
        """Send ``message`` to all who listen to a public topic."""
        listeners = self._listeners.get(topic)
        if listeners:
            self._send(topic, list(listeners), orjson.dumps(message).decode())

    def publish_private(self, account: str, topic: str, message: Row) -> None:
        """Send ``message`` to an account's connections that asked for ``topic``."""
        names = {topic, f"{topic}.linear"}
        listeners = [c for c in self.private if c.account == account and c.topics & names]
        if listeners:
            self._send(topic, listeners, orjson.dumps(message).decode())

    def _send(self, topic: str, listeners: list[Connection], raw: str) -> None:
        fault = self._tamper(topic)
        if fault is not None and fault.kind == "ws_reorder":
            self._held[topic] = (listeners, raw)
            return
        if fault is not None and fault.kind == "ws_delay":
            later = fault.number("seconds", 0.5)
            asyncio.get_running_loop().call_later(later, _put, listeners, raw)
            return
        if fault is None or fault.kind != "ws_drop":
            _put(listeners, raw)
        if fault is not None and fault.kind == "ws_duplicate":
            _put(listeners, raw)
        if topic in self._held:
            _put(*self._held.pop(topic))

    def kick(self) -> int:
        """Close every connection from the server's side and return how many there were."""
        everyone = self.public | self.private | self.trade
        for connection in everyone:
            connection.closing = asyncio.create_task(
                connection.socket.close(code=WSCloseCode.GOING_AWAY)
            )
        return len(everyone)

    def freeze(self) -> int:
        """Make every connection half open: nothing is read or written, nothing is closed."""
        everyone = self.public | self.private | self.trade
        for connection in everyone:
            connection.frozen = True
        return len(everyone)

    async def barrier(self, seconds: float) -> None:
        """Wait, at most ``seconds``, until private clients have handled all that was sent."""
        waiting = [c.barrier() for c in self.private if c.topics and not c.frozen]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    async def close(self) -> None:
        """Close every connection, as a server that goes away does."""
        everyone = self.public | self.private | self.trade
        closing: list[Any] = [
            asyncio.create_task(c.socket.close(code=WSCloseCode.GOING_AWAY)) for c in everyone
        ]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)


def _put(listeners: list[Connection], raw: str) -> None:
    for connection in listeners:
        connection.put(raw)
