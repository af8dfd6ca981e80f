"""The venue's public data through ccxt: candles, mark price, funding, tickers, clock.

Decides what a usable reply is, what is tried again and what is refused. Never stores, never
trades, holds no key. Rule: every request goes through :meth:`VenueClient.call` (limiter, breaker,
bounded retries), and a reply that is not JSON or not rows of numbers is a failure, not "no data".

    try again      NetworkError (time-outs, 429, 5xx, clock), an unnamed ExchangeError, a bad reply
    refuse         BadSymbol, BadRequest, NotSupported, AuthenticationError, PermissionDenied ...
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import ccxt.async_support as ccxt
import polars as pl
import stamina

from features.errors import InputError
from features.intervals import interval_ms
from features.suggest import unknown_name
from flows.lake.breaker import CircuitBreaker
from flows.lake.errors import VenueError
from flows.lake.settlements import settlement_ms
from flows.lake.tables import CANDLES, MARK, TableSpec

# Half of what the venue's documentation allows one address, where ccxt asks for far less than that:
# milliseconds of ccxt's budget a unit, so that 300 requests of 5 units go into Bybit's 5 s window.
UNIT_MS = {"bybit": 5_000 / (300 * 5)}
# Candles a request where ccxt's own figure is above what the venue serves.
PAGE = {"kucoinfutures": 200}
# Venues whose candles count contracts; the lake's volume is in base units everywhere.
VOLUME_IN_CONTRACTS = frozenset({"kucoinfutures"})
CANDLES_PER_PAGE = 200  # where ccxt names no limit
FUNDING_PER_PAGE = 200


class BadReplyError(Exception):
    """A reply that cannot be what was asked for; asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Bounds of the retries of one request, and of the pauses when the venue keeps failing."""

    attempts: int = 8
    seconds_max: float = 180.0
    wait_initial_s: float = 0.5
    wait_max_s: float = 20.0
    jitter_s: float = 0.5
    failures_max: int = 8  # in a row, over all requests, before everybody pauses
    pause_s: float = 15.0
    pauses_max: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which venue, and where it answers."""

    id: str = "bybit"
    url: str | None = None  # the paper exchange or a proxy, instead of the venue's own hosts
    timeout_ms: int = 10_000
    retry: Retry = Retry()


class VenueClient:
    """One venue's public market data; use as an async context manager."""

    def __init__(self, access: Access) -> None:
        known = ccxt.exchanges
        if access.id not in known:
            raise InputError(unknown_name("venue", access.id, known))
        self.id = access.id
        self.requests = 0
        self._retry = access.retry
        self._breaker = CircuitBreaker(
            access.id,
            failures_max=access.retry.failures_max,
            cooldown_s=access.retry.pause_s,
            openings_max=access.retry.pauses_max,
        )
        self._exchange: Any = getattr(ccxt, access.id)(
            {
                "enableRateLimit": True,
                # A window of requests rather than a fixed pause: as the venues themselves count.
                "rateLimiterAlgorithm": "rollingWindow",
                "timeout": access.timeout_ms,
                **({"rateLimit": UNIT_MS[access.id]} if access.id in UNIT_MS else {}),
                "options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}},
            }
        )
        if self._exchange.options.get("fetchMarkets") and access.id.startswith("kucoin"):
            self._exchange.options["fetchMarkets"] = {"types": ["contract"]}
        self._exchange.has["fetchCurrencies"] = False  # public data needs no list of coins
        self._exchange.on_rest_response = self._check_body
        if access.url is not None:
            self._exchange.urls["api"] = _at(self._exchange.urls["api"], access.url)
        self._symbols: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Learn the venue's markets; what was opened is closed where that fails."""
        is_open = False
        try:
            await self.call(self._exchange.load_markets)
            is_open = True
        finally:
            if not is_open:
                await self._exchange.close()
        self._symbols = {
            market["id"]: market["symbol"]
            for market in self._exchange.markets.values()
            if market["swap"] and market["linear"]
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exchange.close()

    # -- what can be asked for -----------------------------------------------------------------

    def market(self, symbol: str) -> Mapping[str, Any]:
        """Return ccxt's market of the venue id ``symbol`` (a linear perpetual)."""
        if symbol not in self._symbols:
            raise InputError(f"{self.id}: {unknown_name('symbol', symbol, self._symbols)}")
        market: Mapping[str, Any] = self._exchange.markets[self._symbols[symbol]]
        return market

    @property
    def markets(self) -> list[Mapping[str, Any]]:
        """Return every linear perpetual of the venue."""
        return [self.market(symbol) for symbol in sorted(self._symbols)]

    def check_interval(self, interval: str) -> None:
        """Refuse an interval the venue has no candles of."""
        interval_ms(interval)
        offered = self._exchange.timeframes or {}
        if interval not in offered:
            raise InputError(f"{self.id} has no candles of {interval}; it has {', '.join(offered)}")

    def candles_page(self, symbol: str) -> int:
        """Return how many candles one request may ask for."""
        limit = self._exchange.feature_value(self.market(symbol)["symbol"], "fetchOHLCV", "limit")
        return PAGE.get(self.id, int(limit or CANDLES_PER_PAGE))

    @property
    def has_mark(self) -> bool:
        """Whether the venue serves mark-price candles."""
        return bool(self._exchange.has.get("fetchMarkOHLCV"))

    # -- requests ------------------------------------------------------------------------------

    async def clock_ms(self) -> int:
        """Return the venue's own time, so that a skewed local clock decides nothing."""
        if not self._exchange.has.get("fetchTime"):
            return int(self._exchange.milliseconds())
        return int(await self.call(self._exchange.fetch_time))

    async def candles(
        self,
        spec: TableSpec,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int,
    ) -> pl.DataFrame:
        """Return candles (or mark-price candles) with ``start_ms <= open_ms < end_ms``, ascending.

        Without ``start_ms``: the newest ones. The newest bar of all may be unfinished.
        """
        unified = self.market(symbol)["symbol"]
        params: dict[str, Any] = {"price": "mark"} if spec is MARK else {}
        if end_ms is not None:
            params["until"] = end_ms - 1
        rows = await self.call(
            lambda: self._exchange.fetch_ohlcv(unified, interval, start_ms, limit, params),
            check=_check_candles,
        )
        width = 1 + len(spec.values)
        frame = pl.DataFrame(
            [row[:width] for row in rows],
            schema={CANDLES.time: pl.Int64, **dict.fromkeys(spec.values, pl.Float64)},
            orient="row",
        )
        if spec is CANDLES and self.id in VOLUME_IN_CONTRACTS:
            size = float(self.market(symbol)["contractSize"])
            frame = frame.with_columns(pl.col("volume") * size)
        time, step = pl.col(CANDLES.time), interval_ms(interval)
        inside = pl.lit(value=True)
        if start_ms is not None:
            inside &= time >= start_ms
        if end_ms is not None:
            inside &= time < end_ms
        return frame.filter(inside, time % step == 0).unique(CANDLES.time, keep="last").sort(time)

    async def funding(
        self, symbol: str, *, start_ms: int, end_ms: int, limit: int = FUNDING_PER_PAGE
    ) -> pl.DataFrame:
        """Return settlements with ``start_ms <= time_ms < end_ms``, stamps rounded by rule."""
        unified = self.market(symbol)["symbol"]
        rows = await self.call(
            lambda: self._exchange.fetch_funding_rate_history(
                unified, start_ms, limit, {"until": end_ms - 1}
            ),
            check=_check_funding,
        )
        frame = pl.DataFrame(
            {
                "time_ms": [settlement_ms(int(row["timestamp"])) for row in rows],
                "rate": [float(row["fundingRate"]) for row in rows],
            },
            schema={"time_ms": pl.Int64, "rate": pl.Float64},
        )
        inside = pl.col("time_ms").is_between(start_ms, end_ms, closed="left")
        return frame.filter(inside).unique("time_ms", keep="last").sort("time_ms")

    async def tickers(self) -> Mapping[str, Mapping[str, Any]]:
        """Return ccxt's 24 h tickers by venue id."""
        reply = await self.call(self._exchange.fetch_tickers)
        return {
            symbol: reply[unified] for symbol, unified in self._symbols.items() if unified in reply
        }

    async def call(
        self, request: Callable[[], Awaitable[Any]], check: Callable[[Any], None] | None = None
    ) -> Any:
        """Send ``request`` within the limits and return its reply; try again where that helps.

        Raises
        ------
        VenueError
            When the venue refused, or still failed after the last attempt: one line.
        """
        retry = self._retry
        try:
            async for attempt in stamina.retry_context(
                on=_worth_a_retry,
                attempts=retry.attempts,
                timeout=retry.seconds_max,
                wait_initial=retry.wait_initial_s,
                wait_max=retry.wait_max_s,
                wait_jitter=retry.jitter_s,
            ):
                with attempt:
                    return await self._send(request, check)
        except (ccxt.BaseError, BadReplyError) as error:
            text = " ".join(str(error).split())[:200]
            raise VenueError(f"{self.id}: {type(error).__name__}: {text}") from error
        raise AssertionError("stamina yields at least one attempt")

    async def _send(
        self, request: Callable[[], Awaitable[Any]], check: Callable[[Any], None] | None
    ) -> Any:
        await self._breaker.admit()
        try:
            reply = await _answered(request)
            if check is not None:
                check(reply)
        except (ccxt.BaseError, BadReplyError) as error:
            if _worth_a_retry(error):
                self._breaker.failed()
            else:
                self._breaker.succeeded()  # it answered, if only to refuse
            raise
        self._breaker.succeeded()
        return reply

    def _check_body(self, status: int, *rest: Any) -> str:
        """Let ccxt's hook refuse a 200 that is no JSON: ccxt itself would read it as no data."""
        self.requests += 1
        body = str(rest[4]).strip()
        if status == 200:
            try:
                json.loads(body)
            except ValueError as error:
                raise ccxt.ExchangeNotAvailable(
                    f"{self.id}: the reply is not JSON: {body[:60]!r}"
                ) from error
        return body


async def _answered(request: Callable[[], Awaitable[Any]]) -> Any:
    """Return the reply; ccxt's own stumbling over a reply of another shape is a bad reply."""
    try:
        return await request()
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise BadReplyError(
            f"a reply of another shape ({type(error).__name__}: {error})"
        ) from error


def _worth_a_retry(error: Exception) -> bool:
    if isinstance(error, BadReplyError | ccxt.NetworkError):
        return True
    # ccxt raises the bare class for codes it does not know: time-outs and 5xx with a JSON body.
    return type(error) is ccxt.ExchangeError


def _check_candles(rows: object) -> None:
    if not isinstance(rows, list):
        raise BadReplyError(f"candles came as {type(rows).__name__}")
    for row in rows:
        if not isinstance(row, list) or len(row) < 5 or any(v is None for v in row[:5]):
            raise BadReplyError(f"a candle came as {row!r}")


def _check_funding(rows: object) -> None:
    if not isinstance(rows, list):
        raise BadReplyError(f"funding came as {type(rows).__name__}")
    for row in rows:
        if row.get("timestamp") is None or row.get("fundingRate") is None:
            raise BadReplyError(f"a settlement came without time or rate: {row.get('info')!r}")


def _at(urls: Any, base: str) -> Any:
    """Return ccxt's tree of URLs with every host replaced by ``base``; paths stay."""
    if isinstance(urls, str):
        return base.rstrip("/") + urlsplit(urls).path
    if isinstance(urls, dict):
        return {key: _at(value, base) for key, value in urls.items()}
    return urls
