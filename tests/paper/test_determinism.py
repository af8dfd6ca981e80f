"""Same seed and same requests: the same event log to the byte, also across a kill and a restart."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from executor.paper.assembly import assemble
from executor.paper.clock import Clock
from executor.paper.journal import Journal
from executor.paper.settings import parse
from features.errors import InputError
from tests.support.bybit_client import Client, bybit_client
from tests.support.paper import (
    START_MS,
    Paper,
    PaperHere,
    acknowledge,
    paper_here,
    paper_program,
    until,
    wandering,
    write_market,
)

STEP = 900_000
NOW = START_MS + 100 * STEP
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def market(tmp_path: Path) -> tuple[str, ...]:
    folder = write_market(
        tmp_path,
        {"BTCUSDT": wandering(1, 200), "ETHUSDT": wandering(2, 200)},
        funding={s: [(NOW + 4 * k * STEP, 0.0002) for k in range(20)] for s in SYMBOLS},
    )
    where = ("--market", f"replay:{folder}", "--symbols", "BTCUSDT,ETHUSDT", "--now", str(NOW))
    return (*where, "--speed", "lockstep", "--bars", "40", "--participation", "0.05")


async def trade_step(client: Client, k: int) -> None:
    """Do what a busy client does at close ``k``: a function of ``k`` alone."""
    rest = client.rest
    symbol = SYMBOLS[k % 2]
    query = {"category": "linear", "symbol": symbol}
    side = "Buy" if k % 3 else "Sell"
    rows = (await rest.get("/v5/market/tickers", **query))["result"]["list"]
    last = float(rows[0]["lastPrice"])
    stop = f"{last * (0.99 if side == 'Buy' else 1.01):.1f}"
    await rest.order(side, "3", symbol=symbol, orderLinkId=f"m-{k}", stopLoss=stop)
    resting = await rest.order(side, "1", symbol=symbol, price=f"{last * 0.999:.1f}")
    if k % 4 == 0:
        await rest.post("/v5/order/cancel", **query, orderId=resting)
    if k % 5 == 0:
        await rest.post("/v5/order/cancel-all", **query)
    if k % 7 == 0:
        leverage = str(2 + k)
        await rest.post(
            "/v5/position/set-leverage", **query, buyLeverage=leverage, sellLeverage=leverage
        )


async def state_of(client: Client) -> dict[str, Any]:
    async with client.session.get(f"{client.rest.url}/__paper/state") as reply:
        return dict(await reply.json())


async def stands_at(client: Client, step: int) -> None:
    """Wait until so many bars have passed."""
    async with asyncio.timeout(30):
        while (await state_of(client))["step"] < step:  # noqa: ASYNC110 - it passes elsewhere
            await asyncio.sleep(0.005)


async def steps(paper: Paper, client: Client, first: int, last: int) -> None:
    """Trade and acknowledge closes ``first`` to ``last``."""
    for k in range(first, last + 1):
        await trade_step(client, k)
        await acknowledge(paper, NOW + k * STEP)
        await stands_at(client, min(k + 1, 40))


async def run_through(*options: str) -> tuple[str, bytes]:
    """Run the whole market in this process; return the digest and the event log's bytes."""
    log = Path(options[options.index("--event-log") + 1])
    async with paper_here(*options) as paper, bybit_client(paper) as client:
        await acknowledge(paper, 0)
        await until(lambda: paper.mover.bars_done == 1)
        await steps(paper, client, 1, 39)
        digest = str((await state_of(client))["event_digest"])
    return digest, log.read_bytes()  # noqa: ASYNC240 - nothing else runs any more


@pytest.mark.slow
async def test_two_runs_give_the_same_bytes(market: tuple[str, ...], tmp_path: Path) -> None:
    first = await run_through(*market, "--event-log", str(tmp_path / "first.log"))
    second = await run_through(*market, "--event-log", str(tmp_path / "second.log"))
    other = await run_through(*market, "--event-log", str(tmp_path / "third.log"), "--seed", "2")
    assert first == second
    assert first != other
    lines = first[1].splitlines()
    topics = {json.loads(line)[3] for line in lines}
    assert topics == {"order", "execution", "execution.fast", "position", "wallet"}
    assert len(lines) > 300


@pytest.mark.servers
@pytest.mark.slow
async def test_a_killed_exchange_goes_on_where_it_was(
    market: tuple[str, ...], tmp_path: Path
) -> None:
    """Killed three times in other processes: the same bytes as one that ran through here."""
    expected, whole = await run_through(*market, "--event-log", str(tmp_path / "whole.log"))
    log, journal = tmp_path / "killed.log", tmp_path / "journal"
    options = (*market, "--event-log", str(log), "--journal", str(journal))
    closes = [(1, 9), (10, 18), (19, 30), (31, 39)]
    digest = ""
    for first, last in closes:
        with paper_program(*options) as paper:
            async with bybit_client(paper) as client:
                if first == 1:
                    await acknowledge(paper, 0)
                    await stands_at(client, 1)
                else:
                    assert (await state_of(client))["step"] == first
                await steps(paper, client, first, last)
                digest = str((await state_of(client))["event_digest"])
            os.kill(paper.process.pid, signal.SIGKILL)
            paper.process.wait(10)
        with journal.open("ab") as torn:
            torn.write(b'["call","/v5/order/cre')
    assert digest == expected
    assert log.read_bytes() == whole


async def goes_on(paper: PaperHere) -> None:
    """Wait until the market has gone on by a tick or a bar."""
    stood = (paper.mover.bars_done, paper.mover.ticks_left)
    await until(lambda: (paper.mover.bars_done, paper.mover.ticks_left) != stood)


@pytest.mark.slow
async def test_a_timed_market_is_replayed_too(tmp_path: Path) -> None:
    """Ticks, matches and a liquidation by hand are in the journal; the clock is not."""
    folder = write_market(tmp_path, {"BTCUSDT": wandering(1, 200)})
    options = ("--market", f"replay:{folder}", "--symbols", "BTCUSDT", "--now", str(NOW))
    journal = ("--journal", str(tmp_path / "journal"))
    async with paper_here(*options, "--speed", "900", *journal) as paper:
        async with bybit_client(paper) as client:
            for k in range(6):
                await client.rest.order("Buy" if k % 2 else "Sell", "2")
                await goes_on(paper)
            await client.rest.order("Buy", "5")
            body = {"kind": "liquidate", "match": "BTCUSDT"}
            async with client.session.post(f"{paper.url}/__paper/fault", json=body) as reply:
                assert reply.status == 200
        digest, moved = paper.exchange.log.digest, paper.mover.bars_done
        assert any(fill.kind == "BustTrade" for fill in paper.exchange.state.executions)
    again = assemble(parse([*options, "--speed", "900", *journal]), Clock())
    assert again.mover.bars_done >= moved
    assert again.exchange.log.digest == digest
    again.journal.close()


def test_a_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    arguments = ["--history", "20", "--bars", "5", "--speed", "lockstep"]
    journal = ["--journal", str(tmp_path / "journal")]
    assemble(parse([*arguments, *journal]), Clock()).journal.close()
    with pytest.raises(InputError, match="seed, costs differ"):
        assemble(parse([*arguments, *journal, "--seed", "2", "--taker-fee", "0"]), Clock())


@pytest.mark.parametrize("content", ["[1]\n", "my notes", "my\nnotes\n", '{"other": 1}\n'])
def test_somebody_elses_file_is_never_overwritten(tmp_path: Path, content: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text(content)
    arguments = ["--history", "20", "--bars", "5", "--speed", "lockstep"]
    for option, says in (("--journal", "is no journal"), ("--event-log", "is no event log")):
        with pytest.raises(InputError, match=says):
            assemble(parse([*arguments, option, str(theirs)]), Clock())
        assert theirs.read_text() == content


def test_a_journal_that_was_cut_off_in_its_header_begins_anew(tmp_path: Path) -> None:
    arguments = ["--history", "20", "--bars", "5", "--speed", "lockstep"]
    journal = tmp_path / "journal"
    options = parse([*arguments, "--journal", str(journal), "--event-log", str(tmp_path / "log")])
    for cut in (0, 1, 20, None):
        whole = assemble(options, Clock())
        whole.journal.close()
        whole.exchange.log.close()
        header = journal.read_bytes()
        journal.write_bytes(header[:cut])
    assert header.endswith(b"\n")
    assert Journal(journal).past == []


def test_a_simulated_market_by_the_clock_stays_where_its_journal_began(tmp_path: Path) -> None:
    arguments = ["--history", "20", "--bars", "5", "--journal", str(tmp_path / "journal")]
    clock = Clock()
    first = assemble(parse(arguments), clock)
    first.journal.close()
    clock.skew_ms = 86_400_000
    second = assemble(parse(arguments), clock)
    second.journal.close()
    assert second.exchange.market.now_ms == first.exchange.market.now_ms


@pytest.mark.servers
@pytest.mark.slow
async def test_two_processes_with_other_hashes_give_the_same_bytes(
    market: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing hangs on the order of a set or a dictionary of hashes, nor on the process."""
    ran: list[tuple[str, bytes]] = []
    for seed in ("1", "77"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        log = tmp_path / f"hash-{seed}.log"
        with paper_program(*market, "--event-log", str(log)) as paper:
            async with bybit_client(paper) as client:
                await acknowledge(paper, 0)
                await stands_at(client, 1)
                await steps(paper, client, 1, 20)
                digest = str((await state_of(client))["event_digest"])
        ran.append((digest, log.read_bytes()))
    assert ran[0] == ran[1]
    assert len(ran[0][1].splitlines()) > 150
