"""What the program prints and what README shows connects, executed as it stands there."""

import contextlib
import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paper import STOP_SECONDS, paper_program

pytestmark = [pytest.mark.servers, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--history", "200", "--bars", "50", "--rate-limits", "none")
WAIT_SECONDS = 30.0
# What a first bot does: see the market, trade, and hear of its trade.
BOT = """
import asyncio

async def bot():
    await exchange.load_markets()
    bars = await exchange.watch_ohlcv("BTC/USDT:USDT", "15m")
    trades = asyncio.create_task(exchange.watch_my_trades())
    placed = []
    while not trades.done() and len(placed) < 20:  # the stream may not have been open at first
        order = await exchange.create_order("BTC/USDT:USDT", "market", "buy", 0.01)
        placed.append(order["id"])
        await asyncio.wait([trades], timeout=1)
    position, = await exchange.fetch_positions()
    await exchange.close()
    print(len(bars) > 0, trades.result()[0]["order"] in placed,
          round(position["contracts"] / 0.01) == len(placed))

asyncio.run(bot())
"""


def run_as_printed(lines: str) -> list[str]:
    """Run the lines and then the bot in an interpreter of their own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", lines + BOT], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@contextlib.contextmanager
def on_a_terminal(*arguments: str) -> Iterator[str]:
    """Run the exchange as on a terminal and give what it printed there when it was ready."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "executor.paper", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        yield _printed(master)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
        os.close(master)


def _printed(master: int) -> str:
    text, end = b"", time.monotonic() + WAIT_SECONDS
    while b"})\r\n" not in text:
        assert time.monotonic() < end, text
        if select.select([master], [], [], 0.1)[0]:
            text += os.read(master, 65536)
    return text.decode().replace("\r\n", "\n")


def test_the_snippet_that_the_program_prints_connects() -> None:
    with on_a_terminal(*SMALL, "--speed", "60") as text:
        assert "Status page: http://127.0.0.1:" in text
        assert run_as_printed(text[text.index("import ccxt.pro") :]) == ["True"] * 3


def test_readmes_five_lines_connect() -> None:
    section = (ROOT / "README.md").read_text().split("## Point your own bot")[1]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    lines = block[1]
    assert len(lines.splitlines()) == 5
    command = re.search(r"tribar-paper --port (\d+) (.*)", lines)
    assert command is not None
    port = command[1] if is_free(int(command[1])) else "0"
    with paper_program("--port", port, *command[2].split(), *SMALL) as paper:
        lines = lines.replace(f"127.0.0.1:{command[1]}", paper.url.removeprefix("http://"))
        assert run_as_printed(lines) == ["True"] * 3


LOCKSTEP_BOT = """
async def bot():
    await exchange.load_markets()
    closes, fills = [], set()
    trades = asyncio.create_task(heard(fills))
    async for bar in closed_bars(exchange, SYMBOL, "15m", URL):
        closes.append(bar[0])
        if len(closes) % 5 == 1:
            side = "sell" if len(closes) % 10 == 1 else "buy"
            await exchange.create_order(SYMBOL, "market", side, 0.01)
    trades.cancel()
    await exchange.close()
    steps = {after - before for before, after in zip(closes, closes[1:])}
    print(len(closes), steps == {900_000}, len(fills))

async def heard(fills):
    while True:
        fills.update(trade["id"] for trade in await exchange.watch_my_trades())

import asyncio
asyncio.run(bot())
"""


def test_the_lockstep_of_the_documentation_misses_no_bar() -> None:
    page = (ROOT / "docs/PAPER-EXCHANGE.md").read_text()
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    with paper_program(*SMALL, "--speed", "lockstep") as paper:
        lines = f"""
import ccxt.pro
exchange = ccxt.pro.bybit({paper.ccxt_config()!r})
SYMBOL, URL = "BTC/USDT:USDT", {paper.acknowledge_url!r}
"""
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", lines + block[1] + LOCKSTEP_BOT],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[:2] == ["50", "True"]
        assert 8 <= int(done.stdout.split()[2]) <= 10  # the stream may open after the first ones
        assert time.monotonic() - begun < 60


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
