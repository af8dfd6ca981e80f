"""A lake is replayed as it is: from a folder, from an object store, or refused in one line."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from executor.paper.clock import Clock
from executor.paper.lake import is_lake
from executor.paper.market import Market
from executor.paper.settings import parse
from executor.paper.sources import load, standing_at
from features.errors import InputError
from flows.lake.assess import assess
from flows.lake.defects import Rules
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES
from flows.lake.verdict import Thresholds
from tests.support.lakes import fill_lake
from tests.support.object_store import object_store

SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    fill_lake(Lake(folder), SYMBOLS, bars=400)
    return folder


def market(where: object, *more: str) -> Market:
    settings = parse(["--market", f"replay:{where}", "--symbols", ",".join(SYMBOLS), *more])
    return load(settings, standing_at(settings, Clock()))[0]


def assert_replayed(replayed: Market, stored: Lake) -> None:
    for symbol in SYMBOLS:
        candles, series = stored.candles("bybit", symbol, "15m"), replayed.series[symbol]
        for column in ("open_ms", "open", "high", "low", "close", "volume"):
            assert np.array_equal(getattr(series.candles, column), getattr(candles, column))
        funding = stored.funding("bybit", symbol)
        assert np.array_equal(series.funding.time_ms, funding.time_ms)
        assert np.array_equal(series.funding.rate, funding.rate)


def test_a_folder_that_is_a_lake_is_replayed_as_it_is(lake: Path) -> None:
    assert is_lake(str(lake))
    assert_replayed(market(lake), Lake(lake))
    assert_replayed(market(f"file://{lake}"), Lake(lake))


def test_an_object_store_is_reached_by_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "s3://bucket/lake"
    with object_store() as (environment, _):
        stored = Lake(url, storage_options=environment)
        fill_lake(stored, SYMBOLS, bars=400)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert_replayed(market(url), stored)


def test_what_quality_quarantined_is_served_all_the_same(tmp_path: Path) -> None:
    """The venue shows its wrong prices too; whoever trades must see them coming."""
    stored = Lake(tmp_path)
    fill_lake(stored, SYMBOLS, bars=400)
    rows = stored.frame(CANDLES, series_of("bybit", "BTCUSDT", "15m"))
    spike = rows.slice(200, 1).with_columns(high=pl.col("high") * 9)
    columns = ("open_ms", "open", "high", "low", "close", "volume")
    stored.upsert_candles("bybit", "BTCUSDT", "15m", spike.select(columns))
    assess(stored, "bybit", SYMBOLS, "15m", rules=Rules(), limits=Thresholds())
    assert stored.candles("bybit", "BTCUSDT", "15m").n < 400
    assert market(tmp_path).series["BTCUSDT"].candles.n == 400


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--symbols", "BTCUSD"), "did you mean 'BTCUSDT'"),
        (("--interval", "1h"), "no 1h candles here; it has 15m"),
        (("--venue", "bibit"), "did you mean 'bybit'"),
    ],
)
def test_what_a_lake_lacks_is_said_in_one_line(
    lake: Path, more: tuple[str, ...], says: str
) -> None:
    with pytest.raises(InputError, match=says) as refused:
        market(lake, *more)
    assert "\n" not in str(refused.value)


def test_of_several_venues_one_is_chosen(tmp_path: Path) -> None:
    stored = Lake(tmp_path)
    fill_lake(stored, ["BTCUSDT", "ETHUSDT"], bars=200)
    rows = stored.frame(CANDLES, series_of("bybit", "BTCUSDT", "15m"))
    columns = ("open_ms", "open", "high", "low", "close")
    other = rows.select(*columns, volume=pl.lit(7.0))
    stored.upsert_candles("kucoin", "BTCUSDT", "15m", other)
    with pytest.raises(InputError, match="from bybit, kucoin; choose by --venue"):
        market(tmp_path)
    assert market(tmp_path, "--venue", "bybit").series["BTCUSDT"].candles.volume[0] != 7.0
    only = parse(["--market", f"replay:{tmp_path}", "--symbols", "BTCUSDT", "--venue", "kucoin"])
    assert load(only, None)[0].series["BTCUSDT"].candles.volume[0] == 7.0


def test_what_is_no_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no lake"):
        market(f"file://{tmp_path}")
    log = tmp_path / "candles" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("no log\n")
    with pytest.raises(InputError, match="cannot be read") as refused:
        market(tmp_path)
    assert "\n" not in str(refused.value)
