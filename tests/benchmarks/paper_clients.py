"""The clients that load a paper exchange, as a program of their own: listeners or traders.

``python -m tests.benchmarks.paper_clients listen|trade JSON`` prints one JSON line. Traders are
open-loop: order k is due at k / rate whatever became of the others, and what counts is the time
from when it was due, so that neither a slow exchange nor a slow client can hide a wait.
"""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp

WINDOW = "5000"
RESTING_MOST = 40


def signature(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


async def listen(load: dict[str, Any]) -> dict[str, Any]:
    """Let ``clients`` sockets listen to the klines of all symbols; count what comes when told."""
    counts = [0] * load["clients"]
    topics = [f"kline.{load['code']}.{symbol}" for symbol in load["symbols"]]

    async def one(number: int) -> None:
        async with session.ws_connect(f"{load['ws']}/v5/public/linear") as socket:
            await socket.send_json({"op": "subscribe", "args": topics, "req_id": "1"})
            async for _ in socket:
                counts[number] += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        tasks = [asyncio.create_task(one(number)) for number in range(load["clients"])]
        await asyncio.sleep(load["warm_seconds"])
        before, begun = sum(counts), time.perf_counter()
        await asyncio.sleep(load["seconds"])
        messages, seconds = sum(counts) - before, time.perf_counter() - begun
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {"messages": messages, "seconds": seconds, "least": min(counts), "most": max(counts)}


@dataclass
class Trader:
    """One account: orders by REST or over its trade socket, private streams always on."""

    session: aiohttp.ClientSession
    load: dict[str, Any]
    key: str
    by_socket: bool
    trade: aiohttp.ClientWebSocketResponse | None = None
    waiting: dict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    resting: deque[tuple[str, str]] = field(default_factory=deque)
    private: int = 0
    sent: int = 0

    async def socket(self, path: str) -> aiohttp.ClientWebSocketResponse:
        opened = await self.session.ws_connect(f"{self.load['ws']}/v5/{path}")
        expires = str(time.time_ns() // 1_000_000 + 10_000)
        sign = signature(self.key, f"GET/realtime{expires}")
        await opened.send_json({"op": "auth", "args": [self.key, expires, sign]})
        await opened.receive_json()
        return opened

    async def begin(self) -> list[asyncio.Task[None]]:
        stream = await self.socket("private")
        topics = ["order", "execution", "position", "wallet"]
        await stream.send_json({"op": "subscribe", "args": topics, "req_id": "1"})
        tasks = [asyncio.create_task(self._count(stream))]
        if self.by_socket:
            self.trade = await self.socket("trade")
            tasks.append(asyncio.create_task(self._replies(self.trade)))
        return tasks

    async def _count(self, stream: aiohttp.ClientWebSocketResponse) -> None:
        async for _ in stream:
            self.private += 1

    async def _replies(self, trade: aiohttp.ClientWebSocketResponse) -> None:
        async for message in trade:
            reply = json.loads(message.data)
            self.waiting.pop(reply["reqId"]).set_result(reply)

    async def ask(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send one order request and return its reply."""
        if self.trade is not None:
            self.sent += 1
            frame = {"op": f"order.{name}", "reqId": str(self.sent), "header": {}, "args": [body]}
            reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            self.waiting[str(self.sent)] = reply
            await self.trade.send_str(json.dumps(frame))
            return await reply
        text, stamp = json.dumps(body), str(time.time_ns() // 1_000_000)
        headers = {
            "X-BAPI-API-KEY": self.key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": WINDOW,
            "X-BAPI-SIGN": signature(self.key, stamp + self.key + WINDOW + text),
            "Content-Type": "application/json",
        }
        url = f"{self.load['url']}/v5/order/{name}"
        async with self.session.post(url, data=text, headers=headers) as response:
            return dict(await response.json())

    async def order(self, number: int) -> int:
        """Place order ``number``: markets in and out, limits that rest; return its retCode."""
        symbols = self.load["symbols"]
        symbol = symbols[number // 4 % len(symbols)]
        body = {"category": "linear", "symbol": symbol, "qty": self.load["lots"][symbol]}
        body["side"] = "Buy" if number % 4 < 2 else "Sell"
        if number % 2:
            body |= {"orderType": "Limit", "side": "Buy", "price": self.load["low"][symbol]}
        else:
            body |= {"orderType": "Market"}
        reply = await self.ask("create", body)
        if number % 2 and reply["retCode"] == 0:
            ids = reply.get("result") or reply["data"]
            self.resting.append((symbol, ids["orderId"]))
        return int(reply["retCode"])

    async def tidy(self) -> None:
        """Cancel the oldest resting order where there are enough."""
        if len(self.resting) > RESTING_MOST:
            symbol, order_id = self.resting.popleft()
            await self.ask("cancel", {"category": "linear", "symbol": symbol, "orderId": order_id})


async def trade(load: dict[str, Any]) -> dict[str, Any]:
    """Place ``rate`` orders a second for ``seconds`` after a warm-up that is not counted."""
    due_waits: list[float] = []
    sent_waits: list[float] = []
    refused: dict[str, int] = {}
    rate, warm = load["rate"], int(load["warm_seconds"] * load["rate"])
    total = warm + int(load["seconds"] * rate)

    async def one(number: int, due: float) -> None:
        trader = traders[number % len(traders)]
        begun = time.perf_counter()
        code = await trader.order(number // len(traders))
        done = time.perf_counter()
        if number >= warm:
            due_waits.append(done - due)
            sent_waits.append(done - begun)
            if code:
                refused[str(code)] = refused.get(str(code), 0) + 1
        await trader.tidy()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        traders = [
            Trader(session=session, load=load, key=key, by_socket=number % 2 == 1)
            for number, key in enumerate(load["keys"])
        ]
        streams = [task for trader in traders for task in await trader.begin()]
        begun = time.perf_counter()
        orders: set[asyncio.Task[None]] = set()
        for number in range(total):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            orders.add(asyncio.create_task(one(number, due)))
        await asyncio.gather(*orders)
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    return {
        "orders": total - warm,
        "due": due_waits,
        "sent": sent_waits,
        "refused": refused,
        "private": sum(trader.private for trader in traders),
    }


def main() -> None:
    """Run the part that the command line names."""
    part, load = {"listen": listen, "trade": trade}[sys.argv[1]], json.loads(sys.argv[2])
    print(json.dumps(asyncio.run(part(load))), flush=True)


if __name__ == "__main__":
    main()
