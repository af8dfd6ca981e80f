"""Labels on real bars: mlfinlab's published first touches, and the real funding history.

mlfinlab looks at closes only and enters at the signal's own close. Flat bars that repeat the
close before them say exactly that to a kernel that enters at the next open and scans highs and
lows: bar k trades at close k-1 and nowhere else.
"""

import numpy as np
import polars as pl
import pytest

from features.barriers import PROFIT, STOP, TIME
from features.costs import Costs, FlatFunding
from features.labels import Barriers, triple_barrier
from features.types import Candles, Funding
from tests.support.shared_data import shared_data

FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
HOUR = 3_600_000
END_MS = 1_719_792_000_000  # 2024-07-01


def closes_only(timestamp: np.ndarray, close: np.ndarray, interval_ms: int) -> Candles:
    """Return flat bars, bar k at close k-1."""
    late = np.concatenate((close[:1], close))
    times = np.concatenate((timestamp, [timestamp[-1] + interval_ms]))
    return Candles(
        interval_ms=interval_ms,
        open_ms=times,
        open=late,
        high=late,
        low=late,
        close=late,
        volume=np.ones(late.size),
    )


@pytest.mark.parametrize("setting", ["sym11", "side_pt2_sl1"])
@pytest.mark.parametrize(
    ("name", "file", "first_ms", "interval_ms"),
    [
        ("BTCUSDT-1h-2023H1-2024H1", "BTCUSDT-1h", 1_672_531_200_000, HOUR),
        ("SOLUSDT-15m-2024H1", "SOLUSDT-15m", 1_704_067_200_000, HOUR // 4),
    ],
)
def test_first_touches_equal_mlfinlab(setting, name, file, first_ms, interval_ms):
    folder = shared_data()
    bars = pl.read_parquet(folder / f"binance-perp/{file}.parquet").filter(
        pl.col("timestamp").is_between(first_ms, END_MS, closed="left")
    )
    rows = pl.read_parquet(folder / f"reference/mlfinlab-triple-barrier-{name}.parquet").filter(
        (pl.col("setting") == setting) & (pl.col("vertical_barrier_ms") > 0)
    )
    assert rows.height > 500
    timestamp, close = bars["timestamp"].to_numpy(), bars["close"].to_numpy()
    events = np.searchsorted(timestamp, rows["t0_ms"].to_numpy())
    last = np.searchsorted(timestamp, rows["vertical_barrier_ms"].to_numpy())
    side = rows["side"].to_numpy().astype(np.int8)
    target = rows["trgt"].to_numpy()
    got = triple_barrier(
        closes_only(timestamp, close, interval_ms),
        events,
        side,
        Barriers(
            profit=target * (2.0 if setting == "side_pt2_sl1" else 1.0),
            loss=target.copy(),
            horizon_bars=last - events,
        ),
        FREE,
        FlatFunding(rate=0.0),
        volatility=np.zeros(close.size + 1),
    )
    touched = got.exit_index - 1  # bar k repeats close k-1
    assert timestamp[touched].tolist() == rows["t1_ms"].to_list()
    returns = close[touched] / close[events] - 1.0
    published = rows["ret"].to_numpy()
    # mlfinlab turns a short's return into exp(-log return) - 1; ours is what the position earns.
    theirs = (1.0 + returns) ** side - 1.0
    np.testing.assert_allclose(theirs, published, rtol=0, atol=1e-12)
    # A stop or a time exit fills at that close; a profit never better than its barrier.
    ended = got.reason != PROFIT
    assert ended.sum() > 100
    np.testing.assert_allclose(got.gross[ended], (returns * side)[ended], rtol=0, atol=1e-12)
    assert (got.gross[~ended] <= (returns * side)[~ended] + 1e-12).all()


def test_real_bars_with_their_funding():
    """Two years of BTC: every reason occurs, funding is found despite its jitter, means add up."""
    folder = shared_data() / "binance-perp"
    bars = pl.read_parquet(folder / "BTCUSDT-15m.parquet").tail(70_000)
    rates = pl.read_parquet(folder / "BTCUSDT-funding.parquet")
    columns = {name: bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    candles = Candles(interval_ms=HOUR // 4, open_ms=bars["timestamp"].to_numpy(), **columns)
    funding = Funding(
        time_ms=rates["timestamp"].to_numpy(), rate=rates[rates.columns[1]].to_numpy()
    )
    events = np.arange(200, candles.n, dtype=np.int64)
    side = np.where(events % 2 == 0, 1, -1).astype(np.int8)
    volatility = np.full(candles.n, 0.002)
    got = triple_barrier(candles, events, side, Barriers(), Costs(), funding, volatility=volatility)
    free = triple_barrier(
        candles, events, side, Barriers(), Costs(), FlatFunding(rate=0.0), volatility=volatility
    )
    kept = ~got.truncated
    assert {PROFIT, STOP, TIME} == set(got.reason[kept].tolist())
    stops = got.gross[kept & (got.reason == STOP)]
    assert stops.max() <= -0.01 + 1e-12  # a gap makes a stop worse, nothing makes it better
    assert got.gross[kept & (got.reason == PROFIT)].max() == pytest.approx(0.02)
    # Held a full day, a position pays three settlements.
    entries = candles.open_ms[np.where(kept, got.entry_index, 0)]
    exits = candles.open_ms[np.where(kept, got.exit_index, 0)]
    for row in np.flatnonzero(kept)[::997]:
        near = (funding.time_ms // 60_000 * 60_000 > entries[row]) & (
            funding.time_ms // 60_000 * 60_000 <= exits[row]
        )
        paid = free.net[row] - got.net[row]
        expected = side[row] * funding.rate[near].sum()
        assert paid == pytest.approx(expected, rel=0.15, abs=1e-9)  # price moved since entry
