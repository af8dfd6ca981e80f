"""The executor as a program: from the kline frame on the socket to the order on the socket.

As a program, ``python -m tests.benchmarks.bench_executor CASE FOLDER``, it serves the paper
exchange in its own event loop: one clock reads when a frame leaves and when the bytes of the order
that it led to arrive. Everything between is the executor's: parsing, features, decision, the
journal's fsync, signing. Waits are wall time, so what else runs on the machine is in them; the
fsync stands beside.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from aiohttp.web_protocol import RequestHandler

from executor.core.bundle import pack
from tests.benchmarks.bench_paper import percentile
from tests.benchmarks.measure import report, versions
from tests.benchmarks.suite import Contender, Report, Row
from tests.support.bundles import (
    INTERVAL_MS,
    SIGNAL,
    START_MS,
    manifest_of,
    small_market,
    train_part,
    training_rows,
)
from tests.support.executor_program import ExecutorProgram
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import PaperHere, paper_here
from tests.support.servers import started

HISTORY = 5_400  # more than a warm-up reads
BARS, BARS_WIDE, IDLE_SECONDS = 1_000, 40, 20.0
SETTLED_MS, SETTLED_SECONDS = 28_800_000, 10.0
# Between bars, with few and with many symbols: more calls a second than a bot allows itself, which
# an accelerated market makes it ask for, would wait their turn.
REST_SECONDS, REST_WIDE_SECONDS = 0.06, 1.0
PLACE = "/v5/order/create"
PLACE_BYTES = f"POST {PLACE}".encode()
WIDE, LISTED, IDLE = 200, 220, 50


def names(count: int) -> tuple[str, ...]:
    """Return symbols of which the first three are those the small model knows."""
    return ("AAAUSDT", "BBBUSDT", "CCCUSDT", *(f"S{n:03d}USDT" for n in range(count)))[:count]


def eager_bundle(symbols: tuple[str, ...]) -> dict[str, bytes]:
    """Return a model that enters at every signal and leaves a bar later: an order a bar."""
    market = small_market()
    rows, outcomes = training_rows(market, "none")
    covered = {symbol: {"history_days": 400.0, "coverage": 1.0} for symbol in symbols}
    barriers = {"profit": 0.02, "loss": 0.01, "horizon_bars": 1, "volatility_scaled": False}
    signal = asdict(replace(SIGNAL, momentum_threshold=0.002, min_confidence_threshold=0.2))
    manifest = manifest_of(
        market, encoding="none", symbols=covered, barriers=barriers, signal=signal, kappa=0.0
    )
    return pack(manifest, {"": train_part(rows, outcomes)})


@dataclass
class Stopwatch:
    """Reads the clock where frames leave the exchange and where orders and reports arrive."""

    rest_seconds: float
    first: float = 0.0
    last: float = 0.0
    step: list[float] = field(default_factory=list)
    orders: list[float] = field(default_factory=list)
    closes: list[float] = field(default_factory=list)

    def listen(self, paper: PaperHere) -> None:
        """Stand in the way of what the exchange sends and takes, without changing it."""
        hub, conductor = paper.exchange.hub, paper.conductor
        hub.publish = partial(self._sent, hub.publish)  # type: ignore[method-assign]  # stands in the way
        conductor.acknowledge = partial(self._done, conductor.acknowledge)  # type: ignore[method-assign]  # likewise
        RequestHandler.data_received = self._received(RequestHandler.data_received)  # type: ignore[method-assign]  # likewise
        conductor.pace.begin = partial(self._rested, conductor.pace.begin)  # type: ignore[method-assign]  # likewise
        hub.barrier = partial(self._settled, hub.barrier, conductor.mover)  # type: ignore[method-assign]  # likewise

    def _sent(self, publish: Callable[..., None], topic: str, message: Any) -> None:
        if topic.startswith("kline"):
            now = time.perf_counter()
            if message["data"][0]["confirm"] and not self.first:
                self.first = now
            self.last = now
        publish(topic, message)

    async def _rested(self, begin: Callable[[int], Awaitable[bool]], open_ms: int) -> bool:
        await asyncio.sleep(self.rest_seconds)
        return await begin(open_ms)

    async def _settled(self, barrier: Callable[..., Awaitable[Any]], mover: Any, *more: Any) -> Any:
        """Let a bar that begins with a settlement last, as a real one does.

        Settlements are asked for one after another within the bar; in an accelerated market its
        close would wait for all of them.
        """
        is_wide = self.rest_seconds == REST_WIDE_SECONDS  # one symbol asks once, within its rest
        if is_wide and mover.is_open and mover.open_ms % SETTLED_MS == 0:
            await asyncio.sleep(SETTLED_SECONDS)
        return await barrier(*more)

    def _received(self, receive: Callable[..., None]) -> Callable[..., None]:
        def received(handler: "RequestHandler[Any]", data: bytes) -> None:
            if data.startswith(PLACE_BYTES):
                self.step.append(time.perf_counter())
            receive(handler, data)

        return received

    def _done(self, acknowledge: Callable[..., bool], *more: Any, **named: Any) -> bool:
        if self.step:
            self.orders.append(self.step[0] - self.last)
        if self.first:
            self.closes.append((self.step[-1] if self.step else time.perf_counter()) - self.first)
        self.step.clear()
        self.first = 0.0
        return acknowledge(*more, **named)


def arguments(symbols: tuple[str, ...], bars: int, speed: str) -> list[str]:
    """Return the command line of the exchange."""
    return [
        *("--market", "simulated", "--symbols", ",".join(symbols), "--interval", "15m"),
        *(
            "--history",
            str(HISTORY),
            "--start-ms",
            str(START_MS + 4_000 * INTERVAL_MS),
            "--bars",
            str(bars),
        ),
        *("--speed", speed, "--rate-limits", "none", "--balance", "1000000"),
    ]


@dataclass
class Ran:
    """What a run left behind."""

    watch: Stopwatch
    rss: list[int]
    cpu: float
    status: dict[str, Any]


async def ran(
    folder: Path, count: int, bars: int, speed: str, look: Callable[[ExecutorProgram], Any]
) -> Ran:
    """Run the executor on ``count`` symbols; ``look`` waits and says when it is enough.

    Two hundred are chosen by their turnover from all that the exchange lists.
    """
    symbols = names(LISTED if count == WIDE else count)
    watch = Stopwatch(REST_WIDE_SECONDS if count == WIDE else REST_SECONDS)
    universe = {"mode": "auto", "count_max": WIDE, "quote_volume_min": 1.0, "refresh_ms": 5_000}
    with started(folder, "redis") as services:
        async with paper_here(*arguments(symbols, bars, speed)) as paper, FakeMlflow() as mlflow:
            watch.listen(paper)
            mlflow.register(eager_bundle(symbols))
            program = ExecutorProgram(
                folder,
                paper,
                redis_url=services["redis"].url,
                registry_url=mlflow.url,
                symbols=symbols,
                lockstep=speed == "lockstep",
                changes={
                    "universe": universe if count == WIDE else {},
                    "redis": {"heartbeat_interval_ms": 5_000},
                    "guard": {"losses_cool_down": 0, "performance_trades": 0, "daily_loss_max": 1},
                    "regime": {"reach_min": 0.0},
                    "session": {"volume_min": 0.0},
                    "limits": {"repeated_entries_max": 10**6, "model_age_days_max": 10**6},
                    "log": {"level": "WARNING"},
                },
            )
            async with program:
                await program.until(lambda s: s["status"] in {"RUNNING", "DEGRADED"}, "up", 600.0)
                rss, cpu = await look(program)
                _, status = await program.get()
    return Ran(watch=watch, rss=rss, cpu=cpu, status=status)


async def to_the_end(program: ExecutorProgram) -> tuple[list[int], float]:
    """Watch the memory until the market has no more bars."""
    process, rss = psutil.Process(program.pid), []
    while not (await program.get())[1].get("market_finished"):
        rss.append(process.memory_info().rss)
        await asyncio.sleep(1.0)
    return rss, 0.0


async def doing_nothing(program: ExecutorProgram) -> tuple[list[int], float]:
    """Measure the CPU of a program that only listens."""
    await asyncio.sleep(5.0)
    process = psutil.Process(program.pid)
    begun, used = time.perf_counter(), sum(process.cpu_times()[:2])
    await asyncio.sleep(IDLE_SECONDS)
    share = (sum(process.cpu_times()[:2]) - used) / (time.perf_counter() - begun)
    return [process.memory_info().rss], share


def fsync_seconds(folder: Path, count: int = 200) -> float:
    """Return the median time of writing a page to this disk for good."""
    taken = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(count):
            begun = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def one(folder: Path) -> dict[str, float]:
    """One symbol, ten days of bars and an order at almost each."""
    done = asyncio.run(ran(folder, 1, BARS, "lockstep", to_the_end))
    full = done.rss[7 * len(done.rss) // 10] if done.rss else 0  # a week of bars is kept by design
    return {
        "p50": statistics.median(done.watch.orders),
        "p99": percentile(done.watch.orders, 0.99),
        "orders": len(done.watch.orders),
        "fsync": fsync_seconds(folder),
        "grown": done.rss[-1] / max(full, 1) - 1.0 if done.rss else 0.0,
        "rss": max(done.rss, default=0),
        "cold": done.status["executor"]["cold_start_s"],
    }


def wide(folder: Path) -> dict[str, float]:
    """Two hundred symbols that close together."""
    done = asyncio.run(ran(folder, WIDE, BARS_WIDE, "lockstep", to_the_end))
    closes = done.watch.closes[2:]
    universe = done.status["universe"]
    assert len(universe["members"]) == WIDE
    return {
        "p50": statistics.median(closes),
        "most": max(closes),
        "rss": max(done.rss, default=0),
        "scan": universe["scan_s"],
    }


def idle(folder: Path) -> dict[str, float]:
    """Fifty symbols whose bars run at the pace of the wall clock."""
    done = asyncio.run(ran(folder, IDLE, 10, "1", doing_nothing))
    return {"cpu": done.cpu, "rss": max(done.rss)}


CASES = {"one": one, "wide": wide, "idle": idle}


def run(folder: Path, rounds: int, reps: int) -> Report:
    """Measure ours; a peer that does the same work against the same exchange is not known."""
    found = Report(f"executor: order at a close ({BARS} bars), {WIDE} symbols closing together")
    for name in CASES:
        place = folder / f"executor-{name}"
        place.mkdir(exist_ok=True)
        command = ("-m", "tests.benchmarks.bench_executor", name, str(place))
        found.measure([Contender("ours", command)], min(rounds, 1))
    if "one" in found.cases:
        _one_rows(found, found.cases["one"])
    if "wide" in found.cases:
        at_once, rss = found.cases["wide"]["most"], found.cases["wide"]["rss"]
        found.rows += [
            Row(
                f"{WIDE} symbols closing together, first frame to last decision, most",
                f"{at_once * 1e3:.0f} ms",
                "≤ 250 ms",
                at_once <= 0.25,
            ),
            Row(f"resident memory, {WIDE} symbols", f"{rss / 1e6:.0f} MB", "≤ 250 MB", rss <= 25e7),
            _scan_row(found.cases["wide"]["scan"] + at_once),
        ]
    if "idle" in found.cases:
        cpu = found.cases["idle"]["cpu"]
        found.rows.append(
            Row(f"idle, {IDLE} symbols at real time", f"{cpu:.1%} of a core", "≤ 2 %", cpu <= 0.02)
        )
    return found


def _scan_row(seconds: float) -> Row:
    """Return the row of a full scan: the universe chosen, and every member's close decided."""
    what = f"full scan: {WIDE} of {LISTED} pairs chosen, and decided on"
    return Row(what, f"{seconds:.2f} s", "≤ 30 s", seconds <= 30.0)


def _one_rows(found: Report, case: dict[str, Any]) -> None:
    p50, p99, grown = case["p50"], case["p99"], case["grown"]
    found.rows += [
        Row("frame to order, median", f"{p50 * 1e3:.1f} ms", "≤ 2 ms", p50 <= 0.002),
        Row("frame to order, p99", f"{p99 * 1e3:.1f} ms", "≤ 10 ms", p99 <= 0.010),
        Row("of which the disk's fsync, median", f"{case['fsync'] * 1e3:.1f} ms"),
        Row("orders timed", f"{case['orders']:.0f}"),
        Row("cold start", f"{case['cold']:.2f} s", "≤ 2 s", case["cold"] <= 2.0),
        Row(
            "resident memory, one symbol",
            f"{case['rss'] / 1e6:.0f} MB",
            "≤ 150 MB",
            case["rss"] <= 15e7,
        ),
        Row("memory, last three of ten days", f"{grown:+.1%}", "≤ +5 %", grown <= 0.05),
    ]


if __name__ == "__main__":
    case, place = sys.argv[1], Path(sys.argv[2])
    place.mkdir(parents=True, exist_ok=True)
    figures = CASES[case](place)
    report(case, 1.0, units=1, reps=1, **figures, versions=versions("ccxt", "aiohttp"))
