"""The four defects that a popular bot swallows, and missing funding: each stops or is masked."""

import numpy as np
import polars as pl
import pytest

from features.errors import InputError
from flows.dataset import dataset
from flows.lake.assess import assess
from flows.lake.defects import Rules
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES
from flows.lake.universe import Member, record
from flows.lake.verdict import Thresholds
from flows.research.samples import draw_samples
from flows.retrain import trainable
from flows.settings import load_settings
from flows.training.catalog import training_catalog
from flows.training.plan import base_recipe, shelf
from flows.training.shelf import load_dataset
from tests.support.lakes import INTERVAL_MS, START_MS, fill_lake

pytestmark = pytest.mark.slow
GOOD, SPIKE, CROSSED, NANS, DAY, UNPAID = (
    f"{name}USDT" for name in ("GOOD", "SPIKE", "CROSS", "NAN", "DAY", "UNPAID")
)
SYMBOLS = (GOOD, SPIKE, CROSSED, NANS, DAY)
AT = START_MS + 11_000 * INTERVAL_MS  # after the features' warm-up, so that labels are near
DAY_BARS = 96


def spoil(lake: Lake, symbol: str, **columns: pl.Expr) -> None:
    """Store the symbol's bars with other values, as a broken source would have served them."""
    frame = lake.frame(CANDLES, series_of("bybit", symbol, "15m"))
    lake.delta.replace(
        CANDLES.name,
        CANDLES.schema,
        series_of("bybit", symbol, "15m"),
        pl.DataFrame(schema=CANDLES.schema),
    )
    lake.upsert_candles("bybit", symbol, "15m", frame.with_columns(**columns))


def at(bars: int, value: pl.Expr | float, column: str) -> pl.Expr:
    inside = pl.col("open_ms").is_between(AT, AT + bars * INTERVAL_MS, closed="left")
    return pl.when(inside).then(value).otherwise(pl.col(column))


@pytest.fixture(scope="module")
def lake_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(folder)
    fill_lake(lake, SYMBOLS)
    fill_lake(lake, (UNPAID,), seed=9, funding=False)
    spike = pl.col("close") * 10
    high = pl.max_horizontal("high", at(1, spike, "close"))
    spoil(lake, SPIKE, close=at(1, spike, "close"), high=high)
    spoil(lake, CROSSED, low=at(1, pl.col("high") * 1.5, "low"))
    spoil(lake, NANS, close=at(61, float("nan"), "close"))
    whole = lake.frame(CANDLES, series_of("bybit", DAY, "15m"))
    gone = pl.col("open_ms").is_between(AT, AT + DAY_BARS * INTERVAL_MS, closed="left")
    spoil(lake, DAY)
    lake.delta.replace(
        CANDLES.name,
        CANDLES.schema,
        series_of("bybit", DAY, "15m"),
        pl.DataFrame(schema=CANDLES.schema),
    )
    lake.upsert_candles("bybit", DAY, "15m", whole.filter(~gone))
    assess(lake, "bybit", [*SYMBOLS, UNPAID], "15m", rules=Rules(), limits=Thresholds())
    return folder


def settle(patch: pytest.MonkeyPatch, home, lake_folder) -> None:
    patch.setenv("TRIBAR_HOME", str(home))
    patch.setenv("TRIBAR_PATHS__LAKE", str(lake_folder))
    patch.setenv("TRIBAR_MODEL__HISTORY_DAYS_MIN", "30")


@pytest.fixture
def project(tmp_path, lake_folder, monkeypatch):
    settle(monkeypatch, tmp_path, lake_folder)
    return Lake(lake_folder)


def made(symbols):
    facts = dataset.fn(list(symbols))
    return facts, load_dataset(
        shelf(load_settings()).dataset(facts["key"]), training_catalog(load_settings())
    )[0]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, lake_folder):
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, tmp_path_factory.mktemp("home"), lake_folder)
        return made([*SYMBOLS, UNPAID])


def test_each_defect_is_masked_and_said_or_stops_the_symbol(prepared):
    facts, data = prepared
    assert set(data.symbols) == set(SYMBOLS)
    assert "funding settlements are missing" in facts["left_out"][UNPAID]
    words = {symbol: " | ".join(lines) for symbol, lines in facts["notes"].items()}
    assert GOOD not in words
    assert "around an open that is not the last close, put aside" in words[SPIKE]
    assert "1 bars with high or low inside the body, put aside" in words[CROSSED]
    assert "61 bars with a price or volume that is none, put aside" in words[NANS]
    assert "96 bars are missing (2024-04-24, 2024-04-25): a gap, no label crosses it" in words[DAY]


def test_no_feature_sees_a_broken_number(prepared):
    """Beside the masked bars the features are finite, and no return of 10x is among them."""
    _, data = prepared
    for market in data.markets:
        opens = market.candles.open_ms
        assert np.isfinite(market.candles.close).all()
        assert np.abs(np.diff(np.log(market.candles.close))).max() < 0.2
        assert np.isfinite(market.matrix[market.first :]).all()
        expected = {GOOD: 0, CROSSED: 1, SPIKE: 2, NANS: 61, DAY: DAY_BARS}[market.symbol]
        missing = np.setdiff1d(np.arange(opens[0], opens[-1] + 1, INTERVAL_MS), opens)
        assert abs(missing.size - expected) <= (1 if market.symbol == SPIKE else 0)
        assert missing.size == 0 or AT in missing


def test_no_label_spans_a_masked_bar(project, prepared):
    _, data = prepared
    samples = draw_samples(data, base_recipe(load_settings()))
    clean = samples.symbols.index(GOOD)
    assert GOOD not in samples.dropped
    assert samples.dropped[DAY] > 0
    for number, market in enumerate(data.markets):
        mine = samples.symbol == number
        assert mine.any()
        if number == clean:
            continue
        # The span from the signal's bar to the exit's holds every bar of the grid.
        for start, end in zip(samples.start_ms[mine], samples.end_ms[mine], strict=True):
            assert not start <= AT < end, market.symbol


def test_a_symbol_that_quality_failed_is_in_no_dataset(project):
    with pytest.raises(InputError, match=r"quality failed it: .*ingest funding first"):
        dataset.fn([UNPAID])


def test_a_retraining_goes_on_without_the_failed_symbol(monkeypatch, caplog):
    verdicts = {
        GOOD: {"verdict": "pass", "reasons": []},
        UNPAID: {"verdict": "fail", "reasons": ["no funding"]},
    }
    told = []
    log = type("Log", (), {"warning": lambda self, *words: told.append(words)})
    monkeypatch.setattr("flows.retrain.get_run_logger", log)
    assert trainable(verdicts) == [GOOD]
    assert told == [("%s is left out: %s", UNPAID, "no funding")]


def test_a_symbol_is_learned_from_only_while_it_was_in_the_universe(project, monkeypatch):
    """It left at bar 11,500; nobody's membership is known before the first recorded choice."""
    monkeypatch.setenv("TRIBAR_UNIVERSE__MODE", "auto")
    members = [
        Member(symbol=s, rank=i, quote_volume_24h=1e9, price=1.0)
        for i, s in enumerate((GOOD, CROSSED), start=1)
    ]
    known, left = START_MS + 10_500 * INTERVAL_MS, START_MS + 11_500 * INTERVAL_MS
    record(project, "bybit", known, members)
    record(project, "bybit", left, members[:1])
    facts, data = made((GOOD, CROSSED))
    assert "it was not in the universe then" in facts["notes"][CROSSED][-1]
    samples = draw_samples(data, base_recipe(load_settings()))
    times = {
        name: samples.start_ms[samples.symbol == samples.symbols.index(name)]
        for name in (GOOD, CROSSED)
    }
    assert times[CROSSED].max() < left
    assert times[GOOD].max() > left
    assert times[CROSSED].min() < known
