"""Files go in and come out as they were; one that cannot be understood is refused in one line."""

import numpy as np
import polars as pl
import pytest

from features.errors import InputError
from flows.lake.assess import assess
from flows.lake.defects import Rules
from flows.lake.errors import LakeError
from flows.lake.filenames import read_name
from flows.lake.fileread import Reading
from flows.lake.files import export_files, import_files
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, MARK
from flows.lake.verdict import Thresholds
from tests.flows.lake.test_defects import STEP, T0, made
from tests.support.shared_data import shared_data

PRICES = ["open", "high", "low", "close"]


def read_back(folder, frame: pl.DataFrame, name: str, **how) -> pl.DataFrame:
    """Import one file that `frame` is written to, and return what the lake then has."""
    (folder / "in").mkdir()
    path = folder / "in" / name
    if name.endswith(".csv"):
        frame.write_csv(path)
    elif name.endswith(".feather"):
        frame.write_ipc(path)
    else:
        frame.write_parquet(path)
    lake = Lake(folder / "lake")
    import_files(lake, folder / "in", "bybit", reading=Reading(**how))
    return lake.frame(CANDLES, series_of("bybit", "BTCUSDT", "15m"))


def stamped(column: str, times: pl.Expr | pl.Series) -> pl.DataFrame:
    return (
        made(300)
        .with_columns(times.alias(column))
        .drop("open_ms")
        .select(column, pl.exclude(column))
    )


MS = pl.col("open_ms")
WAYS = {
    "BTCUSDT-15m.parquet": stamped("timestamp", MS),
    "BTCUSDT-15m-2023-11.csv": stamped("open_time", MS * 1000),
    "BTC_USDT_USDT-15m-futures.feather": stamped(
        "date", MS.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    ),
    "BTCUSDT-15m_seconds.csv": stamped("unix", MS // 1000).rename({"volume": "Volume BTC"}),
    "BTCUSDT-15m-ns.parquet": stamped("ts", MS * 1_000_000),
    "BTCUSDT-15m-zoned.csv": stamped(
        "Open time", MS.cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    ),
    "BTCUSDT-15m-berlin.csv": stamped(
        "datetime",
        (MS + 3_600_000).cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%d %H:%M:%S+01:00"),
    ),
    "BTCUSDT-15m-tokyo.parquet": stamped(
        "time",
        MS.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
    ),
}


@pytest.mark.parametrize("name", list(WAYS))
def test_every_usual_way_to_write_candles_is_read(tmp_path, name):
    frame = WAYS[name]
    how = {"columns": {"volume": "Volume BTC"}} if "Volume BTC" in frame.columns else {}
    stored = read_back(tmp_path, frame, name, **how)
    assert stored.equals(made(300))


def test_binances_csv_without_a_header_is_read(tmp_path):
    (tmp_path / "in").mkdir()
    rows = made(50).with_columns(close_time=MS + STEP - 1, quote=pl.lit(1.5), count=pl.lit(7))
    rows.write_csv(tmp_path / "in" / "BTCUSDT-15m-2023-11.csv", include_header=False)
    lake = Lake(tmp_path / "lake")
    import_files(lake, tmp_path / "in", "binanceusdm")
    assert lake.frame(CANDLES, series_of("binanceusdm", "BTCUSDT", "15m")).equals(made(50))


def test_files_of_one_symbol_are_merged_and_the_later_name_wins(tmp_path):
    frame = made(400)
    other = frame.tail(200).with_columns(
        volume=pl.when(pl.int_range(pl.len()) < 3).then(9.0).otherwise("volume")
    )
    frame.head(250).write_parquet(tmp_path / "BTCUSDT-15m-1.parquet")
    other.rename({"open_ms": "timestamp"}).write_csv(tmp_path / "BTCUSDT-15m-2.csv")
    lake = Lake(tmp_path / "lake")
    (report,) = import_files(lake, tmp_path, "bybit")
    assert (report.files, report.rows, report.repeated, report.differing) == (2, 400, 50, 3)
    stored = lake.frame(CANDLES, series_of("bybit", "BTCUSDT", "15m"))
    assert stored.height == 400
    assert stored["volume"].to_list()[200:203] == [9.0] * 3
    assert stored.drop("volume").equals(frame.drop("volume"))


def test_funding_stamps_with_jitter_are_rounded_to_their_settlement(tmp_path):
    times = [T0 + k * 28_800_000 + k % 48 for k in range(60)]
    pl.DataFrame({"timestamp": times, "funding_rate": [1e-4] * 60}).write_parquet(
        tmp_path / "BTCUSDT-funding.parquet"
    )
    lake = Lake(tmp_path / "lake")
    import_files(lake, tmp_path, "bybit")
    assert lake.funding("bybit", "BTCUSDT").time_ms.tolist() == [
        T0 + k * 28_800_000 for k in range(60)
    ]


def local_times() -> pl.DataFrame:
    return stamped("date", MS.cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%d %H:%M:%S"))


def hours_after_quarters() -> pl.DataFrame:
    quarters, hours = made(200), made(20)
    first = -(-(int(quarters["open_ms"][-1]) + STEP) // (4 * STEP)) * 4 * STEP
    later = hours.with_columns(open_ms=first + 4 * STEP * pl.int_range(pl.len()))
    return pl.concat([quarters, later])


@pytest.mark.parametrize(
    ("name", "frame", "words"),
    [
        ("BTCUSDT-15m.csv", local_times(), "may be local time; say --naive-is-utc"),
        ("BTCUSDT-5m.parquet", made(99), "the name says 5m, the bars are 15m apart"),
        ("BTCUSDT-15m.parquet", hours_after_quarters(), "mixed intervals: 1"),
        (
            "BTCUSDT-1h.parquet",
            made(99).with_columns(open_ms=T0 + 3_600_000 * pl.int_range(pl.len()) + 1_800_000),
            "not on the 1h grid in UTC",
        ),
        (
            "BTCUSDT-15m.parquet",
            made(99).with_columns(
                open_ms=pl.when(pl.int_range(pl.len()) == 50).then(MS + 60_000).otherwise(MS)
            ),
            "no multiple of 15m",
        ),
        ("BTCUSDT-15m.parquet", made(99).drop("close"), "no column for close"),
        ("BTCUSDT-15m.parquet", made(99).head(0), "holds no rows"),
        ("BTCUSDT-15m.parquet", made(99).with_columns(close=pl.lit("x")), "BTCUSDT-15m.parquet"),
        ("bitcoin.parquet", made(99), "does not say symbol and interval"),
        ("BTCUSDT-7m.parquet", made(99), "does not say symbol and interval"),
    ],
)
def test_a_wrong_file_is_one_line_and_nothing_is_stored(tmp_path, name, frame, words):
    (tmp_path / "in").mkdir()
    made(99).write_parquet(tmp_path / "in" / "AAAUSDT-15m.parquet")
    path = tmp_path / "in" / name
    frame.write_csv(path) if name.endswith("csv") else frame.write_parquet(path)
    with pytest.raises(InputError, match=words) as caught:
        import_files(Lake(tmp_path / "lake"), tmp_path / "in", "bybit")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "lake").exists()


def test_naive_stamps_are_read_once_they_are_said_to_be_utc(tmp_path):
    assert read_back(tmp_path, local_times(), "BTCUSDT-15m.csv", naive_is_utc=True).equals(
        made(300)
    )


def test_a_file_that_is_no_parquet_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no \.parquet"):
        import_files(Lake(tmp_path / "lake"), tmp_path, "bybit")
    with pytest.raises(InputError, match="is no folder"):
        import_files(Lake(tmp_path / "lake"), tmp_path / "none", "bybit")
    (tmp_path / "BTCUSDT-15m.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"BTCUSDT-15m\.parquet: cannot be read"):
        import_files(Lake(tmp_path / "lake"), tmp_path, "bybit")


def test_a_wrong_column_map_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'close'"):
        read_back(tmp_path, made(99), "BTCUSDT-15m.parquet", columns={"close": "clos"})


@pytest.mark.parametrize(
    ("name", "symbol", "interval", "kind"),
    [
        ("BTCUSDT-15m.parquet", "BTCUSDT", "15m", "candles"),
        ("BTCUSDT-1h-mark.parquet", "BTCUSDT", "1h", "mark"),
        ("BTCUSDT-funding.csv", "BTCUSDT", None, "funding"),
        ("BTC_USDT_USDT-1h-funding_rate.feather", "BTCUSDT", None, "funding"),
        ("BTC_USDT_USDT-8h-mark.feather", "BTCUSDT", None, "refused"),
        ("1000PEPEUSDT-5m.csv.gz", "1000PEPEUSDT", "5m", "candles"),
        ("BTC-PERP-1m.parquet", "BTC-PERP", "1m", "candles"),
        ("BTCUSDT-1m-2025-06.csv", "BTCUSDT", "1m", "candles"),
    ],
)
def test_names_of_files(tmp_path, name, symbol, interval, kind):
    if kind == "refused":
        with pytest.raises(InputError, match="not supported"):
            read_name(tmp_path / name)
        return
    named = read_name(tmp_path / name)
    assert (named.symbol, named.interval, named.kind) == (symbol, interval, kind)


def test_what_is_exported_can_be_imported_and_gives_the_same_hash(tmp_path):
    lake = Lake(tmp_path / "lake")
    for number, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        lake.upsert_candles("bybit", symbol, "15m", made(500, number))
        lake.upsert_mark(
            "bybit",
            symbol,
            "1h",
            made(50, number).with_columns(open_ms=T0 + 3_600_000 * pl.int_range(pl.len())),
        )
        lake.upsert_funding(
            "bybit", symbol, pl.DataFrame({"time_ms": [T0, T0 + 28_800_000], "rate": [1e-4, -1e-4]})
        )
    written = export_files(lake, tmp_path / "out")
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in written) == sorted(
        f"bybit/{s}-{rest}.parquet"
        for s in ("BTCUSDT", "ETHUSDT")
        for rest in ("15m", "1h-mark", "funding")
    )
    again = Lake(tmp_path / "again")
    import_files(again, tmp_path / "out" / "bybit", "bybit")
    args = ("bybit", ["BTCUSDT", "ETHUSDT"], "15m")
    assert again.pin(*args).content_sha256 == lake.pin(*args).content_sha256
    mark = series_of("bybit", "ETHUSDT", "1h")
    assert again.frame(MARK, mark).equals(lake.frame(MARK, mark))


def test_export_chooses_and_refuses_what_is_not_there(tmp_path):
    lake = Lake(tmp_path / "lake")
    lake.upsert_candles("bybit", "BTCUSDT", "15m", made(100))
    written = export_files(lake, tmp_path / "out", symbols=["BTCUSDT"], end_ms=T0 + 10 * STEP)
    assert pl.read_parquet(written[0])["timestamp"].to_list() == [T0 + k * STEP for k in range(10)]
    with pytest.raises(InputError, match="did you mean 'BTCUSDT'"):
        export_files(lake, tmp_path / "out", symbols=["BTCUST"])
    with pytest.raises(InputError, match="nothing to export"):
        export_files(lake, tmp_path / "out", end_ms=T0)
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="cannot write"):
        export_files(lake, tmp_path / "file")


@pytest.mark.slow
def test_the_shared_folder_is_imported_whole_and_judged(tmp_path):
    """Every real perpetual file, imported as a user would; the verdicts are the notes'."""
    lake = Lake(tmp_path)
    reports = import_files(lake, shared_data() / "binance-perp", "binanceusdm")
    assert len(reports) == len(list((shared_data() / "binance-perp").glob("*.parquet")))
    assert all(r.inserted == r.rows and r.repeated == 0 for r in reports)
    found = assess(
        lake,
        "binanceusdm",
        ["BTCUSDT", "ETHUSDT", "SOLUSDT"],
        "15m",
        rules=Rules(),
        limits=Thresholds(),
    )
    assert {s: a.verdict.verdict for s, a in found.items()} == dict.fromkeys(found, "warn")
    for one in found.values():
        assert "4 bars without trades or repeated, put aside (2024-10-28)" in one.verdict.reasons
        assert one.quarantine.height == 1
        assert np.median(one.days["mark_bp"].drop_nulls()) < 1.0
