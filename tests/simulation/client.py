"""ccxt on a simulated network: its session and its sockets replaced, the rest of it real.

Decides nothing. ccxt's own code builds, signs, sends and judges every request (`fetch` included);
what stands in for aiohttp's session hands the request to the venue's port. Sockets are replaced
where a subscription is asked for: frames come in through ccxt's `handle_message`. Rule: the fence
around signing is the executor's, so nothing here may take a time or make a signature.
"""

from types import TracebackType
from typing import Any

from executor.venue import lean_ccxt
from tests.simulation.lines import Line
from tests.simulation.loop import PROCESS
from tests.simulation.venue_port import Reply, VenuePort

CONNECT_S = 0.05


class Session:
    """Stands in for an aiohttp session."""

    def __init__(self, process: Any, venue: VenuePort) -> None:
        self._process = process
        self._venue = venue
        self.headers: dict[str, str] = {}

    def get(self, url: Any, **how: Any) -> "Asking":
        """Ask."""
        return Asking(self, "GET", url, how)

    def post(self, url: Any, **how: Any) -> "Asking":
        """Change."""
        return Asking(self, "POST", url, how)

    async def ask(self, method: str, url: Any, how: dict[str, Any]) -> Reply:
        """Send a request over the port."""
        timeout = how["timeout"].total
        return await self._venue.ask(
            self._process, method, str(url), how["headers"], how["data"], timeout
        )


class Asking:
    """One request as a context manager."""

    def __init__(self, session: Session, method: str, url: Any, how: dict[str, Any]) -> None:
        self._session = session
        self._asked = (method, url, how)

    async def __aenter__(self) -> Reply:
        return await self._session.ask(*self._asked)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class OnPort:
    """Mixin over a ccxt.pro class: no socket is ever opened."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]  # ccxt
        process: Any = PROCESS.get()
        self.process = process
        self.venue: VenuePort = process.world.venue
        self.own_session = False
        self.ssl_context = False
        self.session = Session(process, self.venue)

    def __del__(self) -> None:
        """A process that was killed closed nothing; ccxt's complaint about it is not wanted."""

    async def authenticate(self, url: str, params: Any = None) -> None:
        """Log in to the private stream; the venue core's own check is for REST alone."""

    async def watch_topics(self, url: str, hashes: Any, topics: Any, params: Any = None) -> None:
        """Listen until the socket is closed."""
        venue, loop, process = self.venue, self.process.loop, self.process
        process.faults.touch(process, "socket")
        await process.clock.sleep(CONNECT_S)
        errors: Any = lean_ccxt.errors()
        if loop.time() < venue.out_until:
            raise errors.NetworkError("the venue does not answer")
        line = Line(
            process=process,
            url=url,
            topics=set(topics),
            deliver=self.handle_message,  # type: ignore[attr-defined]  # ccxt
            watched=venue.lines.received,
            closed=loop.create_future(),
        )
        venue.lines.lines.append(line)
        try:
            self.handle_message(line, {"op": "subscribe", "success": True})  # type: ignore[attr-defined]  # ccxt
            await line.closed
        finally:
            line.is_open = False
            if line in venue.lines.lines:
                venue.lines.lines.remove(line)
        raise errors.NetworkError("the socket was closed")


REAL = lean_ccxt.exchange_class
_MADE: dict[str, type[Any]] = {}


def exchange_class(venue: str) -> type[Any]:
    """Return ccxt's class on a simulated network."""
    if venue not in _MADE:
        _MADE[venue] = type(f"Simulated_{venue}", (OnPort, REAL(venue)), {})
    return _MADE[venue]
