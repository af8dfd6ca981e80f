"""The sockets: which topics are subscribed, and what a frame means to the executor.

Decides how frames become candles and core events, in the order they arrived. Never reconnects by
itself and never drops a frame that it could read. Rule: a frame that cannot be read is reported
as :class:`Unreadable` on the same queue, so that a snapshot by REST follows; nothing is guessed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from executor.clock import Clock
from executor.core.events import FillReceived, FundingPaid, OrderUpdated
from executor.errors import RetryableError, VenueError
from executor.venue import lean_ccxt
from executor.venue import rows as venue_rows
from executor.venue.client import SUBSCRIBED
from executor.venue.errors import classify
from features.types import Candle

RECONNECT_FIRST_S: Final = 0.2
RECONNECT_MOST_S: Final = 10.0
RECONNECT_CALM_S: Final = 60.0
PRIVATE_TOPICS: Final = ("order", "execution", "position", "wallet")

log = structlog.get_logger("streams")


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePushed:
    """A bar as it stands at the moment; ``confirmed`` where the venue calls these values final.

    ``sent_ms`` is the venue's time of sending, 0 where it did not say.
    """

    symbol: str
    candle: Candle
    confirmed: bool
    sent_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionPushed:
    """What the venue holds of a symbol now; signed, 0 where it is flat."""

    symbol: str
    quantity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A socket is subscribed, for the first time or again: what happened before is unknown."""

    private: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A frame that could not be read."""

    topic: str
    reason: str


StreamEvent = (
    CandlePushed
    | FillReceived
    | FundingPaid
    | OrderUpdated
    | PositionPushed
    | Subscribed
    | Unreadable
)
Emit = Callable[[StreamEvent], None]


def deliver(emit: Emit, topic: str, message: Mapping[str, Any]) -> None:
    """Turn one frame into events and emit them."""
    if topic == SUBSCRIBED:
        emit(Subscribed(private=bool(message["private"])))
        return
    data = message.get("data")
    if not isinstance(data, list):
        emit(Unreadable(topic=topic, reason="the frame holds no list of rows"))
        return
    if topic.startswith("wallet"):
        return  # sizes come from the ledger; the balance is compared by the reconciler
    sent_ms = message.get("ts")
    for row in data:
        if not isinstance(row, Mapping):
            emit(Unreadable(topic=topic, reason="a row is not an object"))
            continue
        try:
            event = _event(topic, row, sent_ms if isinstance(sent_ms, int) else 0)
        except RetryableError as error:
            emit(Unreadable(topic=topic, reason=str(error)))
        else:
            if event is not None:
                emit(event)


def _event(topic: str, row: venue_rows.Row, sent_ms: int) -> StreamEvent | None:
    """Return the event of one row, None where it concerns nobody."""
    if topic.startswith("kline."):
        return CandlePushed(
            symbol=topic.rpartition(".")[2],
            candle=venue_rows.pushed_candle(row),
            confirmed=row.get("confirm") is True,
            sent_ms=sent_ms,
        )
    if row.get("category", "linear") != "linear":
        return None
    if topic.startswith("execution"):
        return venue_rows.execution(row)
    if topic.startswith("position"):
        symbol, quantity = venue_rows.held(row)
        return PositionPushed(symbol=symbol, quantity=quantity)
    update = venue_rows.order_update(row)
    return update if update.client_order_id else None


async def watch_candles(client: Any, names: list[str], symbols: list[str], interval: str) -> None:
    """Subscribe to the bars of ``symbols``; ends only by raising at a disconnect."""
    frame = str(client.timeframes[interval])
    topics = [f"kline.{frame}.{symbol}" for symbol in symbols]
    try:
        url = await client.get_url_by_market_type(names[0], False, "watchOHLCVForSymbols")
        await client.watch_topics(url, topics, topics)
    except lean_ccxt.errors().BaseError as error:
        raise classify(error, change=False) from error
    raise RetryableError("the candle stream ended")


async def unwatch_candles(client: Any, names: list[str], symbols: list[str], interval: str) -> None:
    """Tell the socket that the bars of ``symbols`` are not wanted any more, where it is open.

    ccxt's futures of the topics stay: a disconnect is told to whoever watches through them.
    """
    frame = str(client.timeframes[interval])
    topics = [f"kline.{frame}.{symbol}" for symbol in symbols]
    try:
        url = await client.get_url_by_market_type(names[0], False, "watchOHLCVForSymbols")
        socket = client.client(url)
        known = [topic for topic in topics if socket.subscriptions.pop(topic, None)]
        if known and socket.connection is not None:
            await socket.send({"op": "unsubscribe", "args": known})
    except (lean_ccxt.errors().BaseError, OSError) as error:
        log.warning("not_unsubscribed", symbols=symbols, error=str(error))


async def watch_account(client: Any, name: str) -> None:
    """Subscribe to orders, executions, positions and wallet; ends only by raising."""
    try:
        url = await client.get_url_by_market_type(name, True, "watchOrders")
        await client.authenticate(url)
        await client.watch_topics(url, ["account"], list(PRIVATE_TOPICS))
    except lean_ccxt.errors().BaseError as error:
        raise classify(error, change=False) from error
    raise RetryableError("the account stream ended")


async def keep_watching(clock: Clock, watch: Callable[[], Awaitable[None]]) -> None:
    """Subscribe again whenever a socket is lost, after a pause that doubles up to 10 s."""
    pause_s = RECONNECT_FIRST_S
    while True:
        began = clock.monotonic()
        try:
            await watch()
        except VenueError as error:
            log.warning("stream_lost", error=str(error))
        calm = clock.monotonic() - began > RECONNECT_CALM_S
        pause_s = RECONNECT_FIRST_S if calm else min(2 * pause_s, RECONNECT_MOST_S)
        await clock.sleep(pause_s)
