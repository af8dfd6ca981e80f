"""From bars to a verdict: each defect stops a symbol or is put aside, and the reason says which."""

import numpy as np
import polars as pl
import pytest

from features.types import Candles
from flows.lake.assess import assess, verdicts
from flows.lake.defects import Rules
from flows.lake.profile import Inputs, profile
from flows.lake.quarantine import crosses_gap
from flows.lake.settlements import missing_settlements
from flows.lake.store import Lake
from flows.lake.verdict import Thresholds, checks_for, holds, judge
from tests.flows.lake.test_defects import STEP, T0, made, real
from tests.support.shared_data import shared_data

DAY = 86_400_000
HOUR = 3_600_000
HOURS_8 = 8 * HOUR


def settlements(frame: pl.DataFrame, step_ms: int = HOURS_8) -> pl.DataFrame:
    first, last = int(frame["open_ms"][0]), int(frame["open_ms"][-1])
    times = list(range(-(-first // step_ms) * step_ms, last + 1, step_ms))
    return pl.DataFrame({"time_ms": times, "rate": [1e-4] * len(times)})


def real_inputs(symbol: str, days: int | None = None, market: str = "binance-perp") -> Inputs:
    """The 1h file of a real perpetual (or of spot, mislabelled), its funding, mark and 15m bars."""
    start = 1_704_067_200_000  # 2024-01-01
    end = start + (days or 731) * DAY

    def read(name: str, **names: str) -> pl.DataFrame:
        frame = real(name).rename(names)
        time = "time_ms" if "time_ms" in frame.columns else "open_ms"
        return frame.filter(pl.col(time).is_between(start, end, closed="left"))

    funding = pl.read_parquet(real_path(f"binance-perp/{symbol}-funding"))
    funding = funding.select(
        time_ms=(pl.col("timestamp") + 30_000) // 60_000 * 60_000, rate="funding_rate"
    ).filter(pl.col("time_ms").is_between(start, end, closed="left"))
    return Inputs(
        step_ms=HOUR,
        candles=read(f"{market}/{symbol}-1h"),
        funding=funding,
        marks={HOUR: read(f"binance-perp/{symbol}-1h-mark")},
        others={STEP: read(f"binance-perp/{symbol}-15m")},
    )


def real_path(name: str):
    return shared_data() / f"{name}.parquet"


def reasons_of(inputs: Inputs, **limits: float) -> tuple[str, str]:
    days = profile(inputs, Rules()).days
    answer = judge(days, Thresholds(**{"history_days_min": 30} | limits))
    return answer.verdict, " | ".join(answer.reasons)


def clean(bars: int = 60 * 96) -> Inputs:
    frame = made(bars)
    return Inputs(step_ms=STEP, candles=frame, funding=settlements(frame))


def changed(inputs: Inputs, **parts: object) -> Inputs:
    whole = {name: getattr(inputs, name) for name in Inputs.__dataclass_fields__}
    return Inputs(**whole | parts)


def test_clean_bars_pass_without_a_word():
    assert reasons_of(clean()) == ("pass", "")


def test_a_profile_has_one_row_a_day_with_what_was_expected():
    inputs = clean(3 * 96 + 10)
    gone = inputs.candles.filter(~pl.col("open_ms").is_between(T0 + DAY, T0 + 2 * DAY - 1))
    days = profile(changed(inputs, candles=gone), Rules()).days
    assert days["expected"].to_list() == [96, 96, 96, 10]
    assert days["bars"].to_list() == [96, 0, 96, 10]
    assert days["missing"].to_list() == [0, 96, 0, 0]
    assert days["gaps"].to_list() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("column", "value", "verdict", "words"),
    [
        ("close", 10.0, "warn", "around an open that is not the last close, put aside"),
        ("low", 1.5, "warn", "with high or low inside the body, put aside"),
    ],
)
def test_the_peers_spike_and_crossed_bar_are_put_aside(column, value, verdict, words):
    inputs = clean()
    at = pl.col("open_ms") == T0 + 3000 * STEP
    frame = inputs.candles.with_columns(
        pl.when(at).then(pl.col(column) * value).otherwise(pl.col(column)).alias(column)
    )
    if column == "close":
        frame = frame.with_columns(high=pl.max_horizontal("high", "close"))
    assert reasons_of(changed(inputs, candles=frame))[0] == verdict
    assert words in reasons_of(changed(inputs, candles=frame))[1]
    aside = profile(changed(inputs, candles=frame), Rules()).quarantine
    assert (
        aside.filter(
            (pl.col("start_ms") <= T0 + 3000 * STEP) & (pl.col("end_ms") > T0 + 3000 * STEP)
        ).height
        == 1
    )


def test_the_peers_sixty_one_nan_closes_are_put_aside():
    inputs = clean()
    inside = pl.col("open_ms").is_between(T0 + 500 * STEP, T0 + 560 * STEP)
    frame = inputs.candles.with_columns(
        close=pl.when(inside).then(float("nan")).otherwise(pl.col("close"))
    )
    seen = profile(changed(inputs, candles=frame), Rules())
    verdict, words = reasons_of(changed(inputs, candles=frame))
    assert (verdict, "61 bars with a price or volume that is none" in words) == ("warn", True)
    assert seen.quarantine.rows() == [(T0 + 500 * STEP, T0 + 561 * STEP, "bad_price")]


def test_the_peers_missing_day_is_a_gap_that_no_label_crosses():
    inputs = clean()
    day = pl.col("open_ms").is_between(T0 + 20 * DAY, T0 + 21 * DAY - 1)
    verdict, words = reasons_of(changed(inputs, candles=inputs.candles.filter(~day)))
    assert verdict == "warn"
    assert words.startswith("96 bars are missing (2023-12-04): a gap, no label crosses it")


def test_missing_funding_history_stops_the_symbol():
    inputs = clean()
    nothing = inputs.funding.head(0)
    verdict, words = reasons_of(changed(inputs, funding=nothing))
    assert verdict == "fail"
    assert "180 funding settlements are missing" in words
    assert "ingest funding first" in words


def test_one_missing_settlement_is_a_warning():
    inputs = clean()
    gone = inputs.funding.filter(pl.col("time_ms") != inputs.funding["time_ms"][50])
    verdict, words = reasons_of(changed(inputs, funding=gone))
    assert verdict == "warn"
    assert words.startswith("1 funding settlements are missing (")


def test_too_much_missing_or_broken_stops_the_symbol():
    inputs = clean()
    some = inputs.candles.filter(pl.int_range(pl.len()) % 15 != 7)
    assert reasons_of(changed(inputs, candles=some))[0] == "fail"
    assert "bars are missing, at most" in reasons_of(changed(inputs, candles=some))[1]
    broken = inputs.candles.with_columns(
        low=pl.when(pl.int_range(pl.len()) % 40 == 7).then(pl.col("high")).otherwise(pl.col("low"))
    )
    assert "bars are broken, at most" in reasons_of(changed(inputs, candles=broken))[1]


def test_a_short_history_stops_the_symbol():
    verdict, words = reasons_of(clean(10 * 96))
    assert verdict == "fail"
    assert words == "only 10 days of history, at least 30 are needed"


def test_no_bars_at_all_is_a_fail_with_the_next_step():
    empty = Inputs(step_ms=STEP, candles=made(10).head(0))
    assert reasons_of(empty) == ("fail", "no bars are stored; ingest first")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
def test_real_perpetuals_follow_their_mark_price(symbol):
    """Two years of 1h with funding, mark and 15m: documented restatements are a warning."""
    verdict, words = reasons_of(real_inputs(symbol))
    assert verdict == "warn"
    assert "mark" not in words
    assert "differ from another stored interval (2024-10-28" in words


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
@pytest.mark.parametrize("days", [30, 731])
@pytest.mark.parametrize("witness", ["marks", "others"])
def test_a_perpetuals_file_that_is_really_spot_is_found(symbol, days, witness):
    """By the mark price alone, and by another stored interval alone."""
    spot = real_inputs(symbol, days, "binance-spot")
    alone = changed(spot, **{"marks": {}, "others": {}} | {witness: getattr(spot, witness)})
    verdict, words = reasons_of(alone, history_days_min=20)
    assert verdict == "fail"
    assert "another market" in words


@pytest.mark.parametrize(
    ("noise_bp", "basis_bp", "expected"),
    [
        (0.0, 0.0, "pass"),
        (6.0, 0.0, "pass"),
        (6.0, 5.0, "fail"),
        (0.0, -3.0, "fail"),
        (60, 0, "fail"),
    ],
)
def test_the_noise_of_a_thin_book_is_no_other_market(noise_bp, basis_bp, expected):
    """Noise lies on both sides of the mark price; another market lies to one."""
    inputs = clean()
    rng = np.random.default_rng(4)
    off = 1 + (basis_bp + noise_bp * rng.standard_normal(inputs.candles.height)) / 1e4
    mark = inputs.candles.select("open_ms", "open", "high", "low", close=pl.col("close") * off)
    assert reasons_of(changed(inputs, marks={STEP: mark}))[0] == expected


def test_a_restatement_of_a_basis_point_is_counted_and_less_is_not(tmp_path):
    lake, frame = Lake(tmp_path), made(40 * 96)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", frame)
    lake.upsert_funding("bybit", "BTCUSDT", settlements(frame))
    rng = np.random.default_rng(5)
    picked = sorted(rng.choice(np.arange(100, 3700), 60, replace=False).tolist())
    factor = {at: 1 + (1.01e-4 if i % 2 else 0.9e-4) for i, at in enumerate(picked)}
    later = frame.with_row_index("at").with_columns(
        close=pl.col("close") * pl.col("at").replace_strict(factor, default=1.0)
    )
    lake.upsert_candles("bybit", "BTCUSDT", "15m", later.filter(pl.col("at").is_in(picked)))
    found = assess(
        lake,
        "bybit",
        ["BTCUSDT"],
        "15m",
        rules=Rules(),
        limits=Thresholds(history_days_min=30, restated_max=0.02),
    )["BTCUSDT"]
    assert found.days["restated"].sum() == 30
    assert found.verdict.verdict == "warn"
    assert any(r.startswith("30 bars were changed by the venue") for r in found.verdict.reasons)


def test_the_lake_remembers_verdicts_and_leaves_out_what_was_put_aside(tmp_path):
    lake, frame = Lake(tmp_path), made(40 * 96)
    broken = frame.with_columns(
        high=pl.when(pl.col("open_ms") == T0 + 700 * STEP).then(1.0).otherwise(pl.col("high"))
    )
    lake.upsert_candles("bybit", "BTCUSDT", "15m", broken)
    lake.upsert_funding("bybit", "BTCUSDT", settlements(frame))

    def run():
        return assess(
            lake, "bybit", ["BTCUSDT"], "15m", rules=Rules(), limits=Thresholds(history_days_min=30)
        )["BTCUSDT"]

    assert run().verdict.verdict == "warn"
    assert verdicts(lake, "bybit", "15m")["BTCUSDT"] == run().verdict
    opens = lake.candles("bybit", "BTCUSDT", "15m").open_ms
    assert T0 + 700 * STEP not in opens
    assert opens.size == frame.height - 1
    lake.upsert_candles("bybit", "BTCUSDT", "15m", frame)
    run()
    assert lake.candles("bybit", "BTCUSDT", "15m").n == frame.height


@pytest.mark.parametrize(
    ("times", "first", "last", "missing"),
    [
        ([0, 8, 16, 24], 0, 30, []),
        ([0, 8, 24], 0, 30, [16]),
        ([0, 4, 8, 16, 24], 0, 30, []),  # the rhythm changed from 4 h to 8 h
        ([0, 4, 16, 20], 0, 21, [8, 12]),
        ([16, 24], 0, 41, [0, 8, 32, 40]),
        ([], 1, 25, [8, 16, 24]),
    ],
)
def test_missing_settlements_follow_the_rhythm_around_them(times, first, last, missing):
    hours = [t * HOUR for t in times]
    assert missing_settlements(hours, first * HOUR, last * HOUR) == [m * HOUR for m in missing]


def test_a_label_crosses_a_gap_when_a_bar_is_missing_inside_its_span():
    opens = np.array([0, 1, 2, 5, 6, 7]) * STEP
    price = np.ones(6)
    candles = Candles(
        interval_ms=STEP,
        open_ms=opens,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=price,
    )
    first, last = np.array([0, 0, 2, 3, 4]), np.array([2, 3, 3, 5, 4])
    assert crosses_gap(candles, first, last).tolist() == [False, True, True, False, False]


def test_every_check_is_on_a_column_of_the_profile():
    days = profile(clean(), Rules()).days
    for check in checks_for(days, Thresholds()):
        assert check.column in days.columns
        assert holds(check, days) == (check.name != "history")
