"""Killed with -9 at any moment and started again, ingestion ends in the same table."""

import multiprocessing
import time

import numpy as np
import pytest

from flows.lake.candles import Request
from flows.lake.download import download
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, FUNDING, FUNDING_INTERVAL, MARK
from flows.lake.venue import Access
from tests.flows.lake.test_download import FAST, STEP, T0, venue_of
from tests.support.candle_venue import serve

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def _ingest(folder: str, url: str) -> None:
    request = Request(symbols=SYMBOLS, interval="15m", start_ms=T0, flush_rows=200)
    download(Lake(folder), Access(url=url, retry=FAST), request)


def rows_of(lake: Lake, symbol: str) -> dict[str, list[tuple]]:
    tables = {CANDLES: "15m", MARK: "1h", FUNDING: FUNDING_INTERVAL}
    return {
        spec.name: lake.frame(spec, series_of("bybit", symbol, interval)).rows()
        for spec, interval in tables.items()
    }


def check_whole(lake: Lake, venue) -> None:
    """What is stored after a kill: true bars only, each once, without a hole."""
    for symbol in SYMBOLS:
        truth = dict.fromkeys(venue.bars[symbol, STEP][:-1])
        stored = lake.frame(CANDLES, series_of("bybit", symbol, "15m")).rows()
        assert all(row in truth for row in stored)
        opens = [row[0] for row in stored]
        assert opens == list(range(opens[0], opens[-1] + 1, STEP)) if opens else True


def kill_and_resume(folder, url, venue, seed: int, kills: int) -> int:
    """Kill `kills` times after a seeded number of requests; then run to the end. Return kills."""
    rng = np.random.default_rng(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.flows.lake.test_kill"])
    done = 0
    for _ in range(kills):
        limit = sum(venue.seen.values()) + int(rng.integers(1, 70))
        worker = context.Process(target=_ingest, args=(str(folder), url))
        worker.start()
        deadline_s = time.monotonic() + 40
        while worker.is_alive() and sum(venue.seen.values()) < limit:
            assert time.monotonic() < deadline_s
            worker.join(0.001)
        worker.join(float(rng.uniform(0, 0.04)))
        worker.kill()
        worker.join(20)
        done += worker.exitcode == -9
        check_whole(Lake(folder), venue)
    _ingest(str(folder), url)
    return done


def run_seeds(tmp_path, seeds: range, kills: int, wanted: int) -> int:
    """Run seed after seed until `wanted` runs were killed: some end before their moment comes."""
    killed = 0
    venue = venue_of(3300, SYMBOLS)
    venue.page_max = 120
    with serve(venue) as url:
        _ingest(str(tmp_path / "whole"), url)
        whole = {s: rows_of(Lake(tmp_path / "whole"), s) for s in SYMBOLS}
        assert whole["BTCUSDT"]["candles"] == venue.bars["BTCUSDT", STEP][:-1]
        for seed in seeds:
            if killed >= wanted:
                break
            folder = tmp_path / f"seed{seed}"
            killed += kill_and_resume(folder, url, venue, seed, kills)
            assert {s: rows_of(Lake(folder), s) for s in SYMBOLS} == whole, f"seed {seed}"
    return killed


@pytest.mark.slow
def test_a_few_kills_lose_nothing(tmp_path):
    assert run_seeds(tmp_path, range(6), kills=3, wanted=4) >= 4


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_fifty_kills_lose_nothing(tmp_path):
    assert run_seeds(tmp_path, range(100, 150), kills=3, wanted=50) >= 50
