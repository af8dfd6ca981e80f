"""The paper exchange for tests: as a program of its own, or inside the test's event loop.

``paper_program(...)`` starts ``python -m executor.paper`` on a free port, waits for its ready line
with a bound and always stops it. ``paper_here(...)`` is an async context manager that serves the
same thing in this process: faster, and its venue can be looked into.
"""

import asyncio
import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import polars as pl
from aiohttp import web

from executor.paper.__main__ import addresses, bind
from executor.paper.assembly import assemble
from executor.paper.clock import Clock
from executor.paper.commands import Commands
from executor.paper.conductor import Conductor
from executor.paper.exchange import Exchange
from executor.paper.mover import Mover
from executor.paper.server import application
from executor.paper.settings import parse

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
START_MS = 1_700_006_400_000  # 2023-11-15T00:00Z, the opening of a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A running paper exchange."""

    url: str
    ws: str
    acknowledge_url: str
    api_key: str = "paper"
    secret: str = "paper"

    def ccxt_config(self, **extra: Any) -> dict[str, Any]:
        """Return what unmodified ``ccxt.pro.bybit`` needs to connect here."""
        config: dict[str, Any] = {
            "apiKey": self.api_key,
            "secret": self.secret,
            "enableRateLimit": False,
            "options": {"fetchMarkets": {"types": ["linear"]}, "defaultType": "swap"},
            "urls": {
                "api": {
                    "public": self.url,
                    "private": self.url,
                    "ws": {
                        "public": {"linear": f"{self.ws}/v5/public/linear"},
                        "private": {
                            "contract": f"{self.ws}/v5/private",
                            "trade": f"{self.ws}/v5/trade",
                        },
                    },
                }
            },
        }
        return config | extra


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperHere(Paper):
    """A paper exchange in this process."""

    exchange: Exchange
    mover: Mover
    conductor: Conductor
    commands: Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperProgram(Paper):
    """A paper exchange in a process of its own."""

    process: subprocess.Popen[str]


@contextlib.contextmanager
def paper_program(*arguments: str, python: str = sys.executable) -> Iterator[PaperProgram]:
    """Run the paper exchange as a program with these command line arguments."""
    command = [python, "-m", "executor.paper", "--port", "0", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        ready = json.loads(_first_line(process))
        yield PaperProgram(
            url=ready["url"],
            ws=ready["ws"],
            acknowledge_url=ready["acknowledge_url"],
            process=process,
        )
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if select.select([process.stdout], [], [], 0.1)[0]:
            line = process.stdout.readline()
            if line:
                return line
        if process.poll() is not None:
            raise AssertionError(f"the paper exchange ended: {process.stderr.read()}")
    raise AssertionError(f"the paper exchange was not ready after {READY_SECONDS:g} s")


@contextlib.asynccontextmanager
async def paper_here(*arguments: str) -> AsyncIterator[PaperHere]:
    """Serve the paper exchange in the running event loop."""
    settings = parse(["--port", "0", *arguments])
    parts = assemble(settings, Clock())
    listener = bind(settings)
    runner = web.AppRunner(application(parts), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    where = addresses(listener)
    try:
        yield PaperHere(
            url=str(where["url"]),
            ws=str(where["ws"]),
            acknowledge_url=str(where["acknowledge_url"]),
            exchange=parts.exchange,
            mover=parts.mover,
            conductor=parts.conductor,
            commands=parts.commands,
        )
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until ``condition()`` holds; fail after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it may be anything
            await asyncio.sleep(0.005)


async def acknowledge(
    paper: Paper, close_ms: int, client: str = "test", **more: Any
) -> dict[str, Any]:
    """Report ``close_ms`` done and return the reply."""
    body = {"client": client, "close_ms": close_ms, **more}
    async with (
        aiohttp.ClientSession() as session,
        session.post(paper.acknowledge_url, json=body) as reply,
    ):
        return dict(await reply.json())


def write_market(
    folder: Path,
    bars: dict[str, Sequence[tuple[float, float, float, float]]],
    *,
    interval_ms: int = 900_000,
    interval: str = "15m",
    start_ms: int = START_MS,
    funding: dict[str, Sequence[tuple[int, float]]] | None = None,
) -> Path:
    """Write (open, high, low, close) bars and (time_ms, rate) settlements as replay files."""
    for symbol, rows in bars.items():
        values = np.array(rows, dtype=float)
        pl.DataFrame(
            {
                "timestamp": start_ms + interval_ms * np.arange(len(rows), dtype=np.int64),
                "open": values[:, 0],
                "high": values[:, 1],
                "low": values[:, 2],
                "close": values[:, 3],
                "volume": np.full(len(rows), 100.0),
            }
        ).write_parquet(folder / f"{symbol}-{interval}.parquet")
    for symbol, payments in (funding or {}).items():
        pl.DataFrame(
            {
                "timestamp": np.array([time_ms for time_ms, _ in payments], dtype=np.int64),
                "funding_rate": np.array([rate for _, rate in payments], dtype=float),
            }
        ).write_parquet(folder / f"{symbol}-funding.parquet")
    return folder


def wandering(
    seed: int, count: int, price: float = 100.0, tick: float = 0.1
) -> list[tuple[float, float, float, float]]:
    """Return ``count`` bars of a random walk on a tick of ``tick``."""
    rng = np.random.default_rng(seed)
    closes = price * np.exp(np.cumsum(rng.normal(0.0, 0.004, count)))
    opens = np.concatenate([[price], closes[:-1]])
    reach = price * np.abs(rng.normal(0.0, 0.002, (2, count)))
    highs = np.maximum(opens, closes) + reach[0]
    lows = np.minimum(opens, closes) - reach[1]
    scale = round(1 / tick)
    rows = np.rint(np.column_stack([opens, highs, lows, closes]) * scale) / scale
    return [(float(o), float(h), float(low), float(c)) for o, h, low, c in rows]
