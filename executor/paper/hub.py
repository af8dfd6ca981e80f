"""Who listens to what.

Decides which connection gets a message and in what order. Never reads a frame (``websocket``
does). Rule: a connection's messages leave in the order in which they were published; a client
that does not read is dropped, never waited for.
"""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Callable, Collection
from typing import Any

import orjson
from aiohttp import WSCloseCode, web

from executor.paper.faults import Fault
from executor.paper.replies import Row

BACKLOG_MAX = 100_000
BATCH_BYTES = 1 << 16
UNSENT_BYTES = 1 << 20
UNSENT_SECONDS = 0.002
CLOSE_SECONDS = 2.0


def framed(message: Row) -> bytes:
    """Return a message as one text frame of a websocket server (RFC 6455, section 5.2)."""
    text = orjson.dumps(message)
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


class Connection:
    """One websocket: its topics, its account once it is known, its outgoing queue.

    Frames are made once for all who listen and written many at a time, so that a message to ten
    clients costs little more than one to one.
    """

    def __init__(
        self, socket: web.WebSocketResponse, transport: asyncio.Transport, name: str
    ) -> None:
        self.socket = socket
        self.name = name
        self._transport = transport
        self.account = ""
        self.topics: set[str] = set()
        self.frozen = False
        self.closing: asyncio.Task[bool] | None = None
        self._queue: deque[bytes | asyncio.Future[None]] = deque()
        self._waiting = asyncio.Event()
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._count = 0

    def put(self, frame: bytes) -> None:
        """Send ``frame`` after everything put before."""
        if len(self._queue) < BACKLOG_MAX:
            self._queue.append(frame)
            self._waiting.set()
        else:
            self.abort()

    def abort(self) -> None:
        """Reset the connection."""
        self._transport.abort()

    def barrier(self) -> asyncio.Future[None]:
        """Return a future that is done when the client has handled all that was put before."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(reached)
        self._waiting.set()
        return reached

    async def pump(self) -> None:
        """Write the queue to the socket until the connection ends."""
        with contextlib.suppress(ConnectionError):
            while not (self.socket.closed or self._transport.is_closing()):
                if not self._queue:
                    self._waiting.clear()
                    await self._waiting.wait()
                elif self._transport.get_write_buffer_size() > UNSENT_BYTES:
                    await asyncio.sleep(UNSENT_SECONDS)
                else:
                    await self._write_some()
                    await asyncio.sleep(0)  # ten clients' floods must not hold up one's order

    async def _write_some(self) -> None:
        """Write frames up to the next barrier, about ``BATCH_BYTES`` at most."""
        frames: list[bytes] = []
        size, reached = 0, None
        while self._queue and size < BATCH_BYTES and reached is None:
            item = self._queue.popleft()
            if isinstance(item, bytes):
                frames.append(item)
                size += len(item)
            else:
                reached = item
        if self.frozen:
            return
        if frames:
            self._transport.write(b"".join(frames))
        if reached is not None:
            self._count += 1
            mark = str(self._count).encode()
            self._pings[mark] = reached
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
        for item in self._queue:
            if not isinstance(item, bytes) and not item.done():
                item.set_result(None)
        self._queue.clear()


class Hub:
    """All connections, public by topic and private by account.

    ``tamper`` is asked for every message, by topic and text, whether a planned fault meets it.
    """

    def __init__(self, tamper: Callable[[str, bytes], Fault | None]) -> None:
        self._tamper = tamper
        self._held: dict[str, tuple[list[Connection], bytes]] = {}
        self.public: set[Connection] = set()
        self.private: set[Connection] = set()
        self.trade: set[Connection] = set()
        self._listeners: dict[str, set[Connection]] = defaultdict(set)
        self._topics: list[str] | None = None

    def subscribe(self, connection: Connection, topic: str) -> None:
        """Let a public connection listen to ``topic``."""
        connection.topics.add(topic)
        self._listeners[topic].add(connection)
        self._topics = None

    def unsubscribe(self, connection: Connection, topic: str) -> None:
        """Let a public connection no longer listen to ``topic``."""
        connection.topics.discard(topic)
        self._listeners[topic].discard(connection)
        if not self._listeners[topic]:
            del self._listeners[topic]
        self._topics = None

    def drop(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        if connection in self.public:
            for topic in list(connection.topics):
                self.unsubscribe(connection, topic)
        for group in (self.public, self.private, self.trade):
            group.discard(connection)
        connection.release()

    def count(self, topic: str) -> int:
        """Return how many listen to a public topic."""
        return len(self._listeners.get(topic, ()))

    def topics(self) -> list[str]:
        """Return the public topics that somebody listens to, in a fixed order."""
        if self._topics is None:
            self._topics = sorted(self._listeners)
        return self._topics

    def publish(self, topic: str, message: Row) -> None:
        """Send ``message`` to all who listen to a public topic."""
        listeners = self._listeners.get(topic)
        if listeners:
            self._send(topic, listeners, framed(message))

    def publish_private(self, account: str, topic: str, message: Row) -> None:
        """Send ``message`` to an account's connections that asked for ``topic``."""
        names = {topic, f"{topic}.linear"}
        listeners = [c for c in self.private if c.account == account and c.topics & names]
        if listeners:
            self._send(topic, listeners, framed(message))

    def _send(self, topic: str, listeners: Collection[Connection], raw: bytes) -> None:
        fault = self._tamper(topic, raw)
        if fault is not None and fault.kind == "ws_reorder":
            self._held[topic] = (list(listeners), raw)
            return
        if fault is not None and fault.kind == "ws_delay":
            later = fault.number("seconds", 0.5)
            asyncio.get_running_loop().call_later(later, _put, list(listeners), raw)
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


def _put(listeners: Collection[Connection], raw: bytes) -> None:
    for connection in listeners:
        connection.put(raw)
