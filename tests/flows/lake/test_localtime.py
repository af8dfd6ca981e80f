"""Stamps in local time are refused where anything shows it; true ones never are."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from features.errors import InputError
from flows.lake.fileread import Reading
from flows.lake.files import import_files
from flows.lake.localtime import Closes, shift_ms
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES
from tests.flows.lake.test_defects import STEP, T0, made
from tests.support.shared_data import shared_data

HOUR = 3_600_000
YEAR_START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)


def year(step_ms: int = STEP) -> pl.DataFrame:
    bars = made(366 * 96)
    bars = bars.with_columns(open_ms=YEAR_START + STEP * pl.int_range(pl.len()))
    return bars.filter(pl.col("open_ms") % step_ms == 0)


def in_zone(frame: pl.DataFrame, zone: str) -> pl.DataFrame:
    """The stamps as a clock in `zone` shows them, taken for UTC."""
    local = (
        pl.col("open_ms")
        .cast(pl.Datetime("ms"))
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(zone)
        .dt.replace_time_zone(None)
    )
    return frame.with_columns(open_ms=local.dt.epoch("ms"))


def refused(folder, frame: pl.DataFrame, name: str = "BTCUSDT-15m.parquet", **how) -> str:
    """The one line that the file is refused with; empty where it was taken."""
    source = folder / f"in{len(list(folder.iterdir()))}"
    source.mkdir()
    frame.write_parquet(source / name)
    lake = Lake(folder / "lake")
    before = {str(s): lake.frame(CANDLES, s).height for s in lake.series()}
    try:
        import_files(lake, source, "bybit", reading=Reading(**how))
    except InputError as error:
        assert {str(s): lake.frame(CANDLES, s).height for s in lake.series()} == before
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("Europe/Berlin", "2024-10-27 02:00"),
        ("Europe/London", "2024-10-27 01:00"),
        ("Europe/Helsinki", "2024-10-27 03:00"),
        ("America/New_York", "2024-11-03 01:00"),
        ("Australia/Sydney", "2024-04-07 02:00"),
    ],
)
def test_an_hour_that_is_there_twice_when_clocks_go_back(tmp_path, zone, first):
    words = refused(tmp_path, in_zone(year(), zone))
    assert words == (
        f"BTCUSDT-15m.parquet: the hour from {first} is there twice, when clocks go back: "
        "local time? Move the stamps to UTC"
    )


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/Lisbon", "America/Chicago"])
@pytest.mark.parametrize("interval", ["15m", "1h"])
def test_an_hour_that_is_missing_when_clocks_go_forward(tmp_path, zone, interval):
    """The doubled hour was thrown away by whoever wrote the file."""
    frame = in_zone(year(HOUR if interval == "1h" else STEP), zone)
    frame = frame.unique("open_ms", keep="last").sort("open_ms")
    name = f"BTCUSDT-{interval}.parquet"
    assert "is missing, when clocks go forward" in refused(tmp_path, frame, name)
    assert refused(tmp_path, frame, name, naive_is_utc=True) == ""


def test_utc_over_clock_changes_is_taken(tmp_path):
    outage = ~pl.col("open_ms").is_between(YEAR_START + 40 * HOUR, YEAR_START + 41 * HOUR - 1)
    assert refused(tmp_path, year().filter(outage)) == ""


@pytest.mark.parametrize("hours", [2, -5, 9, 0.75])
def test_a_file_that_is_moved_against_the_stored_bars(tmp_path, hours):
    frame = made(3000)
    lake = Lake(tmp_path / "lake")
    lake.upsert_candles("bybit", "BTCUSDT", "15m", frame)
    moved = frame.with_columns(pl.col("open_ms") + round(hours * HOUR))
    way = "ahead of" if hours > 0 else "behind"
    expected = f"its bars move {abs(hours):g} h {way} the stored BTCUSDT 15m of bybit"
    assert expected in refused(tmp_path, moved)
    assert refused(tmp_path, frame.tail(900)) == ""


def test_one_broken_bar_in_each_decides_nothing(tmp_path):
    frame = made(3000)
    other = made(3000, seed=8)

    def broken(bars: pl.DataFrame, at: int) -> pl.DataFrame:
        spike = pl.col("close") * pl.when(pl.int_range(pl.len()) == at).then(10).otherwise(1)
        return bars.with_columns(close=spike)

    Lake(tmp_path / "lake").upsert_candles("bybit", "ETHUSDT", "15m", broken(frame, 2000))
    assert refused(tmp_path, broken(other, 2008)) == ""


def test_stamps_in_the_future_and_the_bar_under_way(tmp_path):
    frame = made(300)
    last = int(frame["open_ms"][-1])
    words = refused(tmp_path, frame, now_ms=last - 2 * HOUR)
    assert "the newest stamp is 2.0 h in the future" in words
    assert refused(tmp_path, frame, now_ms=last + 1) == ""
    stored = Lake(tmp_path / "lake").frame(CANDLES, series_of("bybit", "BTCUSDT", "15m"))
    assert stored["open_ms"].max() == last - STEP


@pytest.mark.parametrize("hours", [1, 2, 3, -5, 4])
def test_settlements_at_hours_at_which_nobody_settles(tmp_path, hours):
    times = [T0 + k * 8 * HOUR + hours * HOUR + k % 40 for k in range(60)]
    frame = pl.DataFrame({"timestamp": times, "funding_rate": [1e-4] * 60})
    words = refused(tmp_path, frame, "BTCUSDT-funding.parquet")
    assert "where bybit does not settle in UTC" in words


def test_nothing_is_known_without_an_overlap():
    def closes(frame: pl.DataFrame) -> Closes:
        return Closes(
            name="x",
            step_ms=STEP,
            close_ms=frame["open_ms"].to_numpy() + STEP,
            close=frame["close"].to_numpy(),
        )

    frame = made(3000)
    assert shift_ms(closes(frame.head(1000)), closes(frame.tail(1000))) == 0
    assert shift_ms(closes(frame), closes(made(3000, seed=2))) == 0


REAL = ("binance-perp/BTCUSDT-15m", "binance-perp/ETHUSDT-5m", "binance-spot/SOLUSDT-1h")


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_bars_moved_by_two_hours_are_seen_against_every_other_series(tmp_path, name):
    """Against another interval, the mark price, another market and another symbol alone."""
    frame = pl.read_parquet(shared_data() / f"{name}.parquet")
    moved = frame.with_columns(pl.col("timestamp") + 2 * HOUR)
    file = f"{name.split('/')[1]}.parquet"
    symbol = file.split("-", maxsplit=1)[0]
    witnesses = [
        ("binance-perp", f"{symbol}-1h"),
        ("binance-perp", f"{symbol}-1h-mark"),
        ("binance-spot", f"{symbol}-15m"),
        ("binance-perp", "XRPUSDT-1h"),
    ]
    for place, witness in witnesses:
        if (place, witness) == tuple(name.split("/")):
            continue
        folder = tmp_path / f"{place}-{witness}"
        (folder / "stored").mkdir(parents=True)
        source = shared_data() / place / f"{witness}.parquet"
        (folder / "stored" / source.name).symlink_to(source)
        import_files(Lake(folder / "lake"), folder / "stored", "bybit")
        overlap = pl.read_parquet(source)["timestamp"]
        if overlap.max() < frame["timestamp"].min() or overlap.min() > frame["timestamp"].max():
            continue
        assert "its bars move 2 h ahead of" in refused(folder, moved, file), witness
        assert refused(folder, frame, file) == "", witness


@pytest.mark.slow
@pytest.mark.parametrize(
    "venues",
    [
        ("binance-spot",),
        pytest.param(
            ("binance-perp", "binance-spot", "bybit-perp", "kucoin-perp"), marks=pytest.mark.soak
        ),
    ],
    ids=["spot", "all"],
)
def test_no_true_file_is_refused(tmp_path, venues):
    """Every real file of some venues, one after the other into one lake, spot with its 27 gaps."""
    now_ms = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000)
    lake = Lake(tmp_path / "lake")
    for venue in venues:
        found = import_files(lake, shared_data() / venue, venue, reading=Reading(now_ms=now_ms))
        assert found
        assert not np.isnan([one.rows for one in found]).any()
