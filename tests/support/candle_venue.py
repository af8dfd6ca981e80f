"""A small venue that serves public Bybit v5 market data, breaks on demand and counts requests.

A fake at the wire: the ingestion talks to it through unmodified ccxt. It is not the paper exchange
(no orders, no sockets); it exists so that faults, holes, listings and limits are exact.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

INTERVALS = {"1": 60_000, "5": 300_000, "15": 900_000, "60": 3_600_000}
Row = tuple[int, float, float, float, float, float]


@dataclass
class Venue:
    """What the server serves: bars by (symbol, step), funding by symbol; change it at any time."""

    bars: dict[tuple[str, int], list[Row]]
    funding: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    clock_ms: int = 2_000_000_000_000
    page_max: int = 1000
    fault: Callable[[int, web.Request], web.Response | None] | None = None
    shuffle: bool = False
    seen: Counter[str] = field(default_factory=Counter)
    stamps_s: list[float] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)

    def candles(self, symbol: str, step: int) -> list[Row]:
        """The bars of one interval; longer ones are built, the last may be unfinished."""
        rows = self.bars.get((symbol, step))
        if rows is not None:
            return rows
        built: dict[int, list[Row]] = {}
        for row in self.bars.get((symbol, 900_000), []):
            built.setdefault(row[0] // step * step, []).append(row)
        return [
            (
                open_ms,
                parts[0][1],
                max(p[2] for p in parts),
                min(p[3] for p in parts),
                parts[-1][4],
                sum(p[5] for p in parts),
            )
            for open_ms, parts in sorted(built.items())
        ]

    @property
    def symbols(self) -> list[str]:
        return sorted({symbol for symbol, _ in self.bars})


def random_walk(symbol_seed: int, first_ms: int, count: int, step_ms: int = 900_000) -> list[Row]:
    """Return valid bars; continuous from close to open."""
    rng = np.random.default_rng(symbol_seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.003, count)))
    start = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(start, close) * (1 + np.abs(rng.normal(0, 0.001, count)))
    low = np.minimum(start, close) * (1 - np.abs(rng.normal(0, 0.001, count)))
    volume = rng.lognormal(3, 0.5, count)
    times = first_ms + step_ms * np.arange(count)
    columns = (c.round(6).tolist() for c in (start, high, low, close, volume))
    return list(zip(times.tolist(), *columns, strict=True))


def _ok(result: dict[str, Any], clock_ms: int) -> web.Response:
    return web.json_response(
        {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": clock_ms}
    )


def _instrument(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": symbol.removesuffix("USDT"),
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "launchTime": "0",
        "deliveryTime": "0",
        "fundingInterval": 480,
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "50", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.01", "maxPrice": "1999999", "tickSize": "0.01"},
        "lotSizeFilter": {
            "maxOrderQty": "1000",
            "minOrderQty": "0.001",
            "qtyStep": "0.001",
            "postOnlyMaxOrderQty": "1000",
            "maxMktOrderQty": "100",
            "minNotionalValue": "5",
        },
    }


class _Handlers:
    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    async def serve(self, request: web.Request) -> web.Response:
        venue = self.venue
        path = request.path.removeprefix("/v5/market/")
        venue.seen[path] += 1
        venue.stamps_s.append(asyncio.get_running_loop().time())
        venue.queries.append(dict(request.query) | {"path": path})
        if venue.fault is not None:
            broken = venue.fault(sum(venue.seen.values()), request)
            if broken is not None:
                return broken
        return getattr(self, "_" + path.replace("-", "_").replace("/", "_"))(request.query)

    def _time(self, _: Any) -> web.Response:
        return _ok({"timeSecond": str(self.venue.clock_ms // 1000)}, self.venue.clock_ms)

    def _instruments_info(self, query: Any) -> web.Response:
        rows = [] if query.get("status") == "PreLaunch" else map(_instrument, self.venue.symbols)
        return _ok(
            {"category": "linear", "list": list(rows), "nextPageCursor": ""}, self.venue.clock_ms
        )

    def _kline(self, query: Any) -> web.Response:
        return self._rows(query, width=6)

    def _mark_price_kline(self, query: Any) -> web.Response:
        return self._rows(query, width=5)

    def _rows(self, query: Any, width: int) -> web.Response:
        step = INTERVALS[query["interval"]]
        rows = self.venue.candles(query["symbol"], step)
        limit = min(int(query.get("limit", 200)), self.venue.page_max)
        start, end = query.get("start"), query.get("end")
        if start is not None:
            rows = [row for row in rows if row[0] >= int(start)]
        if end is not None:
            rows = [row for row in rows if row[0] <= int(end)]
        rows = rows[:limit] if start is not None and end is None else rows[-limit:]
        listed = [[str(v) for v in row[:width]] for row in reversed(rows)]
        if self.venue.shuffle:
            np.random.default_rng(len(listed)).shuffle(listed)
        if width == 6:
            listed = [[*row, "0"] for row in listed]
        return _ok(
            {"symbol": query["symbol"], "category": "linear", "list": listed}, self.venue.clock_ms
        )

    def _funding_history(self, query: Any) -> web.Response:
        start, end = int(query["startTime"]), int(query["endTime"])
        rows = [r for r in self.venue.funding.get(query["symbol"], []) if start <= r[0] <= end]
        limit = int(query.get("limit", 200))
        listed = [
            {"symbol": query["symbol"], "fundingRate": str(rate), "fundingRateTimestamp": str(t)}
            for t, rate in reversed(rows[-limit:])
        ]
        return _ok({"category": "linear", "list": listed}, self.venue.clock_ms)

    def _tickers(self, _: Any) -> web.Response:
        rows = []
        for symbol in self.venue.symbols:
            day = next(bars for (name, _), bars in self.venue.bars.items() if name == symbol)[-96:]
            rows.append(
                {
                    "symbol": symbol,
                    "lastPrice": str(day[-1][4]),
                    "markPrice": str(day[-1][4]),
                    "indexPrice": str(day[-1][4]),
                    "turnover24h": str(sum(r[4] * r[5] for r in day)),
                    "volume24h": str(sum(r[5] for r in day)),
                    "openInterestValue": "1",
                    "bid1Price": "1",
                    "ask1Price": "2",
                }
            )
        return _ok({"category": "linear", "list": rows}, self.venue.clock_ms)


@contextmanager
def serve(venue: Venue) -> Iterator[str]:
    """Serve the venue as Bybit on a free local port; yield its URL."""
    with run_app(_Handlers(venue).serve) as url:
        yield url


@contextmanager
def run_app(handler: Callable[[web.Request], Any]) -> Iterator[str]:
    """Answer every request with `handler`, in a thread, on a free local port; yield the URL."""
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    url: list[str] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        url.append(f"http://127.0.0.1:{port}")
        ready.set()
        await stop.wait()
        await runner.cleanup()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        if not ready.wait(20):
            raise RuntimeError("the test venue did not start")
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
