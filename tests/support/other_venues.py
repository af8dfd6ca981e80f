"""Binance USD-M and KuCoin futures at the wire: their paths, parameters, caps and units.

Each serves the bars of a `Venue` the way its documentation says; what the ingestion asked for is
kept, so that tests can read the requests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from tests.support.candle_venue import Row, Venue, run_app

STEPS = {"15m": 900_000, "1h": 3_600_000}


def _binance_symbol(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.1",
                "maxPrice": "4529764",
                "tickSize": "0.1",
            },
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "maxQty": "1000", "minQty": "0.001"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC"],
    }


class Binance:
    """fapi/v1: `startTime` gives the first `limit` bars from there, else the last ones."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    async def serve(self, request: web.Request) -> web.Response:
        name = request.path.rsplit("/", 1)[-1]
        self.venue.queries.append(dict(request.query) | {"path": request.path})
        return web.json_response(getattr(self, "_" + name)(request.query))

    def _time(self, _: Any) -> Any:
        return {"serverTime": self.venue.clock_ms}

    def _exchangeInfo(self, _: Any) -> Any:  # noqa: N802 - the venue's own name
        return {"timezone": "UTC", "symbols": [_binance_symbol(s) for s in self.venue.symbols]}

    def _klines(self, query: Any) -> Any:
        return [
            [r[0], *map(str, r[1:6]), r[0] + 899_999, "0", 1, "0", "0", "0"]
            for r in self._rows(query)
        ]

    def _markPriceKlines(self, query: Any) -> Any:  # noqa: N802 - the venue's own name
        return [
            [r[0], *map(str, r[1:5]), "0", r[0] + 899_999, "0", 1, "0", "0", "0"]
            for r in self._rows(query)
        ]

    def _rows(self, query: Any) -> list[Row]:
        rows = self.venue.candles(query["symbol"], STEPS[query["interval"]])
        start, end = query.get("startTime"), query.get("endTime")
        rows = [r for r in rows if r[0] >= int(start or 0) and (end is None or r[0] <= int(end))]
        limit = int(query.get("limit", 500))
        return rows[:limit] if start is not None else rows[-limit:]

    def _fundingRate(self, query: Any) -> Any:  # noqa: N802 - the venue's own name
        rows = self.venue.funding[query["symbol"]]
        start, end = int(query["startTime"]), int(query["endTime"])
        inside = [r for r in rows if start <= r[0] <= end][: int(query.get("limit", 100))]
        return [
            {
                "symbol": query["symbol"],
                "fundingTime": t,
                "fundingRate": str(rate),
                "markPrice": "1",
            }
            for t, rate in inside
        ]


def _kucoin_contract(symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "rootSymbol": "USDT",
        "type": "FFWCSX",
        "firstOpenDate": 1585555200000,
        "expireDate": None,
        "settleDate": None,
        "baseCurrency": "XBT" if symbol.startswith("XBT") else symbol.removesuffix("USDTM"),
        "quoteCurrency": "USDT",
        "settleCurrency": "USDT",
        "maxOrderQty": 1000000,
        "maxPrice": 1000000.0,
        "lotSize": 1,
        "tickSize": 0.1,
        "indexPriceTickSize": 0.01,
        "multiplier": 0.001,
        "makerFeeRate": 0.0002,
        "takerFeeRate": 0.0006,
        "isInverse": False,
        "isQuanto": False,
        "status": "Open",
        "nextFundingRateTime": 25481884,
        "maxLeverage": 100,
    }


class Kucoin:
    """Futures: `from` and `to` include both ends, at most 200 bars, volume in contracts."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    async def serve(self, request: web.Request) -> web.Response:
        name = request.path.rsplit("/", 1)[-1]
        self.venue.queries.append(dict(request.query) | {"path": request.path})
        data = getattr(self, "_" + name.replace("-", "_"))(request.query)
        return web.json_response({"code": "200000", "data": data})

    def _timestamp(self, _: Any) -> Any:
        return self.venue.clock_ms

    def _active(self, _: Any) -> Any:
        return [_kucoin_contract(s) for s in self.venue.symbols]

    def _query(self, query: Any) -> Any:
        rows = self.venue.candles(query["symbol"], int(query["granularity"]) * 60_000)
        inside = [r for r in rows if int(query["from"]) <= r[0] <= int(query["to"])]
        return [[r[0], *r[1:5], round(r[5] / 0.001)] for r in inside[:200]]

    def _kline(self, query: Any) -> Any:
        """UTA candles: seconds, newest first, open close high low; here the mark price."""
        symbol = query["symbol"].removesuffix("-mark-price")
        rows = self.venue.candles(symbol, STEPS["1h"])
        start, end = int(query["startAt"]) * 1000, int(query["endAt"]) * 1000
        inside = [r for r in rows if start <= r[0] <= end]
        listed = [
            [str(r[0] // 1000), *(str(r[i]) for i in (1, 4, 2, 3)), "0", "0"]
            for r in reversed(inside)
        ]
        return {"symbol": query["symbol"], "list": listed}

    def _funding_rates(self, query: Any) -> Any:
        rows = self.venue.funding[query["symbol"]]
        inside = [r for r in rows if int(query["from"]) <= r[0] <= int(query["to"])]
        return [
            {"symbol": query["symbol"], "fundingRate": rate, "timepoint": t}
            for t, rate in reversed(inside[-100:])
        ]


@contextmanager
def serve_as(kind: type[Binance] | type[Kucoin], venue: Venue) -> Iterator[str]:
    """Serve the venue as that exchange on a free local port; yield its URL."""
    with run_app(kind(venue).serve) as url:
        yield url
