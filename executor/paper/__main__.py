"""``tribar-paper``: the paper exchange as a program.

Decides how it starts and stops. Never anything about the market. Rule: bad input is one line on
stderr and exit code 2; SIGTERM and SIGINT end it with 0; stdout has one JSON line when it listens.
"""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from contextlib import suppress

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from executor.paper import needs  # noqa: F401 - first: it says what is missing
from executor.paper.assembly import Assembly, assemble
from executor.paper.clock import Clock
from executor.paper.server import application
from executor.paper.settings import Settings, parse
from features.errors import InputError

SHUTDOWN_SECONDS = 2.0
FILES_MOST = 65_536


def main() -> None:
    """Run the paper exchange until it is told to stop."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run with a command line and return the exit code."""
    try:
        settings = parse(arguments)
        listener = bind(settings)
        parts = assemble(settings, Clock())
    except (InputError, OSError) as error:
        sys.stderr.write(f"tribar-paper: {' '.join(str(error).split())}\n")
        return 2
    allow_sockets()
    gc.freeze()  # the market lives as long as the process: no collection need look at it
    asyncio.run(serve(parts, listener))
    return 0


def allow_sockets() -> None:
    """Let the process have as many sockets as the system grants it, up to ``FILES_MOST``."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MOST if most == resource.RLIM_INFINITY else min(most, FILES_MOST)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def bind(settings: Settings) -> socket.socket:
    """Return a listening socket, or refuse a port that is taken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        place = f"{settings.host}:{settings.port}"
        raise InputError(f"cannot listen on {place}: {error.strerror}; try --port 0") from error
    return listener


def addresses(listener: socket.socket) -> dict[str, str | bool]:
    """Return what a client needs to know."""
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}"
    return {
        "ready": True,
        "url": url,
        "ws": f"ws://{host}:{port}",
        "acknowledge_url": f"{url}/__paper/acknowledge",
    }


def snippet(url: str, ws: str, settings: Settings) -> str:
    """Return the lines that connect an unmodified ccxt to this exchange."""
    account = settings.accounts[0]
    return f"""
{len(settings.symbols)} symbols, {settings.interval} bars. Status page: {url}/
Connect with ccxt (Ctrl-C stops the exchange):

import ccxt.pro
exchange = ccxt.pro.bybit({{"apiKey": "{account.api_key}", "secret": "{account.secret}",
    "options": {{"fetchMarkets": {{"types": ["linear"]}}, "defaultType": "swap"}},
    "urls": {{"api": {{"public": "{url}", "private": "{url}", "ws": {{
        "public": {{"linear": "{ws}/v5/public/linear"}},
        "private": {{"contract": "{ws}/v5/private", "trade": "{ws}/v5/trade"}}}}}}}}}})
"""


def is_ours(record: logging.LogRecord) -> bool:
    """Say whether a log record is about us, and not about a request that is no HTTP."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve(parts: Assembly, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.getLogger("aiohttp.server").addFilter(is_ours)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    runner = web.AppRunner(
        application(parts),
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    where = addresses(listener)
    sys.stdout.write(orjson.dumps(where).decode() + "\n")
    sys.stdout.flush()
    if sys.stderr.isatty():
        sys.stderr.write(snippet(str(where["url"]), str(where["ws"]), parts.exchange.settings))
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    main()
