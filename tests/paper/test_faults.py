"""Every fault does to a client what the real thing would, and is logged with what it hit."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from executor.paper.faults import KINDS, MARKET, ORDER, REQUEST, STREAM, Fault, Faults
from features.errors import InputError
from tests.support.bybit_client import BybitError, Client, Stream, bybit_client
from tests.support.paper import (
    START_MS,
    PaperHere,
    acknowledge,
    paper_here,
    until,
    wandering,
    write_market,
)

STEP = 900_000
NOW = START_MS + 100 * STEP
WALLET = "/v5/account/wallet-balance"


def options(folder: Path) -> tuple[str, ...]:
    write_market(folder, {"BTCUSDT": wandering(1, 160), "ETHUSDT": wandering(2, 160)})
    fixed = ("--market", f"replay:{folder}", "--symbols", "BTCUSDT,ETHUSDT", "--now", str(NOW))
    return (*fixed, "--bars", "50")


@pytest_asyncio.fixture
async def paper(tmp_path: Path) -> AsyncIterator[PaperHere]:
    async with paper_here(*options(tmp_path), "--speed", "1", "--rate-limits", "none") as served:
        yield served


@pytest_asyncio.fixture
async def me(paper: PaperHere) -> AsyncIterator[Client]:
    async with bybit_client(paper) as client:
        yield client


async def plan(paper: PaperHere, kind: str, **fields: Any) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{paper.url}/__paper/fault", json={"kind": kind, **fields}) as reply,
    ):
        said = dict(await reply.json())
        assert reply.status == (200 if said["ok"] else 400)
        return said


def hits(paper: PaperHere) -> list[str]:
    return [hit.kind for hit in paper.exchange.faults.hits]


async def raw(paper: PaperHere, me: Client, path: str) -> tuple[int, str]:
    async with me.session.get(paper.url + path, headers=me.rest.headers("")) as reply:
        return reply.status, await reply.text()


@pytest.mark.parametrize(
    ("status", "body"), [(429, "{}"), (403, "access too frequent"), (502, "<html>"), (200, "<p>")]
)
async def test_http_answers(paper: PaperHere, me: Client, status: int, body: str) -> None:
    arguments = {"status": status, "body": body}
    await plan(paper, "http", match="wallet", arguments=arguments)
    assert await raw(paper, me, WALLET) == (status, body)
    assert (await me.rest.get(WALLET))["retCode"] == 0
    (hit,) = paper.exchange.faults.hits
    assert (hit.kind, hit.where) == ("http", f"GET {WALLET}")


async def test_any_retcode_as_often_as_asked(paper: PaperHere, me: Client) -> None:
    await plan(paper, "retcode", match="order/create", count=2, arguments={"code": 10016})
    for _ in range(2):
        with pytest.raises(BybitError, match="10016"):
            await me.rest.order("Buy", "1", orderLinkId="seen")
    await me.rest.order("Buy", "1", orderLinkId="seen")
    assert all('"orderLinkId": "seen"' in hit.what for hit in paper.exchange.faults.hits)
    await plan(paper, "rate_limit", match=WALLET)
    async with me.session.get(paper.url + WALLET, headers=me.rest.headers("")) as reply:
        assert (await reply.json())["retCode"] == 10006
        assert reply.headers["X-Bapi-Limit-Status"] == "0"


async def test_a_lost_acknowledgement_is_an_order_all_the_same(
    paper: PaperHere, me: Client
) -> None:
    await plan(paper, "hang_after", match="order/create")
    placing = asyncio.create_task(me.rest.order("Buy", "1", orderLinkId="lost"))
    await until(lambda: hits(paper))
    found = await me.rest.get("/v5/order/realtime", category="linear", orderLinkId="lost")
    assert found["result"]["list"][0]["orderStatus"] == "Filled"
    assert not placing.done()
    placing.cancel()


async def test_a_request_that_hangs_before_never_arrives(paper: PaperHere, me: Client) -> None:
    await plan(paper, "hang_before", match="order/create", arguments={"seconds": 60})
    placing = asyncio.create_task(me.rest.order("Buy", "1", orderLinkId="never"))
    await until(lambda: hits(paper))
    assert not placing.done()
    placing.cancel()
    await plan(paper, "disconnect", match="order/create")
    with pytest.raises(aiohttp.ClientError):
        await me.rest.order("Buy", "1", orderLinkId="never")
    found = await me.rest.get("/v5/order/realtime", category="linear", orderLinkId="never")
    assert found["result"]["list"] == []


@pytest.mark.slow
async def test_a_late_request_arrives_after_its_client_gave_up(
    paper: PaperHere, me: Client
) -> None:
    await plan(paper, "late", match="order/create", arguments={"seconds": 1.5})
    body = asyncio.create_task(me.rest.order("Buy", "1", orderLinkId="late"))
    await until(lambda: hits(paper))
    query = {"category": "linear", "orderLinkId": "late"}
    assert (await me.rest.get("/v5/order/realtime", **query))["result"]["list"] == []
    await body
    assert (await me.rest.get("/v5/order/realtime", **query))["result"]["list"]


@pytest.mark.slow
async def test_events_may_come_before_the_reply(paper: PaperHere, me: Client) -> None:
    private = await me.stream("private")
    await private.subscribe("order")
    await plan(paper, "slow", match="order/create", arguments={"seconds": 1.5})
    placing = asyncio.create_task(me.rest.order("Buy", "1"))
    told = await private.topic("order")
    assert not placing.done()
    assert told["data"][0]["orderId"] == await placing


async def test_a_skewed_clock_refuses_signatures(paper: PaperHere, me: Client) -> None:
    await plan(paper, "skew", arguments={"ms": 20_000})
    with pytest.raises(BybitError, match="10002"):
        await me.rest.get(WALLET)
    me.rest.offset_ms = 20_000
    assert (await me.rest.get(WALLET))["retCode"] == 0


async def listening(me: Client) -> Stream:
    private = await me.stream("private")
    await private.subscribe("order", "execution")
    return private


async def rest_and_cancel(me: Client) -> None:
    order = await me.rest.order("Buy", "1", price="90")
    await me.rest.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderId=order)


@pytest.mark.slow
async def test_messages_are_lost_doubled_delayed_and_reordered(
    paper: PaperHere, me: Client
) -> None:
    private = await listening(me)

    async def states(kind: str, wanted: int) -> list[str]:
        start = len(private.rows("order"))
        await plan(paper, kind, match="order", arguments={"seconds": 1.0})
        await rest_and_cancel(me)
        await until(lambda: len(private.rows("order")) == start + wanted)
        return [row["orderStatus"] for row in private.rows("order")[start:]]

    assert await states("ws_drop", 1) == ["Cancelled"]
    assert await states("ws_duplicate", 3) == ["New", "New", "Cancelled"]
    assert await states("ws_delay", 2) == ["Cancelled", "New"]
    assert await states("ws_reorder", 2) == ["Cancelled", "New"]
    assert hits(paper) == ["ws_drop", "ws_duplicate", "ws_delay", "ws_reorder"]


async def test_sockets_are_closed_or_left_half_open(paper: PaperHere, me: Client) -> None:
    first = await listening(me)
    await plan(paper, "ws_close")
    await until(lambda: first.socket.closed)
    assert first.socket.close_code == 1001
    second = await listening(me)
    seen = len(second.messages)
    await plan(paper, "ws_half_open")
    await second.say(op="ping", req_id="1")
    await rest_and_cancel(me)
    await asyncio.sleep(0.1)
    assert len(second.messages) == seen
    assert not second.socket.closed


async def test_orders_are_filled_in_part_or_rejected_late(paper: PaperHere, me: Client) -> None:
    private = await listening(me)
    await plan(paper, "partial_fill", match="BTCUSDT", arguments={"fraction": 0.25})
    partial = await me.rest.order("Buy", "2")
    row = (
        await private.until(
            lambda m: (
                m.get("topic") == "order"
                and m["data"][0]["orderId"] == partial
                and m["data"][0]["orderStatus"] == "PartiallyFilledCanceled"
            )
        )
    )["data"][0]
    assert row["cumExecQty"] == "0.5"
    await plan(paper, "reject")
    rejected = await me.rest.order("Sell", "1", price="110")
    row = (
        await private.until(
            lambda m: m.get("topic") == "order" and m["data"][0]["orderId"] == rejected
        )
    )["data"][0]
    assert row["orderStatus"] == "Rejected"
    await plan(paper, "stop_rejected")
    await me.rest.order("Buy", "1", stopLoss="80")
    await private.until(
        lambda m: (
            m.get("topic") == "order"
            and m["data"][0]["stopOrderType"] == "StopLoss"
            and m["data"][0]["orderStatus"] == "Rejected"
        )
    )
    found = await me.rest.get("/v5/position/list", category="linear", symbol="BTCUSDT")
    assert found["result"]["list"][0]["stopLoss"] == ""
    assert hits(paper) == ["partial_fill", "reject", "stop_rejected"]


@pytest.mark.parametrize(
    ("kind", "execution", "create"),
    [
        ("close_by_hand", "Trade", "CreateByClosing"),
        ("liquidate", "BustTrade", "CreateByLiq"),
        ("adl", "AdlTrade", "CreateByAdl_PassThrough"),
    ],
)
async def test_positions_are_closed_from_outside(
    paper: PaperHere, me: Client, kind: str, execution: str, create: str
) -> None:
    private = await listening(me)
    await me.rest.order("Buy", "2")
    await private.topic("execution")
    await plan(paper, kind, match="BTC")
    await until(lambda: len(private.rows("execution")) == 2)
    row = private.rows("execution")[-1]
    assert (row["execType"], row["side"], row["execQty"]) == (execution, "Sell", "2")
    assert row["createType"] == create
    assert hits(paper) == [kind]
    listed = await me.rest.get("/v5/position/list", category="linear", settleCoin="USDT")
    assert listed["result"]["list"] == []


async def test_everybody_hears_of_a_liquidation(paper: PaperHere, me: Client) -> None:
    private, public = await listening(me), await me.stream("public/linear")
    await public.subscribe("allLiquidation.BTCUSDT")
    await me.rest.order("Buy", "2")
    await private.topic("execution")
    await plan(paper, "liquidate", match="BTC")
    (row,) = (await public.topic("allLiquidation.BTCUSDT"))["data"]
    assert (row["s"], row["S"], row["v"]) == ("BTCUSDT", "Buy", "2")  # a long was liquidated


async def test_instruments_change(paper: PaperHere, me: Client) -> None:
    arguments: dict[str, Any] = {"tick": "0.5", "lot": "1", "notional_min": "50"}
    await plan(paper, "instrument", match="BTCUSDT", arguments=arguments)
    query = {"category": "linear", "symbol": "BTCUSDT"}
    row = (await me.rest.get("/v5/market/instruments-info", **query))["result"]["list"][0]
    assert row["priceFilter"]["tickSize"] == "0.5"
    assert row["lotSizeFilter"]["qtyStep"] == "1"
    for quantity, price in (("1.5", "90"), ("1", "90.1")):
        with pytest.raises(BybitError, match="10001"):
            await me.rest.order("Buy", quantity, price=price)
    await plan(paper, "instrument", match="BTCUSDT", arguments={"status": "Closed"})
    with pytest.raises(BybitError, match="110074"):
        await me.rest.order("Buy", "1", price="90")


async def test_maintenance_closes_everything_but_the_status(paper: PaperHere, me: Client) -> None:
    private = await listening(me)
    await plan(paper, "maintenance", arguments={"seconds": 600})
    await until(lambda: private.socket.closed)
    assert (await raw(paper, me, WALLET))[0] == 503
    assert '"ongoing"' in (await raw(paper, me, "/v5/system/status"))[1]
    paper.exchange.maintenance_until = paper.exchange.clock.monotonic()
    assert (await raw(paper, me, WALLET))[0] == 200
    assert '"list":[]' in (await raw(paper, me, "/v5/system/status"))[1]


async def test_a_ban_turns_everybody_away(paper: PaperHere, me: Client) -> None:
    await plan(paper, "ban", arguments={"seconds": 600})
    assert (await raw(paper, me, "/v5/market/time"))[0] == 403
    paper.exchange.clock.skew_ms = 601_000
    assert (await raw(paper, me, "/v5/market/time"))[0] == 200


async def test_klines_go_stale_and_bars_go_missing(tmp_path: Path) -> None:
    faults = [
        {"kind": "stale_klines", "bar": 3, "arguments": {"bars": 2}},
        {"kind": "missing_bar", "bar": 7, "match": "ETHUSDT"},
        {"kind": "retcode", "bar": 5, "match": "wallet", "arguments": {"code": 10018}},
    ]
    (tmp_path / "faults.json").write_text(json.dumps(faults))
    arguments = ("--speed", "lockstep", "--faults", str(tmp_path / "faults.json"))
    async with paper_here(*options(tmp_path), *arguments) as paper, bybit_client(paper) as me:
        public = await me.stream("public/linear")
        await public.subscribe("kline.15.BTCUSDT", "kline.15.ETHUSDT", "tickers.BTCUSDT")
        for k in range(10):
            await acknowledge(paper, NOW + k * STEP if k else 0)
            await until(lambda k=k: paper.mover.bars_done == k + 1)
            if k == 3:
                assert (await me.rest.get(WALLET))["retCode"] == 0
            if k == 4:
                with pytest.raises(BybitError, match="10018"):
                    await me.rest.get(WALLET)

        def shown(symbol: str) -> list[int]:
            return [
                (m["data"][0]["start"] - NOW) // STEP + 1
                for m in public.of(f"kline.15.{symbol}")
                if m["data"][0]["confirm"]
            ]

        await until(lambda: shown("BTCUSDT")[-1:] == [10])
        assert shown("BTCUSDT") == [1, 2, 5, 6, 7, 8, 9, 10]
        assert shown("ETHUSDT") == [1, 2, 5, 6, 8, 9, 10]
        query = {"category": "linear", "symbol": "ETHUSDT", "interval": "15", "start": NOW}
        rows = (await me.rest.get("/v5/market/kline", **query))["result"]["list"]
        assert NOW + 6 * STEP not in [int(row[0]) for row in rows]
        assert [hit.kind for hit in paper.exchange.faults.hits] == [
            "stale_klines",
            "retcode",
            "missing_bar",
        ]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "htp"},
        {"kind": "skew", "arguments": {"ms": "soon"}},
        {"kind": "instrument", "match": "BTCUSD"},
        {"kind": "instrument", "match": "BTCUSDT", "arguments": {"tick": -1}},
        {"kind": "instrument", "match": "BTCUSDT", "arguments": {"colour": "red"}},
        {"kind": "liquidate", "arguments": {"account": "nobody"}},
        {"kind": "partial_fill", "match": "BTCUSD"},
        {"kind": "skew", "arguments": []},
        {"kind": 7},
        {"kind": "delist"},
        {"kind": "http", "arguments": {"staus": 429}},
    ],
)
@pytest.mark.parametrize("when", [{}, {"bar": 3}])
async def test_a_fault_that_cannot_be_is_refused(
    paper: PaperHere, body: dict[str, Any], when: dict[str, int]
) -> None:
    """At once, and not only when its bar comes."""
    said = await plan(paper, **body, **when)
    assert said["ok"] is False
    assert "\n" not in said["error"]
    assert hits(paper) == []
    assert paper.exchange.faults.planned == []


async def test_a_contract_is_delisted(paper: PaperHere, me: Client) -> None:
    """Its orders end, its positions are settled without a fee, and it is nowhere to be seen."""
    private, public = await listening(me), await me.stream("public/linear")
    await public.subscribe("kline.15.BTCUSDT", "tickers.ETHUSDT")
    await me.rest.order("Buy", "2", stopLoss="50")
    await me.rest.order("Buy", "1", price="90")
    await private.topic("execution")
    await plan(paper, "delist", match="BTCUSDT")
    await until(lambda: len(private.rows("execution")) == 2)
    row = private.rows("execution")[-1]
    assert (row["execType"], row["createType"], row["execFee"]) == ("Settle", "CreateBySettle", "0")
    account = paper.exchange.state.accounts["main"]
    assert account.open_positions() == []
    assert list(paper.exchange.state.orders.open_of("main")) == []
    ended = [row for row in private.rows("order") if row["cancelType"] == "CancelBySettle"]
    assert {row["stopOrderType"] for row in ended} == {"", "StopLoss"}
    query = {"category": "linear"}
    for path in ("instruments-info", "tickers"):
        rows = (await me.rest.get(f"/v5/market/{path}", **query))["result"]["list"]
        assert [row["symbol"] for row in rows] == ["ETHUSDT"]
    closed = await me.rest.get("/v5/market/instruments-info", **query, status="Closed")
    assert [row["symbol"] for row in closed["result"]["list"]] == ["BTCUSDT"]
    with pytest.raises(BybitError, match="Not supported symbols"):
        await me.rest.get("/v5/market/kline", **query, symbol="BTCUSDT", interval="15")
    with pytest.raises(BybitError, match="110074"):
        await me.rest.order("Buy", "1", price="90")
    said = len(public.messages)
    for _ in range(3):
        paper.mover.begin(0)
        paper.mover.whole()
        paper.mover.close()
        list(paper.mover.news())
    await until(lambda: sum("tickers" in m.get("topic", "") for m in public.messages[said:]) == 3)
    assert not [m for m in public.messages[said:] if "kline" in m.get("topic", "")]


async def test_a_contract_that_was_closed_goes_on(paper: PaperHere, me: Client) -> None:
    """While it is closed it has no bars and nothing of it is filled; then it has the market's."""
    series = paper.exchange.market.series["BTCUSDT"].candles

    def bar() -> None:
        paper.mover.begin(0)
        paper.mover.whole()
        paper.mover.close()

    bar()
    await me.rest.order("Buy", "1", price="50")
    await plan(paper, "instrument", match="BTCUSDT", arguments={"status": "Closed"})
    first = paper.exchange.state.now_ms
    bar()
    bar()
    assert len(list(paper.exchange.state.orders.open_of("main"))) == 1
    await plan(paper, "instrument", match="BTCUSDT", arguments={"status": "Trading"})
    again = paper.exchange.state.now_ms
    bar()
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": "15", "limit": "3"}
    rows = (await me.rest.get("/v5/market/kline", **query))["result"]["list"]
    assert [int(row[0]) for row in rows] == [again + STEP, again, first - STEP]
    assert float(rows[1][4]) == series.close[series.open_ms == again][0]


async def test_faults_are_listed_with_what_they_hit(paper: PaperHere, me: Client) -> None:
    await plan(paper, "retcode", match=WALLET, count=3)
    with pytest.raises(BybitError):
        await me.rest.get(WALLET, accountType="UNIFIED")
    async with me.session.get(f"{paper.url}/__paper/faults") as reply:
        said = await reply.json()
    assert said["planned"][0]["count"] == 2
    assert said["hits"][0]["what"] == "accountType=UNIFIED"
    assert set(said["kinds"]) == set(KINDS) == {*REQUEST, *STREAM, *ORDER, *MARKET}


def test_random_faults_are_a_function_of_the_seed() -> None:
    def run(seed: int) -> list[str]:
        faults = Faults(seed, 0.2)
        for number in range(200):
            faults.take(REQUEST if number % 2 else STREAM, f"thing {number}", "", 0)
        return [f"{hit.kind} {hit.where}" for hit in faults.hits]

    assert run(1) == run(1) != run(2)
    assert 15 < len(run(1)) < 70
    assert Faults(1, 0.0).take(REQUEST, "x", "", 0) is None


def test_an_unknown_fault_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'ws_drop'"):
        Fault(kind="ws_dorp")


async def sent(trade: Stream, number: int, link: str) -> None:
    body = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market"}
    order = {**body, "qty": "1", "orderLinkId": link}
    await trade.say(op="order.create", reqId=str(number), header={}, args=[order])


async def exists(me: Client, link: str) -> bool:
    query = {"category": "linear", "orderLinkId": link}
    return bool((await me.rest.get("/v5/order/realtime", **query))["result"]["list"])


@pytest.mark.slow
async def test_orders_over_the_socket_meet_the_same_faults(paper: PaperHere, me: Client) -> None:
    trade = await me.stream("trade")
    reply = {}
    for number, (kind, code, there) in enumerate(
        (("retcode", 10016, False), ("rate_limit", 10006, False), ("slow", 0, True))
    ):
        await plan(paper, kind, match="order/create", arguments={"seconds": 0.05})
        await sent(trade, number, kind)
        reply = await trade.until(lambda m, n=number: m.get("reqId") == str(n))
        assert (reply["retCode"], await exists(me, kind)) == (code, there)
    await plan(paper, "late", match="order/create", arguments={"seconds": 1.0})
    await sent(trade, 7, "late")
    assert not await exists(me, "late")
    await trade.until(lambda m: m.get("reqId") == "7")
    assert await exists(me, "late")
    for kind, there in (("hang_before", False), ("hang_after", True)):
        await plan(paper, kind, match="order/create")
        await sent(trade, 8, kind)
        await trade.say(op="ping")
        await trade.until(lambda m: m.get("op") == "pong", len(trade.messages))
        assert await exists(me, kind) == there
    assert not any(m.get("reqId") == "8" for m in trade.messages)
    await plan(paper, "disconnect", match="order/create")
    await sent(trade, 9, "cut")
    await until(lambda: trade.socket.closed or trade.ended)
    assert not await exists(me, "cut")
    hit = paper.exchange.faults.hits[-1]
    assert hit.where == "WS /v5/order/create"
    assert '"orderLinkId":"cut"' in hit.what


async def test_every_hit_says_what_it_hit(paper: PaperHere, me: Client) -> None:
    private = await listening(me)
    await plan(paper, "ws_drop", match="order")
    order = await me.rest.order("Buy", "1", price="90", orderLinkId="lost-news")
    await until(lambda: hits(paper))
    await plan(paper, "reject")
    rejected = await me.rest.order("Sell", "1", price="110", orderLinkId="late-no")
    await private.until(lambda m: m.get("topic") == "order")
    dropped, refused = paper.exchange.faults.hits
    assert (dropped.where, refused.where) == ("order", "BTCUSDT")
    assert order in dropped.what
    assert refused.what == f"{rejected} late-no"


async def test_a_storm_of_rate_limits_ends(paper: PaperHere, me: Client) -> None:
    await plan(paper, "rate_limit", match="/v5/order", count=20)
    for _ in range(20):
        with pytest.raises(BybitError, match="10006"):
            await me.rest.order("Buy", "1")
    await me.rest.order("Buy", "1")
    assert hits(paper) == ["rate_limit"] * 20


@pytest.mark.slow
async def test_stale_klines_still_answer_pings(tmp_path: Path) -> None:
    async with (
        paper_here(*options(tmp_path), "--speed", "900") as paper,
        bybit_client(paper) as me,
    ):
        public = await me.stream("public/linear")
        await public.subscribe("kline.15.BTCUSDT")
        await plan(paper, "stale_klines", arguments={"bars": 1000})
        start = len(public.messages)
        done = paper.mover.bars_done
        await until(lambda: paper.mover.bars_done >= done + 2, 30)
        await public.say(op="ping", req_id="9")
        await public.until(lambda m: m.get("ret_msg") == "pong", start)
        assert not [m for m in public.messages[start:] if m.get("topic")]


@pytest.mark.slow
async def test_a_seeded_plan_hits_the_same_requests_again(tmp_path: Path) -> None:
    """Random faults at a rate, the same requests twice: the same ones fail in the same way."""

    async def run() -> list[tuple[str, str]]:
        random = ("--fault-seed", "5", "--fault-rate", "0.3", "--speed", "1")
        async with (
            paper_here(*options(tmp_path), *random, "--rate-limits", "none") as paper,
            bybit_client(paper) as me,
        ):
            for _ in range(16):
                with contextlib.suppress(BybitError, aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(1.0):
                        await me.rest.get("/v5/account/info")
            return [(hit.kind, hit.where) for hit in paper.exchange.faults.hits]

    first = await run()
    assert first == await run()
    assert 2 <= len(first) <= 12


def test_every_kind_of_fault_is_tested_here() -> None:
    text = Path(__file__).read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
