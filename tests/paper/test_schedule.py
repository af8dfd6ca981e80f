"""What is announced of settlements comes: the next one, its interval, and nothing else."""

from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.paper.parquet import read_funding
from executor.paper.schedule import Schedule, schedule_of
from features.errors import InputError
from features.types import Funding
from tests.support.paper import START_MS, PaperHere, paper_here, wandering, write_market

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


def schedule(*hours: float, jitter_ms: int = 0) -> Schedule:
    times = [START_MS + round(hour * HOUR_MS) + jitter_ms for hour in hours]
    return schedule_of(Funding(time_ms=np.array(times, np.int64), rate=np.full(len(times), 1e-4)))


@given(
    gaps=st.lists(st.sampled_from((60, 120, 240, 480, 960, 7)), max_size=12),
    count=st.integers(0, 1),
    jitter=st.integers(-4_000, 40_000),
    end_hours=st.integers(0, 80),
)
def test_whoever_follows_the_announcements_meets_every_settlement(
    gaps: list[int], count: int, jitter: int, end_hours: int
) -> None:
    minutes = np.cumsum([60, *gaps]) if gaps or count else np.empty(0)
    times = [START_MS + int(m) * MINUTE_MS for m in minutes]
    made = schedule_of(
        Funding(time_ms=np.array(times, np.int64) + jitter, rate=np.zeros(len(times)))
    )
    end_ms = START_MS + end_hours * HOUR_MS
    now, met = START_MS, []
    while 0 < (following := made.next_ms(now, end_ms)) <= max([end_ms, *times]):
        assert following > now
        assert made.next_ms(following - 1, end_ms) == following
        met.append(following)
        now = following
    assert met == times
    assert bool(following) == bool(times)
    known = [gap for gap in gaps if gap in (60, 120, 240, 480)] or [480]
    for begin, gap in zip(times, gaps, strict=False):
        if gap in known:
            assert made.interval_at(begin) == made.interval_at(begin + gap * MINUTE_MS - 1) == gap
        assert made.interval_at(begin) in known


def test_a_recording_that_lacks_a_settlement_promises_none() -> None:
    made = schedule(0, 8, 24, 32)
    now = START_MS + 9 * HOUR_MS
    assert made.next_ms(now, now) == START_MS + 24 * HOUR_MS
    assert made.interval_at(now) == 480
    assert schedule(0, 8).next_ms(now, now + 20 * HOUR_MS) == START_MS + 32 * HOUR_MS
    assert schedule(4, 12).next_ms(START_MS + 13 * HOUR_MS, 0) == START_MS + 20 * HOUR_MS
    assert schedule().next_ms(now, now) == 0
    assert schedule().rate_at(now) is None
    assert schedule(16).rate_at(now) == 0.0


def test_bad_settlements_are_refused_by_the_name_of_their_file(tmp_path: Path) -> None:
    for rows in ([(START_MS, 0.1), (START_MS, 0.2)], [(START_MS, float("nan"))]):
        write_market(tmp_path, {}, funding={"BTCUSDT": rows})
        with pytest.raises(InputError, match="BTCUSDT-funding") as refused:
            read_funding(tmp_path, "BTCUSDT")
        assert "\n" not in str(refused.value)


class Reader:
    """Asks the exchange as a client does."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def get(self, path: str, **query: str) -> list[dict[str, Any]]:
        words = {"category": "linear", "symbol": "BTCUSDT", **query}
        async with self._session.get(f"{self._url}/v5/market/{path}", params=words) as reply:
            envelope = await reply.json()
        assert envelope["retCode"] == 0
        rows: list[dict[str, Any]] = envelope["result"]["list"]
        return rows


async def announced(paper: PaperHere) -> list[tuple[int, int, int]]:
    """Move through the whole market; return (time, next, interval) after each bar."""
    seen: list[tuple[int, int, int]] = []
    async with aiohttp.ClientSession() as session:
        reader = Reader(session, paper.url)
        while True:
            [ticker] = await reader.get("tickers")
            [instrument] = await reader.get("instruments-info")
            assert int(ticker["fundingIntervalHour"]) * 60 == instrument["fundingInterval"]
            now = paper.exchange.state.now_ms
            seen.append((now, int(ticker["nextFundingTime"]), instrument["fundingInterval"]))
            if paper.mover.bars_left < 2:
                break
            paper.mover.begin(0)
            paper.mover.whole()
            paper.mover.close()
        listed = [int(row["fundingRateTimestamp"]) for row in await reader.get("funding/history")]
    begin, end = seen[0][0], seen[-1][0]
    within = sorted(t for t in listed if begin < t <= end)
    assert within == sorted({following for _, following, _ in seen if following <= end})
    for now, following, _ in seen:
        assert following == next((t for t in within if t > now), following)
        assert following > now
    return seen


async def test_a_replay_announces_a_changed_interval_as_it_comes(tmp_path: Path) -> None:
    """Every 8 hours, then every 4, then every one; an hour before the change nobody knows."""
    hours = [-16, -8, 0, 8, 16, 20, 24, 28, 29, 30, 31]
    write_market(
        tmp_path,
        {"BTCUSDT": wandering(3, 24 + 40)},
        interval_ms=HOUR_MS,
        interval="1h",
        start_ms=START_MS - 24 * HOUR_MS,
        funding={"BTCUSDT": [(START_MS + hour * HOUR_MS + 12, 0.0001) for hour in hours]},
    )
    where = ("--market", f"replay:{tmp_path}", "--symbols", "BTCUSDT", "--interval", "1h")
    async with paper_here(*where, "--now", str(START_MS), "--speed", "lockstep") as paper:
        seen = await announced(paper)
        end_ms = paper.exchange.market.end_ms
    interval = {(now - START_MS) // HOUR_MS: minutes for now, _, minutes in seen}
    assert [interval[h] for h in (0, 7, 15, 16, 27, 28, 35)] == [480, 480, 480, 240, 240, 60, 60]
    following = {(now - START_MS) // HOUR_MS: at for now, at, _ in seen}
    assert following[15] == START_MS + 16 * HOUR_MS
    assert following[16] == START_MS + 20 * HOUR_MS
    assert following[31] > end_ms  # the file has no more, so none is promised before the end


@pytest.mark.parametrize("more", [(), ("--scenario", "funding-spike")])
async def test_a_simulated_market_announces_its_settlements(more: tuple[str, ...]) -> None:
    fixed = ("--symbols", "BTCUSDT", "--interval", "1h", "--history", "50", "--bars", "30")
    async with paper_here(*fixed, "--speed", "lockstep", *more) as paper:
        seen = await announced(paper)
    assert {minutes for _, _, minutes in seen} == {480}
    assert all(following % (8 * HOUR_MS) == 0 for _, following, _ in seen)


async def test_without_funding_no_settlement_is_announced(tmp_path: Path) -> None:
    write_market(tmp_path, {"BTCUSDT": wandering(3, 30)})
    where = ("--market", f"replay:{tmp_path}", "--symbols", "BTCUSDT", "--speed", "lockstep")
    async with paper_here(*where) as paper, aiohttp.ClientSession() as session:
        [ticker] = await Reader(session, paper.url).get("tickers")
    assert (ticker["nextFundingTime"], ticker["fundingRate"]) == ("0", "")
