"""Ingestion brings the lake to what the venue has, whatever breaks, and never stores half a bar."""

import numpy as np
import pytest
from aiohttp import web

from features.errors import InputError
from flows.lake.candles import Request
from flows.lake.download import download, failures
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, MARK
from flows.lake.venue import Access, Retry
from tests.support.candle_venue import Venue, random_walk, serve

pytestmark = pytest.mark.slow

STEP = 900_000
T0 = 1_700_000_100_000 // STEP * STEP
FAST = Retry(
    attempts=8, seconds_max=30, wait_initial_s=0.01, wait_max_s=0.05, jitter_s=0.01, pause_s=0.05
)
HOUR = 3_600_000
HOURS_8 = 8 * HOUR


def settlements(first_ms: int, last_ms: int) -> list[tuple[int, float]]:
    start = -(-first_ms // HOURS_8) * HOURS_8
    return [
        (t + t // HOURS_8 % 48, 1e-4 * (t // HOURS_8 % 5)) for t in range(start, last_ms, HOURS_8)
    ]


def venue_of(count: int = 2500, symbols: tuple[str, ...] = ("BTCUSDT",)) -> Venue:
    """The last bar is unfinished; market time is years before the venue's wall clock."""
    bars = {(s, STEP): random_walk(i, T0, count) for i, s in enumerate(symbols)}
    funding = {s: settlements(T0, T0 + count * STEP) for s in symbols}
    return Venue(bars=bars, funding=funding)


def run(lake: Lake, url: str, symbols=("BTCUSDT",), **rest):
    request = Request(symbols=symbols, interval="15m", **{"mark": False} | rest)
    return download(lake, Access(url=url, retry=FAST), request)


def stored(lake: Lake, symbol: str = "BTCUSDT") -> list[tuple]:
    return lake.frame(CANDLES, series_of("bybit", symbol, "15m")).rows()


def test_fetches_every_closed_bar_and_no_other(tmp_path):
    venue, lake = venue_of(), Lake(tmp_path)
    with serve(venue) as url:
        report = run(lake, url, start_ms=T0)["BTCUSDT"]
    assert stored(lake) == venue.bars["BTCUSDT", STEP][:-1]
    assert (report.inserted, report.rows, report.error) == (2499, 2499, None)
    funding = lake.funding("bybit", "BTCUSDT")
    assert all(funding.time_ms % 60_000 == 0)
    assert funding.time_ms.size == len(venue.funding["BTCUSDT"])


def test_an_up_to_date_symbol_costs_one_request(tmp_path):
    venue, lake = venue_of(), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url, start_ms=T0, mark=True)
        venue.seen.clear()
        report = run(lake, url, start_ms=T0, mark=True)["BTCUSDT"]
    assert report.inserted == 0
    per_run = {"instruments-info": 2, "time": 1}
    assert dict(venue.seen) == per_run | {"kline": 1}


def test_new_bars_and_a_changed_bar_are_seen_in_that_one_request(tmp_path):
    venue, lake = venue_of(600), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url, start_ms=T0)
        bars = venue.bars["BTCUSDT", STEP]
        bars[500] = (*bars[500][:5], bars[500][5] + 1)
        venue.bars["BTCUSDT", STEP] = bars + random_walk(7, T0 + 600 * STEP, 10)
        report = run(lake, url, start_ms=T0)["BTCUSDT"]
    assert (report.inserted, report.restated) == (10, 1)
    assert stored(lake) == venue.bars["BTCUSDT", STEP][:-1]
    assert lake.restatements("bybit", "BTCUSDT", "15m")["column"].to_list() == ["volume"]


def test_the_bar_under_way_is_stored_once_a_later_one_exists(tmp_path):
    venue, lake = venue_of(50), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url, start_ms=T0)
        assert len(stored(lake)) == 49
        finished = (T0 + 49 * STEP, 1.0, 2.0, 0.5, 1.5, 9.0)
        after = (T0 + 50 * STEP, 1.5, 1.5, 1.5, 1.5, 0.1)
        venue.bars["BTCUSDT", STEP][-1:] = [finished, after]
        run(lake, url, start_ms=T0)
    assert stored(lake)[-1] == finished
    assert lake.restatements("bybit", "BTCUSDT", "15m").is_empty()


def test_an_explicit_end_that_the_venue_has_reached_includes_the_last_bar(tmp_path):
    venue, lake = venue_of(50), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url, start_ms=T0, end_ms=T0 + 50 * STEP)
    assert len(stored(lake)) == 50


def test_an_end_in_the_venues_future_promises_nothing(tmp_path):
    venue, lake = venue_of(50), Lake(tmp_path)
    venue.clock_ms = T0 + 50 * STEP - 1
    with serve(venue) as url:
        run(lake, url, start_ms=T0, end_ms=T0 + 50 * STEP)
    assert len(stored(lake)) == 49


def test_a_range_that_is_stored_needs_no_candle_request(tmp_path):
    venue, lake = venue_of(300), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url, start_ms=T0, end_ms=T0 + 200 * STEP)
        venue.seen.clear()
        run(lake, url, start_ms=T0, end_ms=T0 + 200 * STEP)
    assert venue.seen["kline"] == 0


@pytest.mark.slow
def test_history_before_the_first_bar_is_added_and_asked_for_once(tmp_path):
    venue, lake = venue_of(2500), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url, start_ms=T0 + 1500 * STEP)
        assert len(stored(lake)) == 999
        run(lake, url, start_ms=T0 - 5000 * STEP)
        assert stored(lake) == venue.bars["BTCUSDT", STEP][:-1]
        venue.seen.clear()
        run(lake, url, start_ms=T0 - 5000 * STEP)
    assert venue.seen["kline"] == 1


def test_a_listing_is_found_without_walking_through_the_years_before_it(tmp_path):
    venue, lake = venue_of(1800), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url)
    assert stored(lake) == venue.bars["BTCUSDT", STEP][:-1]
    assert venue.seen["kline"] < 40


def test_an_outage_of_the_venue_stays_a_gap_and_is_asked_for_twice(tmp_path):
    venue, lake = venue_of(2500), Lake(tmp_path)
    del venue.bars["BTCUSDT", STEP][400:1700]
    with serve(venue) as url:
        run(lake, url, start_ms=T0)
    assert stored(lake) == venue.bars["BTCUSDT", STEP][:-1]


def test_a_venue_that_serves_fewer_bars_than_asked_for_loses_none(tmp_path):
    venue, lake = venue_of(2500), Lake(tmp_path)
    venue.page_max = 170
    with serve(venue) as url:
        run(lake, url, start_ms=T0)
    assert stored(lake) == venue.bars["BTCUSDT", STEP][:-1]


def test_mark_prices_are_kept_by_the_hour_and_only_when_the_hour_is_over(tmp_path):
    venue, lake = venue_of(1202), Lake(tmp_path)
    with serve(venue) as url:
        run(lake, url, start_ms=T0, mark=True)
    mark = lake.frame(MARK, series_of("bybit", "BTCUSDT", "1h"))
    closed = venue.bars["BTCUSDT", STEP][:-1]
    hours = {r[0] // HOUR * HOUR for r in closed}
    last_close = closed[-1][0] + STEP
    start = -(-T0 // HOUR) * HOUR
    expected = sorted(h for h in hours if h >= start and h + HOUR <= last_close)
    assert mark["open_ms"].to_list() == expected
    at = expected[7]
    parts = [r for r in closed if at <= r[0] < at + HOUR]
    assert mark.filter(mark["open_ms"] == at).row(0) == (
        at,
        parts[0][1],
        max(p[2] for p in parts),
        min(p[3] for p in parts),
        parts[-1][4],
    )


def faults(rate: float, seed: int):
    """Break `rate` of the market-data replies in every way we know, by a seeded choice."""
    rng = np.random.default_rng(seed)

    def broken(_: int, request: web.Request) -> web.Response | None:
        if rng.random() >= rate:
            return None
        return [
            web.Response(status=429, text="{}", content_type="application/json"),
            web.Response(status=502, text="<html>bad gateway</html>"),
            web.Response(status=503, text="{}", content_type="application/json"),
            web.Response(
                text='{"retCode":0,"result":{"list":[["17', content_type="application/json"
            ),
            web.Response(text="<html>maintenance</html>", content_type="text/html"),
            web.json_response({"retCode": 10006, "retMsg": "Too many visits", "result": {}}),
            web.json_response({"retCode": 10016, "retMsg": "internal error", "result": {}}),
            web.json_response({"retCode": 0, "retMsg": "OK", "result": {"list": []}, "time": 1}),
        ][int(rng.integers(0, 8))]

    return broken


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_faults_and_shuffled_pages_end_in_the_right_table(tmp_path, seed):
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    venue, lake = venue_of(2500, symbols), Lake(tmp_path)
    venue.shuffle = True
    venue.fault = faults(0.2, seed)
    with serve(venue) as url:
        reports = run(lake, url, symbols, start_ms=T0)
    assert failures(reports) == []
    for symbol in symbols:
        assert stored(lake, symbol) == venue.bars[symbol, STEP][:-1]
        assert lake.funding("bybit", symbol).time_ms.size == len(venue.funding[symbol])


def test_one_symbols_failure_is_reported_and_stops_nobody(tmp_path):
    venue, lake = venue_of(1200, ("BTCUSDT", "ETHUSDT")), Lake(tmp_path)

    def broken(_, request):
        if request.query.get("symbol") == "ETHUSDT":
            return web.json_response({"retCode": 10001, "retMsg": "params error", "result": {}})
        return None

    venue.fault = broken
    with serve(venue) as url:
        reports = run(lake, url, ("BTCUSDT", "ETHUSDT"), start_ms=T0)
    assert len(stored(lake)) == 1199
    assert len(failures(reports)) == 1
    assert "ETHUSDT" in failures(reports)[0]
    assert "params error" in failures(reports)[0]
    assert "\n" not in failures(reports)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"symbols": ("BTCUST",)}, "did you mean 'BTCUSDT'"),
        ({"interval": "7m"}, "unknown interval '7m'"),
        ({"interval": "3m", "symbols": ("NOPE",)}, "unknown symbol 'NOPE'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_lake_untouched(tmp_path, change, words):
    lake = Lake(tmp_path / "lake")
    with serve(venue_of(20)) as url, pytest.raises(InputError, match=words) as caught:
        download(
            lake, Access(url=url), Request(**{"symbols": ("BTCUSDT",), "interval": "15m"} | change)
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "lake").exists()


def test_an_unknown_venue_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'bybit'"):
        download(Lake(tmp_path), Access(id="bybitt"), Request(symbols=("BTCUSDT",), interval="15m"))


def test_a_venue_that_is_away_is_one_line(tmp_path):
    with pytest.raises(InputError, match="bybit: ExchangeNotAvailable") as caught:
        run(Lake(tmp_path), "http://127.0.0.1:9", start_ms=T0)
    assert "\n" not in str(caught.value)


def test_progress_grows_to_one(tmp_path):
    told: list[tuple[str, float]] = []
    with serve(venue_of(3500)) as url:
        download(
            Lake(tmp_path),
            Access(url=url),
            Request(symbols=("BTCUSDT",), interval="15m", start_ms=T0, mark=False),
            lambda name, fraction, note: told.append((name, fraction)),
        )
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(fractions) >= 3


@pytest.mark.slow
def test_never_more_requests_in_a_window_than_about_half_of_what_bybit_allows(tmp_path):
    """Four symbols at once want over 330 requests; any 5 s hold 300 of Bybit's 600, and jitter."""
    symbols = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")
    venue = venue_of(1700, symbols)
    venue.page_max = 20
    with serve(venue) as url:
        reports = run(Lake(tmp_path), url, symbols, start_ms=T0)
    assert failures(reports) == []
    stamps = np.array(venue.stamps_s)
    assert stamps.size > 330
    later = np.searchsorted(stamps, stamps + 5.0)
    assert int((later - np.arange(stamps.size)).max()) <= 330
    assert stamps[-1] - stamps[0] > 4.9
