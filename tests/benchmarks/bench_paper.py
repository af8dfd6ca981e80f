"""The paper exchange under load: 600 symbols of 1m bars at 60 times real time, ten clients.

As a program, ``python -m tests.benchmarks.bench_paper FOLDER REPS``, it starts the exchange, one
process of listeners and one of traders, and measures the exchange's process from outside: memory,
messages for each second of its CPU time, and how long an order waits for its acknowledgement.
Waits are wall time, so what else runs on the machine is in them: how late the traders' own process
sent its orders says how much.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from tests.benchmarks.environments import ROOT
from tests.benchmarks.measure import report, versions
from tests.benchmarks.suite import Contender, Report, Row

SYMBOLS, CLIENTS, RATE = 600, 10, 200
WARM_SECONDS, SECONDS = 8.0, 20.0
RSS_MOST, FAN_OUT_LEAST, ACK_MOST = 300e6, 20_000, 0.020


@dataclass(frozen=True)
class Load:
    """How much is asked of the exchange, and for how long."""

    symbols: int = SYMBOLS
    clients: int = CLIENTS
    rate: int = RATE
    warm_seconds: float = WARM_SECONDS
    seconds: float = SECONDS

    @property
    def keys(self) -> list[str]:
        """The keys of the accounts, which are their secrets too."""
        return ["paper", *(f"key{number}" for number in range(1, self.clients))]

    @property
    def names(self) -> list[str]:
        """The symbols that are traded."""
        return [f"S{number:03d}USDT" for number in range(self.symbols)]

    def command(self) -> list[str]:
        """Return the command line of the exchange."""
        accounts = [f"--account=a{key}:{key}:{key}:1000000" for key in self.keys[1:]]
        return [
            *(sys.executable, "-m", "executor.paper", "--port", "0", "--symbols"),
            *(",".join(self.names), "--interval", "1m", "--speed", "60", "--rate-limits", "none"),
            *("--balance", "1000000", *accounts),
        ]


@contextmanager
def exchange(load: Load) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run the exchange and give its process and its addresses."""
    with subprocess.Popen(load.command(), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(20)


def described(where: dict[str, Any], load: Load) -> dict[str, Any]:
    """Return what the clients need to know."""
    path = "/v5/market/instruments-info?category=linear&limit=1000"
    with urlopen(where["url"] + path, timeout=30) as reply:
        rows = json.load(reply)["result"]["list"]
    with urlopen(where["url"] + "/v5/market/tickers?category=linear", timeout=30) as reply:
        last = {row["symbol"]: row for row in json.load(reply)["result"]["list"]}
    lots, low = {}, {}
    for row in rows:
        symbol, price = row["symbol"], float(last[row["symbol"]]["lastPrice"])
        step = float(row["lotSizeFilter"]["qtyStep"])
        tick = row["priceFilter"]["tickSize"]
        places = len(tick.partition(".")[2])
        lots[symbol] = f"{(int(12 / price / step) + 1) * step:.3f}"
        low[symbol] = f"{price * 0.6:.{places}f}"
    return {
        "url": where["url"],
        "ws": where["ws"],
        "symbols": load.names,
        "code": "1",
        "lots": lots,
        "low": low,
        "keys": load.keys,
        "clients": load.clients,
        "rate": load.rate,
        "warm_seconds": load.warm_seconds,
        "seconds": load.seconds,
    }


def client(part: str, told: dict[str, Any]) -> dict[str, Any]:
    """Run one program of clients and return what it found."""
    command = [sys.executable, "-m", "tests.benchmarks.paper_clients", part, json.dumps(told)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{part}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


def percentile(values: list[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measured(load: Load) -> dict[str, float]:
    """Run the whole load once and return its figures, SI units."""
    with exchange(load) as (process, where), ThreadPoolExecutor(2) as pool:
        watched = psutil.Process(process.pid)
        told = described(where, load)
        parts: list[Future[dict[str, Any]]] = [
            pool.submit(client, part, told) for part in ("listen", "trade")
        ]
        time.sleep(load.warm_seconds)
        begun, used = time.perf_counter(), sum(watched.cpu_times()[:2])
        rss: list[int] = []
        while time.perf_counter() - begun < load.seconds:
            rss.append(watched.memory_info().rss)
            time.sleep(0.2)
        cpu = (sum(watched.cpu_times()[:2]) - used) / (time.perf_counter() - begun)
        heard, traded = (part.result() for part in parts)
        rss.append(watched.memory_info().rss)
    klines = heard["messages"] / heard["seconds"]
    return {
        "rss": float(max(rss)),
        "cpu": cpu,
        "klines": klines,
        "fan_out": klines / cpu,
        "ack_p50": statistics.median(traded["due"]),
        "ack_p99": percentile(traded["due"], 0.99),
        "ack_most": max(traded["due"]),
        "sent_p99": percentile(traded["sent"], 0.99),
        "late_p99": percentile(
            [due - sent for due, sent in zip(traded["due"], traded["sent"], strict=True)], 0.99
        ),
        "orders": traded["orders"],
        "refused": sum(traded["refused"].values()),
        "private": traded["private"],
    }


def run(folder: Path, rounds: int, reps: int) -> Report:
    """Measure ours; there is no peer that speaks Bybit v5 with private streams."""
    conditions = (
        f"{SYMBOLS} symbols, 1m at 60×, {CLIENTS} clients, {RATE} orders/s for {SECONDS:g} s"
    )
    found = Report(f"paper exchange: {conditions}")
    command = ("-m", "tests.benchmarks.bench_paper", str(folder), str(reps))
    found.measure([Contender("ours", command)], min(rounds, 1))
    if "paper" not in found.cases:
        return found
    figures = found.cases["paper"]
    rss, fan, p99 = figures["rss"], figures["fan_out"], figures["ack_p99"]
    found.rows += [
        Row("resident memory, most", f"{rss / 1e6:.0f} MB", "≤ 300 MB", rss <= RSS_MOST),
        Row("klines sent", f"{figures['klines']:,.0f}/s at {figures['cpu']:.0%} of a core"),
        Row("klines for a second of CPU", f"{fan:,.0f}", "≥ 20,000", fan >= FAN_OUT_LEAST),
        Row("order acknowledged, median", f"{figures['ack_p50'] * 1e3:.1f} ms"),
        Row("order acknowledged, p99", f"{p99 * 1e3:.1f} ms", "≤ 20 ms", p99 <= ACK_MOST),
        Row("order acknowledged, longest", f"{figures['ack_most'] * 1e3:.1f} ms"),
        Row("the machine: orders sent late, p99", f"{figures['late_p99'] * 1e3:.1f} ms"),
    ]
    return found


if __name__ == "__main__":
    figures = measured(Load())
    report("paper", 1.0, units=1, reps=1, **figures, versions=versions("aiohttp", "orjson"))
