"""ccxt with three seams: what is signed, what is accepted as a reply, what the sockets bring.

Decides that a change is signed only with a timestamp that was checked against the lease
(reliability.md A1: timestamp first, then the check, then the signature over that very number), that
an HTTP 200 which is not the venue's envelope is an outage, and that every frame of our topics is
handed on in order of arrival (ccxt's own caches coalesce, and its watch calls can miss a wake-up).
Rule: no other module makes a ccxt object; nothing signs a POST outside of :meth:`Seams.sign`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from executor.clock import Clock
from executor.settings.sections import Venue
from executor.venue import lean_ccxt

Sink = Callable[[str, Mapping[str, Any]], None]
Fence = Callable[[str, Mapping[str, Any]], None]

TOPICS: Final = ("kline.", "order", "execution", "position", "wallet")
SUBSCRIBED: Final = "subscribed"
# Bybit takes 600 requests in 5 s from one address. ccxt lets 600 of cost 5 pass in a minute, and a
# start with 200 symbols, or funding soon after it, waits for the rest of that minute. This is 400
# in 5 s for the market; the account's calls have a pace of their own.
MARKET_PACE: Final[Mapping[str, Any]] = {"rollingWindowSize": 5_000, "rateLimit": 2.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """What one ccxt object is given: a clock, a fence for changes, and where frames go."""

    clock: Clock
    fence: Fence
    sink: Sink


class Seams:
    """Mixin over a ccxt.pro class; the order of the checks in :meth:`sign` is the whole point."""

    seam: Seam
    signing_ms: int | None = None

    def milliseconds(self) -> int:
        """Return wall time from the clock port; ccxt takes every time from here."""
        return self.seam.clock.now_ms()

    def nonce(self) -> int:
        """Return the timestamp that was checked, while a change is being signed."""
        if self.signing_ms is not None:
            return self.signing_ms
        number: int = super().nonce()  # type: ignore[misc]  # ccxt
        return number

    def sign(
        self, path: str, api: Any = "public", method: str = "GET", *rest: Any, **kw: Any
    ) -> Any:
        """Sign a request; a change only if the fence lets its timestamp pass."""
        if method != "POST":
            return super().sign(path, api, method, *rest, **kw)  # type: ignore[misc]  # ccxt
        self.signing_ms = super().nonce()  # type: ignore[misc]  # ccxt
        try:
            self.seam.fence(path, rest[0] if rest else kw.get("params", {}))
            return super().sign(path, api, method, *rest, **kw)  # type: ignore[misc]  # ccxt
        finally:
            self.signing_ms = None

    async def fetch(self, url: str, *args: Any, **kw: Any) -> Any:
        """Send a request; a reply without the venue's envelope is an outage, not an answer."""
        reply = await super().fetch(url, *args, **kw)  # type: ignore[misc]  # ccxt
        if not isinstance(reply, dict) or "retCode" not in reply:
            raise lean_ccxt.errors().ExchangeNotAvailable(f"reply of {url} is not the venue's")
        return reply

    def handle_message(self, client: Any, message: Any) -> None:
        """Hand frames of our topics on; let ccxt handle the rest (pong, auth, errors)."""
        if isinstance(message, dict):
            topic = message.get("topic")
            if isinstance(topic, str) and topic.startswith(TOPICS):
                self.seam.sink(topic, message)
                return
            if message.get("op") == "subscribe" and message.get("success") is True:
                self.seam.sink(SUBSCRIBED, {"private": "private" in client.url})
        super().handle_message(client, message)  # type: ignore[misc]  # ccxt


def build(venue: str, seam: Seam, config: Mapping[str, Any]) -> Any:
    """Return a ccxt object of ``venue`` with the seams in place."""
    kind = type(f"Seamed_{venue}", (Seams, lean_ccxt.exchange_class(venue)), {})
    made: Any = kind(dict(config))
    made.seam = seam
    return made


def configuration(settings: Venue, *, private: bool) -> dict[str, Any]:
    """Return ccxt's configuration; keys only where requests are signed."""
    config: dict[str, Any] = {
        "timeout": settings.timeout_ms,
        "enableRateLimit": not private,
        "rateLimiterAlgorithm": "rollingWindow",
        "has": {"fetchCurrencies": False},
        "options": {
            "defaultType": "swap",
            "fetchMarkets": {"types": ["linear"]},
            "recvWindow": settings.recv_window_ms,
            "enableUnifiedMargin": False,
            "enableUnifiedAccount": True,
            "unifiedMarginStatus": 6,
            "maxRetriesOnFailure": 0,
        },
    }
    if not private:
        config |= MARKET_PACE
    else:  # paced by `calls`, where exits wait for nobody; ccxt's window would let them wait
        config["apiKey"] = settings.api_key.get_secret_value()
        config["secret"] = settings.api_secret.get_secret_value()
    if settings.url:
        streams = {"public": {"linear": settings.ws_url + "/v5/public/linear"}}
        streams["private"] = {"contract": settings.ws_url + "/v5/private"}
        config["urls"] = {"api": {"public": settings.url, "private": settings.url, "ws": streams}}
    return config
