"""Which symbols are traded and trained on: a fixed list, or the venue's most liquid perpetuals.

Decides the choice from one snapshot of markets and tickers, and remembers every choice with the
venue's time, so that a backtest uses the universe of its own time (a symbol delisted later is still
in it). Never looks at returns. Rule: a snapshot is stored whole; nothing is edited afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from features.errors import InputError
from features.suggest import unknown_name
from flows.lake import tables
from flows.lake.delta import until_committed
from flows.lake.pages import Window
from flows.lake.store import Lake
from flows.lake.venue import VenueClient

MINUTE_MS = 60_000
SLACK_MS = 30_000  # an hourly schedule is never exactly an hour later
FAR_MS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How symbols are chosen; volumes and prices in quote currency."""

    mode: Literal["fixed", "auto"] = "fixed"
    symbols: tuple[str, ...] = ()  # the fixed list
    quote_volume_min: float = 20_000_000.0  # over 24 h
    price_min: float = 0.0
    count_max: int = 50
    allow: tuple[str, ...] = ()  # only these, where any are named
    deny: tuple[str, ...] = ()
    refresh_minutes: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One chosen symbol, as it stood at the time of the choice."""

    symbol: str
    rank: int
    quote_volume_24h: float
    price: float


def choose(
    markets: Sequence[Mapping[str, Any]],
    tickers: Mapping[str, Mapping[str, Any]],
    selection: Selection,
) -> list[Member]:
    """Return the members of the universe by falling 24 h volume.

    Chosen are active USDT-margined linear perpetuals. A ticker without volume or price is passed
    over: not known is not liquid.

    Parameters
    ----------
    markets
        ccxt's markets of the venue (linear perpetuals).
    tickers
        ccxt's 24 h tickers by venue id.
    selection
        The rule.
    """
    known = {market["id"]: market for market in markets}
    names = selection.symbols if selection.mode == "fixed" else selection.allow
    for name in (*names, *selection.deny):
        if name not in known:
            raise InputError(unknown_name("symbol", name, known))
    members = []
    for symbol, market in known.items():
        volume, price = _liquidity(tickers.get(symbol, {}), market)
        if selection.mode == "fixed":
            chosen = symbol in selection.symbols
        else:
            chosen = (
                market["settle"] == "USDT"
                and market["active"] is not False
                and volume >= selection.quote_volume_min
                and price >= selection.price_min
                and price > 0
                and (not selection.allow or symbol in selection.allow)
                and symbol not in selection.deny
            )
        if chosen:
            members.append((volume, symbol, price))
    members.sort(key=lambda one: (-one[0], one[1]))
    if selection.mode == "auto":
        members = members[: selection.count_max]
    return [
        Member(symbol=symbol, rank=rank, quote_volume_24h=volume, price=price)
        for rank, (volume, symbol, price) in enumerate(members, start=1)
    ]


def _liquidity(ticker: Mapping[str, Any], market: Mapping[str, Any]) -> tuple[float, float]:
    """Return 24 h quote volume and last price; zero where the venue does not say."""
    price = float(ticker.get("last") or 0.0)
    volume = ticker.get("quoteVolume")
    if volume is None:
        size = float(market.get("contractSize") or 1.0)
        volume = float(ticker.get("baseVolume") or 0.0) * size * price
    return float(volume), price


async def refresh(client: VenueClient, lake: Lake, selection: Selection) -> list[Member]:
    """Choose anew where the last choice is older than the refresh time; record it.

    Raises
    ------
    InputError
        Where a named symbol is unknown, or an automatic choice comes out empty.
    """
    now_ms = await client.clock_ms()
    last = history(lake, client.id, now_ms)
    if last and now_ms - last[0] < selection.refresh_minutes * MINUTE_MS - SLACK_MS:
        kept = last[1]
        if selection.mode == "auto" or {m.symbol for m in kept} == set(selection.symbols):
            return kept
    members = choose(client.markets, await client.tickers(), selection)
    if not members:
        raise InputError(
            f"{client.id}: no perpetual has {selection.quote_volume_min:,.0f} of 24 h volume and a "
            f"price of {selection.price_min:g}: lower the minimum, or name symbols"
        )
    record(lake, client.id, now_ms, members)
    return members


def record(lake: Lake, venue: str, as_of_ms: int, members: Sequence[Member]) -> None:
    """Store a choice made at ``as_of_ms``."""
    rows = pl.DataFrame(
        {
            tables.VENUE: [venue] * len(members),
            "as_of_ms": [as_of_ms] * len(members),
            tables.SYMBOL: [m.symbol for m in members],
            "rank": [m.rank for m in members],
            "quote_volume_24h": [m.quote_volume_24h for m in members],
            "price": [m.price for m in members],
        },
        schema=tables.UNIVERSE_SCHEMA,
    )
    for attempt in until_committed(lake.delta.uri(tables.UNIVERSE)):
        with attempt:
            table = lake.delta.open_or_create(tables.UNIVERSE, tables.UNIVERSE_SCHEMA)
            lake.delta.append(table, rows, f"{venue}/universe")


def history(lake: Lake, venue: str, at_ms: int) -> tuple[int, list[Member]] | None:
    """Return the last choice made at or before ``at_ms`` and its time, or None before the first."""
    scan = lake.delta.scan(tables.UNIVERSE)
    if scan is None:
        return None
    past = scan.filter(pl.col(tables.VENUE) == venue, pl.col("as_of_ms") <= at_ms)
    rows = past.filter(pl.col("as_of_ms") == pl.col("as_of_ms").max()).sort("rank").collect()
    if rows.is_empty():
        return None
    members = [
        Member(
            symbol=row[tables.SYMBOL],
            rank=row["rank"],
            quote_volume_24h=row["quote_volume_24h"],
            price=row["price"],
        )
        for row in rows.iter_rows(named=True)
    ]
    return int(rows["as_of_ms"][0]), members


def ever_members(lake: Lake, venue: str, start_ms: int, end_ms: int) -> list[str]:
    """Return every symbol that was a member at some time in ``[start_ms, end_ms)``, sorted.

    A training over that time uses all of them, those that have left as well: leaving out the ones
    that fell is survivorship bias.
    """
    scan = lake.delta.scan(tables.UNIVERSE)
    first = history(lake, venue, start_ms)
    symbols = {m.symbol for m in first[1]} if first else set()
    if scan is not None:
        inside = pl.col("as_of_ms").is_between(start_ms, end_ms, closed="left")
        rows = scan.filter(pl.col(tables.VENUE) == venue, inside).select(tables.SYMBOL).collect()
        symbols |= set(rows[tables.SYMBOL])
    return sorted(symbols)


def memberships(lake: Lake, venue: str) -> tuple[int | None, dict[str, list[Window]]]:
    """Return when the first choice was made, and when each symbol was a member since.

    Times are ``[start, end)``; the last choice holds until the next, and until ``FAR_MS`` where it
    is the newest. Before the first choice nobody's membership is known.
    """
    scan = lake.delta.scan(tables.UNIVERSE)
    if scan is None:
        return None, {}
    rows = scan.filter(pl.col(tables.VENUE) == venue).select("as_of_ms", tables.SYMBOL).collect()
    times = sorted(set(rows["as_of_ms"].to_list()))
    ends = dict(zip(times, [*times[1:], FAR_MS], strict=True))
    spans: dict[str, list[Window]] = {}
    for start, symbol in rows.sort("as_of_ms").iter_rows():
        mine = spans.setdefault(symbol, [])
        if mine and mine[-1][1] == start:
            mine[-1] = (mine[-1][0], ends[start])
        else:
            mine.append((start, ends[start]))
    return (times[0] if times else None), spans
