"""A small Bybit v5 client, written from the public documentation and from nothing of ours.

REST requests signed with HMAC-SHA256 over timestamp + key + window + (query | body), websockets
with auth, subscriptions, pings and order entry. What the exchange sends is kept as it came.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp

RECV_WINDOW = "5000"
WAIT_SECONDS = 30.0
Message = dict[str, Any]


def hmac_hex(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


class BybitError(Exception):
    """A reply whose retCode is not 0."""

    def __init__(self, reply: Message) -> None:
        super().__init__(f"{reply['retCode']} {reply['retMsg']}")
        self.code = int(reply["retCode"])


class Rest:
    """The HTTP side."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, secret: str) -> None:
        self.session = session
        self.url = url
        self.key = key
        self.secret = secret
        self.offset_ms = 0

    def headers(self, payload: str) -> dict[str, str]:
        stamp = str(time.time_ns() // 1_000_000 + self.offset_ms)
        return {
            "X-BAPI-API-KEY": self.key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": RECV_WINDOW,
            "X-BAPI-SIGN": hmac_hex(self.secret, stamp + self.key + RECV_WINDOW + payload),
        }

    async def get(self, path: str, **params: Any) -> Message:
        """Send a signed GET and return the whole reply, or raise its refusal."""
        query = urlencode(params)
        url = f"{self.url}{path}?{query}" if query else self.url + path
        async with self.session.get(url, headers=self.headers(query)) as reply:
            return self._checked(await reply.json())

    async def post(self, path: str, **body: Any) -> Message:
        """Send a signed POST and return the whole reply, or raise its refusal."""
        text = json.dumps(body)
        headers = {**self.headers(text), "Content-Type": "application/json"}
        async with self.session.post(self.url + path, data=text, headers=headers) as reply:
            return self._checked(await reply.json())

    @staticmethod
    def _checked(reply: Message) -> Message:
        if reply["retCode"] != 0:
            raise BybitError(reply)
        return reply

    async def order(self, side: str, quantity: str, **fields: Any) -> str:
        """Place an order on BTCUSDT (a limit where ``price`` is given) and return its id."""
        body = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": side,
            "orderType": "Limit" if "price" in fields else "Market",
            "qty": quantity,
        }
        reply = await self.post("/v5/order/create", **{**body, **fields})
        return str(reply["result"]["orderId"])


class Stream:
    """One websocket; messages are kept in order and can be waited for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[Message] = []
        self._arrived = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._task.done()

    async def _read(self) -> None:
        async for frame in self.socket:
            if frame.type == aiohttp.WSMsgType.TEXT:
                self.messages.append(json.loads(frame.data))
                self._arrived.set()

    async def say(self, **frame: Any) -> None:
        await self.socket.send_str(json.dumps(frame))

    async def until(self, wanted: Any, start: int = 0) -> Message:
        """Return the first message from number ``start`` on for which ``wanted(message)``."""
        seen = start
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for message in self.messages[seen:]:
                    seen += 1
                    if wanted(message):
                        return message
                self._arrived.clear()
                await self._arrived.wait()

    async def topic(self, topic: str, start: int = 0) -> Message:
        """Return the first message of a topic."""
        return await self.until(lambda message: message.get("topic") == topic, start)

    async def subscribe(self, *topics: str) -> Message:
        start = len(self.messages)
        await self.say(op="subscribe", req_id="7", args=list(topics))
        return await self.until(lambda message: message.get("op") == "subscribe", start)

    async def login(self, key: str, secret: str, *, lifetime_ms: int = 10_000) -> Message:
        expires = str(time.time_ns() // 1_000_000 + lifetime_ms)
        start = len(self.messages)
        await self.say(op="auth", args=[key, expires, hmac_hex(secret, f"GET/realtime{expires}")])
        return await self.until(lambda message: message.get("op") == "auth", start)

    def of(self, topic: str) -> list[Message]:
        """Return all messages of a topic so far."""
        return [message for message in self.messages if message.get("topic") == topic]

    def rows(self, topic: str) -> list[Message]:
        """Return all rows of a private topic so far."""
        return [row for message in self.of(topic) for row in message["data"]]

    async def close(self) -> None:
        self._task.cancel()
        await self.socket.close()


class Client:
    """REST and streams of one account."""

    def __init__(self, session: aiohttp.ClientSession, paper: Any, key: str, secret: str) -> None:
        self.session = session
        self.rest = Rest(session, paper.url, key, secret)
        self.ws = paper.ws
        self.key = key
        self.secret = secret
        self._streams: list[Stream] = []

    async def stream(self, path: str) -> Stream:
        """Open ``public/linear``, ``private`` or ``trade``; the last two are logged in."""
        opened = Stream(await self.session.ws_connect(f"{self.ws}/v5/{path}"))
        self._streams.append(opened)
        if not path.startswith("public"):
            await opened.login(self.key, self.secret)
        return opened

    async def close(self) -> None:
        for stream in self._streams:
            await stream.close()


@asynccontextmanager
async def bybit_client(
    paper: Any, key: str = "paper", secret: str = "paper"
) -> AsyncIterator[Client]:
    """Connect to a paper exchange."""
    async with aiohttp.ClientSession() as session:
        client = Client(session, paper, key, secret)
        try:
            yield client
        finally:
            await client.close()
