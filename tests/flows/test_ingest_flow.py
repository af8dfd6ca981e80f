"""The two flows of the lake, as plain functions: what they return and what they leave behind."""

import json

import pytest

from features.errors import InputError
from flows.ingest import ingest
from flows.lake.assess import verdicts
from flows.lake.store import Lake
from flows.quality import quality
from flows.settings import load_settings
from tests.flows.lake.test_download import STEP, T0, venue_of
from tests.support.candle_venue import serve


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project root of its own, with the default lake and reports in it."""
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    return tmp_path


def test_ingest_returns_a_row_a_symbol_that_json_can_hold(home, monkeypatch):
    with serve(venue_of(1500, ("BTCUSDT", "ETHUSDT"))) as url:
        monkeypatch.setenv("TRIBAR_VENUE__URL", url)
        found = ingest.fn(["BTCUSDT", "ETHUSDT"], "15m", T0)
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"BTCUSDT", "ETHUSDT"}
    assert found["BTCUSDT"]["rows"] == 1499
    assert found["BTCUSDT"]["error"] is None
    assert Lake(load_settings().paths.lake).candles("bybit", "ETHUSDT", "15m").n == 1499


def test_ingest_refuses_when_no_symbol_could_be_fetched(home, monkeypatch):
    venue = venue_of(10)
    venue.bars["BTCUSDT", STEP].clear()
    with serve(venue) as url:
        monkeypatch.setenv("TRIBAR_VENUE__URL", url)
        with pytest.raises(InputError, match="no symbol could be fetched: BTCUSDT: bybit served"):
            ingest.fn(["BTCUSDT"], "15m", T0)


@pytest.mark.slow
def test_quality_gives_verdicts_docs_and_a_calendar(home, monkeypatch):
    """Twenty days are too few for one symbol's default; the reason says so in words."""
    venue = venue_of(20 * 96 + 1, ("BTCUSDT", "ETHUSDT"))
    broken = list(venue.bars["ETHUSDT", STEP][700])
    broken[2] = broken[3] * 0.5
    venue.bars["ETHUSDT", STEP][700] = tuple(broken)
    with serve(venue) as url:
        monkeypatch.setenv("TRIBAR_VENUE__URL", url)
        monkeypatch.setenv("TRIBAR_QUALITY__HISTORY_DAYS_MIN", "15")
        ingest.fn(["BTCUSDT", "ETHUSDT"], "15m", T0)
        found = quality.fn(["BTCUSDT", "ETHUSDT", "SOLUSDT"], "15m")
    assert found["BTCUSDT"]["verdict"] == "pass"
    assert found["BTCUSDT"]["reasons"] == []
    assert found["ETHUSDT"]["verdict"] == "warn"
    assert found["SOLUSDT"]["verdict"] == "fail"
    assert found["SOLUSDT"]["reasons"] == ["no bars are stored; ingest first"]
    assert "1 bars with high or low inside the body" in found["ETHUSDT"]["reasons"][0]
    reports = load_settings().paths.reports
    assert (reports / "data_docs" / "index.html").is_file()
    assert (reports / "quality.png").read_bytes()[:4] == b"\x89PNG"
    lake = Lake(load_settings().paths.lake)
    assert verdicts(lake, "bybit", "15m")["ETHUSDT"].verdict == "warn"
    assert lake.candles("bybit", "ETHUSDT", "15m").n == 20 * 96 - 1
    assert lake.candles("bybit", "ETHUSDT", "15m", masked=False).n == 20 * 96
