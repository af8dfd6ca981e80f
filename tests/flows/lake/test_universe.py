"""The universe is chosen by liquidity, remembered by time, and never asks more often than told."""

import pytest

from features.errors import InputError
from flows.lake.store import Lake
from flows.lake.universe import (
    FAR_MS,
    Member,
    Selection,
    choose,
    ever_members,
    history,
    memberships,
    record,
)
from flows.settings import load_settings
from flows.universe import chosen_symbols, training_symbols
from flows.universe_refresh import refresh_cron, universe
from tests.flows.lake.test_defects import made
from tests.flows.lake.test_download import STEP, venue_of
from tests.support.candle_venue import random_walk, serve


def market(symbol: str, **changes) -> dict:
    whole = {"id": symbol, "settle": "USDT", "active": True, "contractSize": 1.0}
    return whole | changes


MARKETS = [
    market("BTCUSDT"),
    market("ETHUSDT"),
    market("OLDUSDT", active=False),
    market("BTCPERP", settle="USDC"),
    market("DUSTUSDT"),
    market("NEWUSDT"),
    market("XBTUSDTM", contractSize=0.001),
]
TICKERS = {
    "BTCUSDT": {"last": 60_000.0, "quoteVolume": 9e9},
    "ETHUSDT": {"last": 3_000.0, "quoteVolume": 4e9},
    "OLDUSDT": {"last": 1.0, "quoteVolume": 8e9},
    "BTCPERP": {"last": 60_000.0, "quoteVolume": 8e9},
    "DUSTUSDT": {"last": 1e-7, "quoteVolume": 5e8},
    "NEWUSDT": {"last": None, "quoteVolume": None},
    "XBTUSDTM": {"last": 60_000.0, "quoteVolume": None, "baseVolume": 1e7},
}


def symbols(**rule) -> list[str]:
    chosen = choose(MARKETS, TICKERS, Selection(**{"mode": "auto"} | rule))
    assert [m.rank for m in chosen] == list(range(1, len(chosen) + 1))
    return [m.symbol for m in chosen]


def test_active_usdt_perpetuals_by_falling_volume():
    assert symbols() == ["BTCUSDT", "ETHUSDT", "XBTUSDTM", "DUSTUSDT"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"price_min": 0.01}, ["BTCUSDT", "ETHUSDT", "XBTUSDTM"]),
        ({"quote_volume_min": 3e9}, ["BTCUSDT", "ETHUSDT"]),
        ({"count_max": 1}, ["BTCUSDT"]),
        ({"deny": ("BTCUSDT",)}, ["ETHUSDT", "XBTUSDTM", "DUSTUSDT"]),
        ({"allow": ("ETHUSDT", "OLDUSDT")}, ["ETHUSDT"]),
        ({"mode": "fixed", "symbols": ("ETHUSDT", "OLDUSDT")}, ["OLDUSDT", "ETHUSDT"]),
    ],
)
def test_every_part_of_the_rule(rule, expected):
    assert symbols(**rule) == expected


def test_an_unknown_name_in_a_list_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'BTCUSDT'"):
        symbols(deny=("BTCUSD",))


def member(symbol: str, rank: int = 1) -> Member:
    return Member(symbol=symbol, rank=rank, quote_volume_24h=1e9, price=1.0)


def test_the_past_keeps_its_own_universe(tmp_path):
    lake = Lake(tmp_path)
    record(lake, "bybit", 1000, [member("LUNAUSDT"), member("BTCUSDT", 2)])
    record(lake, "bybit", 2000, [member("BTCUSDT")])
    record(lake, "okx", 1500, [member("ETHUSDT")])
    assert history(lake, "bybit", 999) is None
    as_of, members = history(lake, "bybit", 1999)
    assert (as_of, [m.symbol for m in members]) == (1000, ["LUNAUSDT", "BTCUSDT"])
    assert history(lake, "bybit", 5000) == (2000, [member("BTCUSDT")])
    assert ever_members(lake, "bybit", 1500, 3000) == ["BTCUSDT", "LUNAUSDT"]
    assert ever_members(lake, "bybit", 2000, 3000) == ["BTCUSDT"]


def test_memberships_are_spans_of_time(tmp_path):
    lake = Lake(tmp_path)
    assert memberships(lake, "bybit") == (None, {})
    for at, members in ((1000, "AB"), (2000, "A"), (3000, "AC"), (4000, "BC")):
        record(lake, "bybit", at, [member(f"{m}USDT", i) for i, m in enumerate(members)])
    assert memberships(lake, "bybit") == (
        1000,
        {
            "AUSDT": [(1000, 4000)],
            "BUSDT": [(1000, 2000), (4000, FAR_MS)],
            "CUSDT": [(3000, FAR_MS)],
        },
    )


@pytest.mark.parametrize(
    ("minutes", "cron"),
    [
        (1, "*/1 * * * *"),
        (7, "*/5 * * * *"),
        (60, "0 * * * *"),
        (90, "0 * * * *"),
        (300, "0 */4 * * *"),
        (9999, "0 0 * * *"),
    ],
)
def test_the_schedule_comes_round_often_enough(minutes, cron):
    assert refresh_cron(minutes) == cron


@pytest.mark.slow
def test_a_training_learns_from_those_that_fell_out_as_well(tmp_path, monkeypatch):
    """DDD was delisted and has candles stored, EEE was and has none; CCC is still listed."""
    venue = venue_of(200, ("AAAUSDT", "BBBUSDT", "CCCUSDT"))
    loud = random_walk(5, 1_700_000_100_000, 200)
    venue.bars["BBBUSDT", STEP] = [(*row[:5], row[5] * 1e6) for row in loud]
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    monkeypatch.setenv("TRIBAR_UNIVERSE__MODE", "auto")
    monkeypatch.setenv("TRIBAR_UNIVERSE__QUOTE_VOLUME_MIN", "100000000")
    with serve(venue) as url:
        monkeypatch.setenv("TRIBAR_VENUE__URL", url)
        settings = load_settings()
        lake = Lake(settings.paths.lake)
        lake.upsert_candles("bybit", "DDDUSDT", "15m", made(100))
        past = [member(f"{m}USDT", i) for i, m in enumerate(("CCC", "DDD", "EEE"))]
        record(lake, "bybit", 1000, past)
        found = training_symbols(settings, 500, venue.clock_ms)
        later = training_symbols(settings, venue.clock_ms + 1, venue.clock_ms + 2)
        shown = universe.fn()
    assert (found.fetched, found.delisted) == (["BBBUSDT", "CCCUSDT"], ["DDDUSDT"])
    assert later.all == ["BBBUSDT"]
    assert shown == {"mode": "auto", "symbols": ["BBBUSDT"]}


@pytest.mark.slow
def test_an_automatic_choice_is_made_once_an_hour_and_kept(tmp_path, monkeypatch):
    venue = venue_of(200, ("AAAUSDT", "BBBUSDT", "CCCUSDT"))
    loud = random_walk(5, 1_700_000_100_000, 200)
    venue.bars["BBBUSDT", STEP] = [(*row[:5], row[5] * 1e6) for row in loud]
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    monkeypatch.setenv("TRIBAR_UNIVERSE__MODE", "auto")
    monkeypatch.setenv("TRIBAR_UNIVERSE__QUOTE_VOLUME_MIN", "100000000")
    with serve(venue) as url:
        monkeypatch.setenv("TRIBAR_VENUE__URL", url)
        settings = load_settings()
        assert chosen_symbols(settings) == ["BBBUSDT"]
        venue.bars["AAAUSDT", STEP] = venue.bars["BBBUSDT", STEP]
        venue.clock_ms += 59 * 60_000
        assert chosen_symbols(settings) == ["BBBUSDT"]
        assert venue.seen["tickers"] == 1
        venue.clock_ms += 60_000
        assert set(chosen_symbols(settings)) == {"AAAUSDT", "BBBUSDT"}
        monkeypatch.setenv("TRIBAR_UNIVERSE__QUOTE_VOLUME_MIN", "1e15")
        venue.clock_ms += 3_600_000
        with pytest.raises(InputError, match="lower the minimum"):
            chosen_symbols(load_settings())


def test_the_fixed_list_asks_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    monkeypatch.setenv("TRIBAR_VENUE__URL", "http://127.0.0.1:9")
    assert chosen_symbols(load_settings()) == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
