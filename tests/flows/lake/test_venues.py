"""The venues that the documents name: what is asked of each, and what is made of its answers."""

import pytest

from features.errors import InputError
from flows.lake.candles import Request
from flows.lake.download import download, failures
from flows.lake.rows import series_of
from flows.lake.settlements import settlement_ms
from flows.lake.store import Lake
from flows.lake.tables import CANDLES, MARK
from flows.lake.venue import Access
from tests.flows.lake.test_download import FAST, STEP, T0, venue_of
from tests.support.candle_venue import Venue
from tests.support.other_venues import Binance, Kucoin, serve_as

pytestmark = pytest.mark.slow

VENUES = {"binanceusdm": (Binance, "BTCUSDT"), "kucoinfutures": (Kucoin, "XBTUSDTM")}


@pytest.fixture(params=list(VENUES))
def case(request):
    kind, symbol = VENUES[request.param]
    venue = venue_of(1300, (symbol,))
    if kind is Kucoin:  # volumes are whole contracts of 0.001
        bars = venue.bars[symbol, STEP]
        venue.bars[symbol, STEP] = [(*r[:5], round(r[5], 3)) for r in bars]
    return request.param, kind, symbol, venue


def run(lake: Lake, name: str, url: str, symbol: str, **rest):
    request = Request(symbols=[symbol], interval="15m", **{"start_ms": T0} | rest)
    reports = download(lake, Access(id=name, url=url, retry=FAST), request)
    assert failures(reports) == []
    return reports[symbol]


def rows(lake: Lake, name: str, symbol: str, spec=CANDLES, interval: str = "15m"):
    return lake.frame(spec, series_of(name, symbol, interval)).rows()


def check(lake: Lake, name: str, symbol: str, venue: Venue, last: int | None) -> None:
    expected = venue.bars[symbol, STEP][:last]
    stored = rows(lake, name, symbol)
    assert [r[:5] for r in stored] == [r[:5] for r in expected]
    assert [r[5] for r in stored] == pytest.approx([r[5] for r in expected])


def test_a_whole_history_is_fetched(tmp_path, case):
    name, kind, symbol, venue = case
    lake = Lake(tmp_path)
    with serve_as(kind, venue) as url:
        # KuCoin's newest page is asked for by our clock, so its history has to have an end.
        run(lake, name, url, symbol, end_ms=T0 + 1300 * STEP)
    check(lake, name, symbol, venue, None)
    funding = lake.funding(name, symbol)
    assert funding.time_ms.tolist() == [settlement_ms(t) for t, _ in venue.funding[symbol]]
    assert funding.rate.tolist() == pytest.approx([rate for _, rate in venue.funding[symbol]])
    hours = [r for r in venue.candles(symbol, 4 * STEP) if T0 <= r[0] <= T0 + 1296 * STEP]
    marked = rows(lake, name, symbol, MARK, "1h")
    assert marked == [r[:5] for r in hours]


def test_an_end_in_the_middle_is_kept_and_gone_on_from(tmp_path, case):
    name, kind, symbol, venue = case
    lake = Lake(tmp_path)
    with serve_as(kind, venue) as url:
        run(lake, name, url, symbol, end_ms=T0 + 700 * STEP, mark=False)
        check(lake, name, symbol, venue, 700)
        run(lake, name, url, symbol, end_ms=T0 + 1200 * STEP, mark=False)
    check(lake, name, symbol, venue, 1200)


def test_what_binance_is_asked(tmp_path):
    venue = venue_of(1300)
    with serve_as(Binance, venue) as url:
        run(Lake(tmp_path), "binanceusdm", url, "BTCUSDT", end_ms=T0 + 1300 * STEP)
    asked = [q for q in venue.queries if q["path"] == "/fapi/v1/klines"]
    assert asked[0] == {
        "path": "/fapi/v1/klines",
        "symbol": "BTCUSDT",
        "interval": "15m",
        "limit": "500",
        "startTime": str(T0 + 800 * STEP),
        "endTime": str(T0 + 1300 * STEP - 1),
    }
    assert {q["path"] for q in venue.queries} == {
        "/fapi/v1/" + name
        for name in ("exchangeInfo", "time", "klines", "fundingRate", "markPriceKlines")
    }


def test_what_kucoin_is_asked(tmp_path):
    venue = venue_of(300, ("XBTUSDTM",))
    with serve_as(Kucoin, venue) as url:
        run(Lake(tmp_path), "kucoinfutures", url, "XBTUSDTM", end_ms=T0 + 300 * STEP)
    asked = [q for q in venue.queries if q["path"] == "/api/v1/kline/query"]
    first = {k: asked[0][k] for k in ("symbol", "granularity", "from", "to")}
    assert first == {
        "symbol": "XBTUSDTM",
        "granularity": "15",
        "from": str(T0 + 100 * STEP),
        "to": str(T0 + 300 * STEP),
    }
    assert all(int(q["to"]) - int(q["from"]) <= 200 * STEP for q in asked)
    assert {q["path"] for q in venue.queries} >= {
        "/api/v1/contracts/active",
        "/api/v1/timestamp",
        "/api/v1/contract/funding-rates",
    }


def test_an_interval_that_the_venue_lacks_is_refused_with_those_it_has(tmp_path):
    with serve_as(Kucoin, venue_of(10, ("XBTUSDTM",))) as url:
        request = Request(symbols=["XBTUSDTM"], interval="7m")
        with pytest.raises(InputError, match="unknown interval '7m'"):
            download(Lake(tmp_path), Access(id="kucoinfutures", url=url), request)
    with serve_as(Binance, venue_of(10)) as url:
        request = Request(symbols=["XBTUSDTM"], interval="15m")
        with pytest.raises(InputError, match="binanceusdm: unknown symbol 'XBTUSDTM'"):
            download(Lake(tmp_path), Access(id="binanceusdm", url=url), request)
