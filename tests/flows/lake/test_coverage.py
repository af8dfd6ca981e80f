"""Each symbol has one word for what may be done with it, and a reason that says what to do next."""

import pytest

from flows.lake.coverage import Goals, coverage
from flows.lake.store import Lake
from flows.lake.verdict import Verdict
from tests.flows.lake.test_defects import T0, made

DAY_BARS = 96


def verdict(word: str, *reasons: str) -> Verdict:
    return Verdict(verdict=word, reasons=reasons, history_days=100, coverage=1.0)


CASES = {
    "NONEUSDT": (None, None, "blocked", "tribar ingest --symbol NONEUSDT"),
    "FEWUSDT": (20, verdict("pass"), "blocked", "20 of at least 30 days"),
    "HOLEUSDT": (40, verdict("pass"), "blocked", "80.0% of the bars"),
    "NEWUSDT": (40, None, "blocked", "tribar quality --symbol NEWUSDT"),
    "BADUSDT": (40, verdict("fail", "no funding", "spot"), "blocked", "no funding; spot"),
    "OTHERUSDT": (40, verdict("pass"), "untrained", "tribar retrain"),
    "SHORTUSDT": (40, verdict("warn", "a note"), "short", "40 of 50 days; a note"),
    "GOODUSDT": (50, verdict("pass"), "covered", ""),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    verdicts = {}
    for symbol, (days, judged, _, _) in CASES.items():
        if judged is not None:
            verdicts[symbol] = judged
        if days is not None:
            bars = made(days * DAY_BARS)
            if symbol == "HOLEUSDT":
                bars = bars.filter((bars["open_ms"] // 900_000) % 5 != 3)
            lake.upsert_candles("bybit", symbol, "15m", bars)
    rows = coverage(
        lake,
        "bybit",
        list(CASES),
        "15m",
        goals=Goals(days=50, days_min=30, coverage_min=0.95),
        verdicts=verdicts,
        trained=set(CASES) - {"OTHERUSDT"},
    )
    return {row.symbol: row for row in rows}


@pytest.mark.parametrize("symbol", list(CASES))
def test_the_word_and_the_reason(found, symbol):
    _, _, status, words = CASES[symbol]
    assert found[symbol].status == status
    assert words in found[symbol].reason


def test_days_and_share_are_counted_on_the_grid(found):
    assert found["GOODUSDT"].history_days == pytest.approx(50)
    assert found["GOODUSDT"].coverage == 1.0
    assert found["GOODUSDT"].first_ms == T0
    assert found["HOLEUSDT"].coverage == pytest.approx(0.8, abs=0.001)


def test_without_a_model_nothing_is_untrained(tmp_path):
    lake = Lake(tmp_path)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", made(50 * DAY_BARS))
    (row,) = coverage(
        lake,
        "bybit",
        ["BTCUSDT"],
        "15m",
        goals=Goals(days=40, days_min=30),
        verdicts={"BTCUSDT": verdict("pass")},
    )
    assert row.status == "covered"
