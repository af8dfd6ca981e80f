"""Scenarios bend the simulated market as their names say, from their bar on and nowhere else."""

import numpy as np
import pytest

from executor.paper.assembly import Assembly, assemble
from executor.paper.clock import Clock
from executor.paper.scenarios import SCENARIOS
from executor.paper.settings import START_MS, parse
from executor.paper.venue import placing
from executor.paper.venue.errors import VenueError
from executor.paper.venue.orders import OrderRequest, Side
from features.errors import InputError
from features.types import Candles
from tests.support.venue import D

STEP = 900_000
FIXED = ["--history", "300", "--bars", "120", "--speed", "lockstep", "--symbols", "BTCUSDT,ETHUSDT"]


def market(*scenarios: str) -> Assembly:
    more = [word for scenario in scenarios for word in ("--scenario", scenario)]
    return assemble(parse([*FIXED, *more]), Clock())


def candles(parts: Assembly, symbol: str = "BTCUSDT") -> Candles:
    return parts.exchange.market.series[symbol].candles


def at(bars: Candles, bar: int) -> int:
    """Return the index of the ``bar``-th streamed bar."""
    return int(np.searchsorted(bars.open_ms, START_MS)) + bar - 1


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_what_came_before_is_untouched_and_bars_are_bars(name: str) -> None:
    plain, bent = candles(market()), candles(market(f"{name}:BTCUSDT:40"))
    before = at(plain, 40)
    for column in ("open_ms", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(plain, column)[:before], getattr(bent, column)[:before])
    assert np.all(bent.high >= np.maximum(bent.open, bent.close))
    assert np.all(bent.low <= np.minimum(bent.open, bent.close))
    assert np.all(bent.low > 0)
    other = market(f"{name}:BTCUSDT:40")
    assert np.array_equal(
        candles(other, "ETHUSDT").close[:400], candles(market(), "ETHUSDT").close[:400]
    )
    assert other.exchange.market.opens.size == 120


def test_a_crash_falls_and_stays_down() -> None:
    plain, bent = candles(market()), candles(market("crash:BTCUSDT:40"))
    ratio = bent.close / plain.close
    begin = at(plain, 40)
    assert ratio[begin + 11 :] == pytest.approx(0.65, abs=0.001)
    assert np.all(np.diff(ratio[begin : begin + 11]) < 0)
    assert bent.volume[begin] == plain.volume[begin] * 8


def test_a_squeeze_comes_half_the_way_back() -> None:
    plain, bent = candles(market()), candles(market("squeeze:BTCUSDT:40"))
    ratio, begin = bent.close / plain.close, at(plain, 40)
    assert ratio[begin + 7] == pytest.approx(1.4, abs=0.001)
    assert ratio[-1] == pytest.approx(1.15, abs=0.001)


def test_a_trend_goes_on_and_a_chop_goes_nowhere() -> None:
    plain = candles(market())
    ratio = candles(market("trend")).close / plain.close
    assert np.all(np.diff(ratio[at(plain, 31) :]) > 0)
    assert ratio[-1] == pytest.approx(1.5, rel=0.01)
    flat = candles(market("chop:BTCUSDT:1")).close[at(plain, 1) :]
    moved = plain.close[at(plain, 1) :]
    assert np.ptp(np.log(flat)) == pytest.approx(np.ptp(np.log(moved)) / 4, rel=0.05)


def test_a_halt_has_no_bars_and_opens_lower() -> None:
    parts = market("halt:BTCUSDT:40")
    bars = candles(parts)
    index = int(np.argmax(np.diff(bars.open_ms)))
    assert np.diff(bars.open_ms)[index] == 21 * STEP
    assert bars.open_ms[index] == START_MS + 38 * STEP
    assert bars.open[index + 1] / bars.close[index] == pytest.approx(0.9, abs=0.05)
    everywhere = market("halt")
    assert everywhere.exchange.market.opens.size == 120


def test_a_flash_wick_is_one_bar() -> None:
    plain, bent = candles(market()), candles(market("flash-wick:BTCUSDT:40"))
    index = at(plain, 40)
    assert bent.low[index] == pytest.approx(plain.low[index] * 0.85, rel=1e-4)
    assert np.flatnonzero(bent.low != plain.low).tolist() == [index]
    assert np.array_equal(bent.close, plain.close)


def test_a_funding_spike_is_six_settlements() -> None:
    plain = market().exchange.market.series["BTCUSDT"].funding
    bent = market("funding-spike:BTCUSDT:4").exchange.market.series["BTCUSDT"].funding
    changed = np.flatnonzero(plain.rate != bent.rate)
    assert np.all(bent.rate[changed] == 0.005)
    assert 1 <= changed.size <= 6
    assert bent.time_ms[changed[0]] >= START_MS + 3 * STEP


def test_a_delisting_lets_only_reduce_and_then_closes_all() -> None:
    parts = market("delisting:BTCUSDT:5")
    exchange, mover = parts.exchange, parts.mover
    account = exchange.state.accounts["main"]

    def order(side: Side, *, reduce_only: bool) -> None:
        request = OrderRequest(
            symbol="BTCUSDT",
            side=side,
            is_market=True,
            quantity=D("0.01"),
            reduce_only=reduce_only,
        )
        placing.place(exchange.state, account, request)

    order(Side.BUY, reduce_only=False)
    order(Side.BUY, reduce_only=False)
    for _ in range(5):
        mover.begin(0)
        mover.whole()
        mover.close()
    with pytest.raises(VenueError, match="110023"):
        order(Side.BUY, reduce_only=False)
    order(Side.SELL, reduce_only=True)
    while mover.bars_done < 35:
        mover.begin(0)
        mover.whole()
        mover.close()
    assert account.open_positions() == []
    closed = exchange.state.executions[-1]
    assert (closed.kind, closed.order.create_type) == ("Settle", "CreateBySettle")
    assert int(candles(parts).open_ms[-1]) == START_MS + 33 * STEP
    with pytest.raises(VenueError, match="110074"):
        order(Side.SELL, reduce_only=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crsh", "did you mean 'crash'"),
        ("crash:BTCUSD", "did you mean 'BTCUSDT'"),
        ("crash:BTCUSDT:soon", "NAME:SYMBOL:BAR"),
        ("crash:BTCUSDT:5:6", "NAME:SYMBOL:BAR"),
        ("crash:BTCUSDT:500", "only 120 bars"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        market(text)


def test_a_replay_is_not_bent() -> None:
    with pytest.raises(InputError, match="shows what was"):
        parse(["--market", "replay:x", "--scenario", "crash"])
