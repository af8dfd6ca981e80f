"""What somebody else does to the account, while the executor runs and while it is down.

A position is closed, halved, turned round or liquidated elsewhere, an order is left lying about, a
query fails: afterwards the executor holds what the exchange holds, every position has its stop, and
the journal says what happened. The market pauses between the steps, so every moment is exact.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from executor.core.contract import NoticeCode
from executor.core.events import FillReceived
from tests.support.bybit_client import bybit_client
from tests.support.executor_program import ExecutorProgram
from tests.support.rehearsal import account
from tests.support.staging import Stage, rows

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(900)]
QUICK = {
    "reconciler": {"interval_ms": 500, "naked_interval_ms": 500},
    "venue": {"recv_window_ms": 1_000},
}
PATIENCE_S = 180.0


class Hand:
    """Somebody with the same keys, and with power over the market."""

    def __init__(self, stage: Stage, program: ExecutorProgram) -> None:
        self.stage = stage
        self.program = program

    async def ask(self, path: str, **body: Any) -> dict[str, Any]:
        """Put something to the exchange's control."""
        url = self.stage.paper.acknowledge_url.replace("acknowledge", path)
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as reply:
            assert reply.status == 200, await reply.text()
            return dict(await reply.json())

    async def held(self) -> dict[str, dict[str, Any]]:
        """Return the exchange's positions by symbol."""
        url = self.stage.paper.acknowledge_url.replace("acknowledge", "dump")
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            (one,) = (await reply.json())["accounts"].values()
        self.orders = one["orders"]
        return {row["symbol"]: row for row in one["positions"]}

    async def order(self, symbol: str, side: str, quantity: Decimal, **fields: Any) -> None:
        """Send an order of one's own."""
        async with bybit_client(self.stage.paper) as me:
            await me.rest.order(side, f"{quantity:f}", symbol=symbol, **fields)

    async def stand_still(self) -> None:
        """Stop the market before its next bar, and see everything of the last one done."""
        await self.ask("market", pause=True)
        await until(self._is_done, "done with the last close")

    async def go_on(self, bars: int) -> None:
        """Let some bars come."""
        wanted = (await self.stage.state())["step"] + bars
        await self.ask("market", resume=True)

        async def there() -> bool:
            return bool((await self.stage.state())["step"] >= wanted)

        await until(there, f"at bar {wanted}")

    async def agreed(self) -> dict[str, dict[str, Any]]:
        """See executor and exchange hold the same, every position with its stop."""
        await self.stand_still()

        async def same() -> bool:
            _, status = await self.program.get()
            ours = {p["symbol"]: p["side"] * p["quantity"] for p in status.get("positions", [])}
            held = await self.held()
            stopped = all(float(row["stopLoss"] or 0) > 0 for row in held.values())
            return stopped and ours == {s: signed(row) for s, row in held.items()}

        await until(same, "of one mind with the exchange")
        return await self.held()

    async def _is_done(self) -> bool:
        state = await self.stage.state()
        return bool(state["clients"].get("executor", -1) >= state["close_ms"])


def signed(row: dict[str, Any]) -> float:
    return (1 if row["side"] == "Buy" else -1) * float(row["size"])


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():  # noqa: ASYNC110 - another process moves it
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not {what} after {PATIENCE_S:g} s") from None


def notices(program: ExecutorProgram) -> set[str]:
    return {code for (code,) in rows(program.journal, "SELECT code FROM notices")}


async def closes(hand: Hand, row: dict[str, Any]) -> None:
    await hand.ask("fault", kind="close_by_hand", match=row["symbol"])


async def liquidates(hand: Hand, row: dict[str, Any]) -> None:
    await hand.ask("fault", kind="liquidate", match=row["symbol"])


async def trades(hand: Hand, row: dict[str, Any], share: str) -> None:
    size = Decimal(row["size"])
    lot = Decimal(1).scaleb(size.as_tuple().exponent)  # type: ignore[arg-type]  # it is finite
    quantity = max(lot, (size * Decimal(share)).quantize(lot))
    side = "Sell" if row["side"] == "Buy" else "Buy"
    await hand.order(row["symbol"], side, quantity)


async def halves(hand: Hand, row: dict[str, Any]) -> None:
    await trades(hand, row, "0.5")


async def turns_round(hand: Hand, row: dict[str, Any]) -> None:
    await trades(hand, row, "2")


@pytest.mark.parametrize("stage", [100_000], indirect=True)
@pytest.mark.parametrize("down", [False, True], ids=["while it runs", "while it is down"])
async def test_whatever_is_done_to_a_position_is_followed(stage: Stage, down: bool) -> None:
    """All four in one life of the program, one after the other."""
    program = stage.program(changes=QUICK)
    hand = Hand(stage, program)
    try:
        program.start()
        await program.until_running()
        await hand.go_on(5)  # before its first close there is nothing to be done with
        for act in (closes, halves, turns_round, liquidates):
            held = await hand.agreed()
            while not held:
                await hand.go_on(5)
                held = await hand.agreed()
            symbol, row = next(iter(held.items()))
            if down:
                program.kill()
            await act(hand, row)
            if down:
                program.start()
                await program.until_running()
            await hand.go_on(3)
            await hand.agreed()
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
    finally:
        program.kill()
    async with account(stage.paper) as venue:
        executed = await venue.executions(0)
    made = {event.fill.fill_id for event in executed if isinstance(event, FillReceived)}
    booked = {name for (name,) in rows(program.journal, "SELECT fill_id FROM fills")}
    assert made == booked
    reasons = {
        r for (r,) in rows(program.journal, "SELECT json_extract(body, '$.reason') FROM trades")
    }
    assert {"outside", "liquidation"} <= reasons, symbol


@pytest.mark.parametrize("stage", [100_000], indirect=True)
async def test_an_order_that_lies_about_is_cancelled_and_stops_are_not(stage: Stage) -> None:
    async with stage.program(changes=QUICK) as program:
        hand = Hand(stage, program)
        await program.until(lambda s: bool(s.get("positions")), "in a position", PATIENCE_S)
        held = await hand.agreed()
        prices = {row["symbol"]: Decimal(row["markPrice"]) for row in held.values()}
        symbol, price = next(iter(prices.items())) if prices else ("AAAUSDT", Decimal(1000))
        away = (price * Decimal("0.90")).quantize(Decimal("0.1"))
        size = Decimal(held[symbol]["size"])
        await hand.order(symbol, "Buy", size, price=f"{away:f}", orderLinkId="by-hand")

        async def gone() -> bool:
            await hand.go_on(2)
            await hand.agreed()
            return all(order["orderLinkId"] != "by-hand" for order in hand.orders)

        await until(gone, "rid of the order")
        assert NoticeCode.ORPHAN_ORDER in notices(program)
        cancelled = rows(program.journal, "SELECT body FROM intents WHERE kind = 'cancel'")
        assert any("by-hand" in body for (body,) in cancelled)


@pytest.mark.parametrize("stage", [100_000], indirect=True)
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http", "arguments": {"status": 200, "body": "<html>maintenance</html>"}},
        pytest.param(
            {"kind": "http", "arguments": {"status": 503, "body": "<html>down</html>"}},
            marks=pytest.mark.soak,
        ),
        pytest.param({"kind": "retcode", "arguments": {"code": 10016}}, marks=pytest.mark.soak),
    ],
    ids=["a page instead of rows", "503", "10016"],
)
async def test_a_query_that_fails_is_never_taken_for_flat(
    stage: Stage, fault: dict[str, Any]
) -> None:
    async with stage.program(changes=QUICK) as program:
        hand = Hand(stage, program)
        await program.until(lambda s: bool(s.get("positions")), "in a position", PATIENCE_S)
        held = await hand.agreed()
        await hand.ask("fault", match="position/list", count=8, **fault)

        async def met() -> bool:
            url = stage.paper.acknowledge_url.replace("acknowledge", "faults")
            async with aiohttp.ClientSession() as session, session.get(url) as reply:
                return not (await reply.json())["planned"]

        await until(met, "past the failures")
        assert await hand.held() == held
        _, status = await program.get()
        assert {p["symbol"] for p in status["positions"]} == set(held)
        await hand.go_on(3)
        await hand.agreed()
        assert not notices(program) & {NoticeCode.DROPPED, NoticeCode.ADOPTED}
