"""Ingestion against the paper exchange as a program, misbehaving and counting its requests."""

import json
import urllib.request

import numpy as np
import polars as pl
import pytest

from features.synthetic import simulate_market
from flows.lake.candles import Request
from flows.lake.download import download, failures
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, MARK
from flows.lake.venue import Access, Retry
from tests.support.meddling import meddled
from tests.support.paper import paper_program

pytestmark = pytest.mark.servers

STEP = 900_000
START_MS = 1_700_006_400_000
BARS = 6000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
RETRY = Retry(
    attempts=12,
    seconds_max=60,
    wait_initial_s=0.02,
    wait_max_s=0.3,
    jitter_s=0.05,
    pause_s=0.3,
    pauses_max=20,
)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Files of three symbols for the exchange to replay, and what is in them."""
    folder = tmp_path_factory.mktemp("market")
    made = simulate_market(
        np.random.default_rng(3), symbols=3, bars=BARS, interval_ms=STEP, start_ms=START_MS
    )
    truth = {}
    for symbol, one in zip(SYMBOLS, made, strict=True):
        columns = {c: getattr(one.candles, c) for c in ("open_ms", *CANDLES.values)}
        truth[symbol] = (pl.DataFrame(columns), one.funding)
        truth[symbol][0].rename({"open_ms": "timestamp"}).write_parquet(
            folder / f"{symbol}-15m.parquet"
        )
        pl.DataFrame(
            {"timestamp": one.funding.time_ms, "funding_rate": one.funding.rate}
        ).write_parquet(folder / f"{symbol}-funding.parquet")
    return folder, truth


def arguments(folder, now_bar: int, *rest: str) -> tuple[str, ...]:
    now = str(START_MS + now_bar * STEP)
    return (
        "--market",
        f"replay:{folder}",
        "--symbols",
        ",".join(SYMBOLS),
        "--now",
        now,
        "--speed",
        "lockstep",
        "--rate-limits",
        "bybit",
        *rest,
    )


def run(lake: Lake, url: str, **rest):
    request = Request(symbols=SYMBOLS, interval="15m", **{"start_ms": START_MS} | rest)
    return download(lake, Access(url=url, retry=RETRY, timeout_ms=1500), request)


def check(lake: Lake, truth, bars: int) -> None:
    """The paper exchange quantises prices to the tick; nothing else may differ."""
    for symbol in SYMBOLS:
        stored = lake.frame(CANDLES, series_of("bybit", symbol, "15m"))
        expected = truth[symbol][0].head(bars)
        assert stored["open_ms"].to_list() == expected["open_ms"].to_list()
        for column in CANDLES.values:
            close = np.allclose(stored[column], expected[column], rtol=2e-3)
            assert close, (symbol, column)
        settled = truth[symbol][1].time_ms
        due = settled[settled <= START_MS + bars * STEP]
        assert lake.funding("bybit", symbol).time_ms.tolist() == due.tolist()


def state(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/__paper/faults", timeout=5) as reply:
        return json.load(reply)


def plan(url: str, **fault) -> None:
    body = json.dumps(fault).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/__paper/fault", body), timeout=5).close()


def test_a_clean_exchange_is_fetched_whole_within_its_limits(tmp_path, market):
    folder, truth = market
    with paper_program(*arguments(folder, 5000)) as paper:
        lake = Lake(tmp_path)
        reports = run(lake, paper.url, end_ms=START_MS + 5000 * STEP)
        assert failures(reports) == []
        check(lake, truth, 5000)
        again = run(lake, paper.url, end_ms=START_MS + 5000 * STEP)
    assert all(r.inserted == r.restated == 0 for r in again.values())
    assert lake.span(MARK, series_of("bybit", "BTCUSDT", "1h")).rows == 1250


@pytest.mark.parametrize("seed", [1, 2])
def test_a_misbehaving_exchange_ends_in_the_right_table(tmp_path, market, seed):
    """A tenth of the requests fail at random, and each kind of fault is planned some times."""
    folder, truth = market
    with paper_program(
        *arguments(folder, 5000, "--fault-rate", "0.1", "--fault-seed", str(seed))
    ) as paper:
        for kind, details in (
            ("http", {"status": 429, "body": ""}),
            ("http", {"status": 503, "body": "{}"}),
            ("http", {"status": 200, "body": "<html>down</html>"}),
            ("http", {"status": 200, "body": '{"retCode":0,"result":{"list":[["17'}),
            ("retcode", {"code": 10016}),
            ("rate_limit", {}),
            ("disconnect", {}),
            ("hang_before", {}),
        ):
            plan(paper.url, kind=kind, match="kline", count=2, arguments=details)
        lake = Lake(tmp_path)
        reports = run(lake, paper.url, end_ms=START_MS + 5000 * STEP)
        seen = state(paper.url)
    assert failures(reports) == []
    check(lake, truth, 5000)
    assert len(seen["hits"]) >= 16
    assert not [fault for fault in seen["planned"] if fault["match"] == "kline"]


def test_the_bar_under_way_is_never_stored(tmp_path, market):
    """Without an end: the newest bar served is left out, be it finished or not."""
    folder, _ = market
    with paper_program(*arguments(folder, 3000)) as paper:
        lake = Lake(tmp_path)
        run(lake, paper.url)
    stored = lake.frame(CANDLES, series_of("bybit", "BTCUSDT", "15m"))
    assert stored["open_ms"][-1] <= START_MS + 2999 * STEP
    assert stored["open_ms"][-1] >= START_MS + 2998 * STEP


def test_pages_in_any_order_and_a_bar_that_changes_within_the_limits(tmp_path, market):
    """The proxy counts: never a ban, never more in 5 s than Bybit allows an address (600)."""
    folder, truth = market
    changed = START_MS + 4900 * STEP
    with (
        paper_program(
            *arguments(folder, 5000, "--fault-rate", "0.05", "--fault-seed", "3")
        ) as paper,
        meddled(paper.url) as (url, meddler),
    ):
        lake = Lake(tmp_path)
        meddler.wrong_open_ms = changed
        assert failures(run(lake, url, end_ms=START_MS + 4950 * STEP)) == []
        meddler.wrong_open_ms = None
        reports = run(lake, url, end_ms=START_MS + 5000 * STEP)
        assert failures(reports) == []
        check(lake, truth, 5000)
        assert 403 not in meddler.statuses
        assert meddler.most_in_window(5.0) <= 600
    assert all(report.restated == 1 for report in reports.values())
    for symbol in SYMBOLS:
        notes = lake.restatements("bybit", symbol, "15m")
        assert set(notes["time_ms"]) == {changed}
        assert "close" in notes["column"]


def test_an_up_to_date_symbol_costs_the_exchange_one_request(tmp_path, market):
    folder, _ = market
    with paper_program(*arguments(folder, 3000)) as paper, meddled(paper.url) as (url, meddler):
        lake = Lake(tmp_path)
        run(lake, url)
        before = len(meddler.statuses)
        reports = run(lake, url)
        per_run = 3  # markets in two pages, and the clock
        assert len(meddler.statuses) - before == per_run + len(SYMBOLS)
    assert all(report.inserted == 0 for report in reports.values())
