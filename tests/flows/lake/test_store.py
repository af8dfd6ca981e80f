"""The lake keeps every row once: written again, changed, or written at the same time."""

import multiprocessing
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from flows.lake.errors import LakeError
from flows.lake.store import Lake, Upsert
from flows.lake.tables import CANDLES

STEP = 900_000


def bars(first: int, count: int, seed: int = 0, price: float = 100.0) -> pl.DataFrame:
    """Return `count` valid bars of 15m from bar index `first`; bar i is the same for one seed."""
    index = np.arange(first, first + count)
    close = price * (1 + 0.01 * np.sin(index * 0.37 + seed))
    start = price * (1 + 0.01 * np.sin((index - 1) * 0.37 + seed))
    return pl.DataFrame(
        {
            "open_ms": index * STEP,
            "open": start,
            "high": np.maximum(start, close) * 1.001,
            "low": np.minimum(start, close) * 0.999,
            "close": close,
            "volume": 10.0 + index % 7,
        }
    )


def stored(lake: Lake, symbol: str = "BTCUSDT") -> pl.DataFrame:
    return pl.scan_delta(lake.delta.uri("candles")).filter(pl.col("symbol") == symbol).collect()


def test_reads_back_what_was_written(tmp_path):
    lake = Lake(tmp_path)
    assert lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(5, 50)) == Upsert(inserted=50)
    candles = lake.candles("bybit", "BTCUSDT", "15m")
    assert candles.n == 50
    assert candles.interval_ms == STEP
    assert candles.open_ms.dtype == np.int64
    assert candles.open_ms.tolist() == [i * STEP for i in range(5, 55)]
    assert candles.close.tolist() == bars(5, 50)["close"].to_list()
    cut = lake.candles("bybit", "BTCUSDT", "15m", start_ms=7 * STEP, end_ms=9 * STEP)
    assert cut.open_ms.tolist() == [7 * STEP, 8 * STEP]


def test_an_empty_lake_reads_as_no_rows(tmp_path):
    lake = Lake(tmp_path / "none")
    assert lake.candles("bybit", "BTCUSDT", "15m").n == 0
    assert lake.funding("bybit", "BTCUSDT").rate.size == 0
    assert lake.series() == []
    assert not (tmp_path / "none").exists()


def test_the_same_rows_again_change_nothing(tmp_path):
    lake = Lake(tmp_path)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 20))
    version = lake.delta.open("candles").version()
    assert lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 20)) == Upsert(unchanged=20)
    assert lake.delta.open("candles").version() == version


def test_a_changed_bar_is_replaced_and_noted(tmp_path):
    lake = Lake(tmp_path)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 20))
    later = bars(10, 20).with_columns(
        close=pl.when(pl.col("open_ms") == 12 * STEP).then(123.0).otherwise(pl.col("close"))
    )
    assert lake.upsert_candles("bybit", "BTCUSDT", "15m", later, seen_ms=77) == Upsert(
        inserted=10, restated=1, unchanged=9
    )
    candles = lake.candles("bybit", "BTCUSDT", "15m")
    assert candles.n == 30
    assert candles.close[12] == 123.0
    notes = lake.restatements("bybit", "BTCUSDT", "15m")
    assert notes.select("table", "time_ms", "column", "old", "new", "seen_ms").rows() == [
        ("candles", 12 * STEP, "close", bars(12, 1)["close"][0], 123.0, 77)
    ]


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(
    pages=st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=8
    )
)
def test_any_order_of_overlapping_pages_gives_the_last_written_value(tmp_path_factory, pages):
    """Oracle: a plain dict by open time."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    expected: dict[int, float] = {}
    for first, count, seed in pages:
        page = bars(first, count, seed)
        lake.upsert_candles(
            "bybit", "BTCUSDT", "15m", page.sample(fraction=1, shuffle=True, seed=1)
        )
        expected |= dict(zip(page["open_ms"].to_list(), page["close"].to_list(), strict=True))
    rows = stored(lake)
    assert rows["open_ms"].n_unique() == rows.height
    assert dict(zip(rows["open_ms"], rows["close"], strict=True)) == expected


@pytest.mark.slow
def test_writers_of_different_symbols_lose_nothing(tmp_path):
    """Eight threads start on a lake that does not exist yet, five commits each."""

    def write(number: int) -> None:
        lake = Lake(tmp_path)
        for page in range(5):
            lake.upsert_candles("bybit", f"S{number}USDT", "15m", bars(page * 20, 25, number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    for number in range(8):
        assert Lake(tmp_path).candles("bybit", f"S{number}USDT", "15m").n == 105


def _write_pages(folder: str, seed: int) -> None:
    lake = Lake(folder)
    for page in range(8):
        lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(page * 10, 15, seed=0))
        lake.upsert_candles("bybit", f"OWN{seed}", "15m", bars(page * 10, 15, seed))


@pytest.mark.slow
def test_processes_that_write_the_same_symbol_make_no_duplicate(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_write_pages, args=(str(tmp_path), seed)) for seed in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(50)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    rows = stored(Lake(tmp_path))
    assert sorted(rows["open_ms"].to_list()) == [i * STEP for i in range(85)]
    for seed in range(3):
        assert Lake(tmp_path).candles("bybit", f"OWN{seed}", "15m").n == 85


def test_funding_and_mark_have_their_own_tables(tmp_path):
    lake = Lake(tmp_path)
    lake.upsert_funding(
        "bybit", "BTCUSDT", pl.DataFrame({"time_ms": [0, 28_800_000], "rate": [1e-4, -2e-4]})
    )
    lake.upsert_mark("bybit", "BTCUSDT", "15m", bars(0, 3).drop("volume"))
    funding = lake.funding("bybit", "BTCUSDT")
    assert funding.time_ms.tolist() == [0, 28_800_000]
    assert funding.rate.tolist() == [1e-4, -2e-4]
    assert lake.series(CANDLES) == []


def test_a_pin_reads_the_same_bits_after_the_lake_moved_on(tmp_path):
    lake = Lake(tmp_path)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 40))
    pin = lake.pin("bybit", ["BTCUSDT"], "15m")
    before = lake.candles("bybit", "BTCUSDT", "15m").close.copy()
    lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 60, seed=9))
    assert lake.pin("bybit", ["BTCUSDT"], "15m").content_sha256 != pin.content_sha256
    old = lake.at(pin.version)
    assert old.candles("bybit", "BTCUSDT", "15m").close.tolist() == before.tolist()
    assert old.pin("bybit", ["BTCUSDT"], "15m") == pin


def test_the_hash_knows_content_not_history(tmp_path):
    """Two lakes filled in different steps hold the same data, so the same hash."""
    one, two = Lake(tmp_path / "1"), Lake(tmp_path / "2")
    one.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 40))
    for first in (30, 0, 15):
        two.upsert_candles("bybit", "BTCUSDT", "15m", bars(first, 15))
    two.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 40))
    hashes = {
        lake.pin("bybit", ["BTCUSDT"], "15m", 0, 40 * STEP).content_sha256 for lake in (one, two)
    }
    assert len(hashes) == 1


def test_optimize_keeps_every_row(tmp_path):
    lake = Lake(tmp_path)
    for page in range(6):
        lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(page * 10, 12))
    before = lake.candles("bybit", "BTCUSDT", "15m")
    counts = lake.optimize()
    assert counts["candles"]["compacted"] == 6
    assert lake.candles("bybit", "BTCUSDT", "15m").close.tolist() == before.close.tolist()
    lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(60, 12))
    assert lake.candles("bybit", "BTCUSDT", "15m").n == 72


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (bars(0, 3).with_columns(open_ms=pl.col("open_ms") + 1), "grid"),
        (bars(0, 3).drop("low"), "'low' is missing"),
        (bars(0, 3).with_columns(open_ms=pl.lit(None, dtype=pl.Int64)), "no open_ms"),
        (bars(0, 3).with_columns(close=pl.lit("much")), "not a number"),
    ],
)
def test_rows_that_are_no_bars_are_refused_whole(tmp_path, frame, words):
    lake = Lake(tmp_path)
    with pytest.raises(InputError, match=words) as caught:
        lake.upsert_candles("bybit", "BTCUSDT", "15m", frame)
    assert "\n" not in str(caught.value)
    assert lake.candles("bybit", "BTCUSDT", "15m").n == 0


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x y"])
def test_a_symbol_that_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="is not a name"):
        Lake(tmp_path).upsert_candles("bybit", name, "15m", bars(0, 1))


def test_a_lake_that_cannot_be_written_says_so_in_one_line(tmp_path):
    (tmp_path / "lake").write_text("a file, not a folder")
    with pytest.raises(LakeError) as caught:
        Lake(tmp_path / "lake").upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 1))
    assert "\n" not in str(caught.value)
    assert "candles" in str(caught.value)


@pytest.mark.slow
def test_a_full_disk_leaves_the_table_as_it_was(tmp_path):
    """/dev/full cannot hold a folder, so a size limit on files plays the full disk."""
    lake = Lake(tmp_path)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", bars(0, 50))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_write_with_small_files, args=(str(tmp_path), queue))
    worker.start()
    message = queue.get(timeout=50)
    worker.join(10)
    assert "table is as it was" in message
    assert "\n" not in message
    assert Lake(Path(tmp_path)).candles("bybit", "BTCUSDT", "15m").n == 50


def _write_with_small_files(folder: str, queue) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        Lake(folder).upsert_candles("bybit", "BTCUSDT", "15m", bars(50, 50_000))
        queue.put("written")
    except LakeError as error:
        queue.put(str(error))
