"""The pace of a timed market: it goes, stops, steps, jumps and changes its speed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.paper import START_MS, PaperHere, paper_here, until, wandering, write_market

STEP = 900_000
NOW = START_MS + 50 * STEP


@pytest_asyncio.fixture
async def paper(tmp_path: Path) -> AsyncIterator[PaperHere]:
    folder = write_market(tmp_path, {"BTCUSDT": wandering(1, 160)})
    options = ("--market", f"replay:{folder}", "--symbols", "BTCUSDT", "--now", str(NOW))
    async with paper_here(*options, "--speed", "1") as served:
        yield served


async def market(paper: PaperHere, **body: Any) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{paper.url}/__paper/market", json=body) as reply,
    ):
        return dict(await reply.json())


async def test_steps_release_whole_bars(paper: PaperHere) -> None:
    assert await market(paper, step=3) == {"ok": True, "paused": True, "speed": 1.0}
    await until(lambda: paper.mover.bars_done == 3)
    assert paper.exchange.state.now_ms == NOW + 3 * STEP
    await market(paper, step=2)
    await until(lambda: paper.mover.bars_done == 5)


async def test_a_jump_goes_to_a_time_and_the_end_is_the_end(paper: PaperHere) -> None:
    await market(paper, jump_ms=NOW + 20 * STEP)
    await until(lambda: paper.mover.bars_done == 20)
    assert not paper.mover.finished
    await market(paper, jump_ms=NOW + 10_000 * STEP)
    await until(lambda: paper.mover.finished)
    assert paper.mover.bars_left == 0


async def test_speed_and_pause(paper: PaperHere) -> None:
    await market(paper, step=1)
    await until(lambda: paper.mover.bars_done == 1)
    await market(paper, speed=90_000, resume=True)
    await until(lambda: paper.mover.bars_done > 10)
    await market(paper, pause=True)
    stands = paper.mover.bars_done
    await until(lambda: paper.mover.bars_done <= stands + 1)
    assert (await market(paper, resume=True))["paused"] is False
    await until(lambda: paper.mover.bars_done > stands + 3)


@pytest.mark.parametrize("body", [{"step": -1}, {"speed": 0}, {"speed": "x"}, {"jump_ms": "y"}])
async def test_nonsense_is_refused(paper: PaperHere, body: dict[str, Any]) -> None:
    said = await market(paper, **body)
    assert said["ok"] is False
    assert said["error"]


@pytest.mark.slow
async def test_the_bars_that_ticks_show_are_the_recorded_ones(paper: PaperHere) -> None:
    """High, low, close and volume of every ticked bar end where the recording says."""
    seen: dict[int, tuple[float, float, float, float]] = {}
    series = paper.exchange.market.series["BTCUSDT"]
    close = paper.mover.close

    def note() -> None:
        open_ms = paper.mover.open_ms
        one = paper.exchange.running["BTCUSDT"]
        seen[open_ms] = (one.high, one.low, one.close, one.volume)
        close()

    paper.mover.close = note  # type: ignore[method-assign]
    await market(paper, step=1)
    await until(lambda: paper.mover.bars_done == 1)
    await market(paper, speed=1100, resume=True)
    await until(lambda: paper.mover.bars_done == 5)
    for open_ms in list(seen)[1:4]:
        bar = series.candles.candle(series.index_of(open_ms))
        assert seen[open_ms] == (bar.high, bar.low, bar.close, bar.volume)


async def test_the_status_page_is_there(paper: PaperHere) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{paper.url}/") as reply:
            assert reply.content_type == "text/html"
            page = await reply.text()
        for name in ("state", "dump", "faults"):
            assert f"'{name}'" in page
            async with session.get(f"{paper.url}/__paper/{name}") as reply:
                assert reply.status == 200
                assert await reply.json()
