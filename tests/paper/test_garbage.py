"""Whatever a client sends, it gets the venue's error: never a 500, never a crash, never a hang.

The last word of every test is that the exchange still trades.
"""

import asyncio
import io
import json
import resource
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.paper import rest_market
from executor.paper.commands import ENDPOINTS
from executor.paper.hub import framed
from tests.support.bybit_client import RECV_WINDOW, BybitError, Client, bybit_client, hmac_hex
from tests.support.paper import PaperHere, paper_here, paper_program, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LONG = settings(MANY, max_examples=5_000)
GETS = sorted(path for method, path in rest_market.ENDPOINTS if method == "GET")
SIGNED_GETS = sorted(path for method, path in ENDPOINTS if method == "GET")
POSTS = sorted(path for method, path in ENDPOINTS if method == "POST")
FIELDS = """
    category symbol side orderType qty price timeInForce orderLinkId reduceOnly closeOnTrigger limit
    positionIdx triggerPrice triggerDirection stopLoss takeProfit tpslMode slOrderType slLimitPrice
    orderId orderFilter settleCoin baseCoin cursor start end startTime endTime interval buyLeverage
    sellLeverage mode coin setMarginMode trailingStop activePrice slSize tpSize request execType
    type accountType openOnly status timeWindow"""
WORDS = """
    linear inverse BTCUSDT NOPEUSDT Buy Sell Market Limit GTC FOK 1 0 -1 1e400 -0 NaN Infinity 0.1
    1e-30 99999999999999999999999 15 60 D true false USDT Partial Full StopOrder 3 300 0x10
    ISOLATED_MARGIN 1_000 ١٢٣"""
OPS = "subscribe unsubscribe auth ping order.create order.amend order.cancel order.fly"
NAMES = st.sampled_from(FIELDS.split())
# Lone surrogates too: JSON can hold them, UTF-8 cannot.
ODD = st.text(st.characters(codec=None, categories=None), max_size=10)
TEXTS = st.one_of(st.text(max_size=40), st.sampled_from(WORDS.split()))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, ODD),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.one_of(NAMES, st.text(max_size=8)), VALUES, max_size=12)
LIKELY = st.fixed_dictionaries(
    {"category": st.just("linear"), "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT"])},
    optional={
        "side": st.sampled_from(["Buy", "Sell"]),
        "orderType": st.sampled_from(["Market", "Limit"]),
        "qty": TEXTS,
        "price": TEXTS,
        "triggerPrice": TEXTS,
        "triggerDirection": st.sampled_from([1, 2, 3]),
        "stopLoss": TEXTS,
        "takeProfit": TEXTS,
        "tpslMode": st.sampled_from(["Full", "Partial"]),
        "positionIdx": st.integers(-1, 3),
        "request": st.lists(OBJECTS, max_size=3),
    },
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def paper(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PaperHere]:
    options = ("--history", "300", "--bars", "50", "--rate-limits", "none", "--speed", "1")
    journal = tmp_path_factory.mktemp("garbage") / "journal"
    async with paper_here(*options, "--journal", str(journal)) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def me(paper: PaperHere) -> AsyncIterator[Client]:
    async with bybit_client(paper) as client:
        yield client


async def checked(reply: aiohttp.ClientResponse) -> int:
    """Demand the venue's envelope and return its retCode."""
    assert reply.status == 200, await reply.text()
    said = await reply.json()
    assert {"retCode", "retMsg", "result", "retExtInfo", "time"} <= set(said)
    assert isinstance(said["retCode"], int)
    assert isinstance(said["retMsg"], str)
    return int(said["retCode"])


async def still_trades(me: Client) -> None:
    order = await me.rest.order("Buy", "0.01", price="1000", timeInForce="PostOnly")
    query = {"category": "linear", "symbol": "BTCUSDT", "orderId": order}
    await me.rest.post("/v5/order/cancel", **query)


QUERIES = given(
    path=st.sampled_from(GETS + SIGNED_GETS), params=st.dictionaries(NAMES, TEXTS, max_size=8)
)
BODIES = given(path=st.sampled_from(POSTS), body=st.one_of(LIKELY, OBJECTS, VALUES))


async def ask(me: Client, path: str, params: dict[str, str]) -> None:
    query = urlencode(params)
    url = f"{me.rest.url}{path}?{query}"
    async with me.session.get(url, headers=me.rest.headers(query)) as reply:
        await checked(reply)


async def send(me: Client, path: str, body: Any) -> None:
    text = json.dumps(body)
    async with me.session.post(
        me.rest.url + path, data=text, headers=me.rest.headers(text)
    ) as reply:
        await checked(reply)
    for account in (await dump(me))["accounts"].values():
        assert float(account["wallet"]["totalWalletBalance"]) >= 0


@MANY
@QUERIES
async def test_any_query(me: Client, path: str, params: dict[str, str]) -> None:
    await ask(me, path, params)


@MANY
@BODIES
async def test_any_body(me: Client, path: str, body: Any) -> None:
    await send(me, path, body)


@pytest.mark.soak
@LONG
@QUERIES
async def test_any_query_at_length(me: Client, path: str, params: dict[str, str]) -> None:
    await ask(me, path, params)


@pytest.mark.soak
@LONG
@BODIES
async def test_any_body_at_length(me: Client, path: str, body: Any) -> None:
    await send(me, path, body)


async def dump(me: Client) -> dict[str, Any]:
    async with me.session.get(f"{me.rest.url}/__paper/dump") as reply:
        return dict(await reply.json())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,2]",
        b'"text"',
        b"\xff\xfe",
        b'{"category":' * 5000,
        b"[" * 100_000,
        b'{"qty": 1e999999999}',
        b"x" * 10_000_000,
    ],
    ids=["empty", "cut", "list", "text", "bytes", "nested", "deep", "huge number", "10 MB"],
)
async def test_broken_bodies(me: Client, body: bytes) -> None:
    payload = body.decode(errors="replace") if len(body) < 1_000_000 else ""
    headers = me.rest.headers(payload)
    url = f"{me.rest.url}/v5/order/create"
    try:
        async with me.session.post(url, data=io.BytesIO(body), headers=headers) as reply:
            assert await checked(reply) in (10001, 10004)
    except aiohttp.ClientConnectionError:
        assert len(body) > 1_000_000  # the reply may come before the body was sent
    await still_trades(me)


async def test_forged_replayed_and_foreign_signatures(me: Client) -> None:
    async def code(headers: dict[str, str], query: str = "") -> int:
        url = f"{me.rest.url}/v5/account/wallet-balance?{query}"
        async with me.session.get(url, headers=headers) as reply:
            return await checked(reply)

    good = me.rest.headers("")
    assert await code(good) == 0
    assert await code(good, "accountType=UNIFIED") == 10004  # signed for another query
    assert await code({**good, "X-BAPI-SIGN": good["X-BAPI-SIGN"][:-1] + "x"}) == 10004
    assert await code({**good, "X-BAPI-SIGN": "é"}) == 10004
    assert await code({**good, "X-BAPI-API-KEY": "other"}) == 10003
    assert await code({}) == 10003
    assert await code({k: v for k, v in good.items() if k != "X-BAPI-SIGN"}) == 10004
    for stamp in ("", "soon", "-1", "9" * 30, "1", "١٢٣", "1.5"):
        headers = {**good, "X-BAPI-TIMESTAMP": stamp}
        assert await code(headers) == 10002
    old = str(int(good["X-BAPI-TIMESTAMP"]) - 6000)
    replayed = {
        **good,
        "X-BAPI-TIMESTAMP": old,
        "X-BAPI-SIGN": hmac_hex("paper", old + "paper" + RECV_WINDOW),
    }
    assert await code(replayed) == 10002


async def test_unknown_paths_and_methods(me: Client) -> None:
    for method, path in (
        ("GET", "/v5/market/nothing"),
        ("POST", "/v5/market/kline"),
        ("DELETE", "/v5/order/create"),
        ("GET", "/" + "x" * 5000),
        ("GET", "/v3/order/%00"),
    ):
        async with me.session.request(method, me.rest.url + path) as reply:
            assert reply.status == 404
    await still_trades(me)


FRAMES = given(
    frame=st.one_of(
        st.text(max_size=60),
        st.builds(json.dumps, VALUES),
        st.builds(
            json.dumps,
            st.fixed_dictionaries(
                {"op": st.one_of(st.sampled_from(OPS.split()), VALUES)},
                optional={
                    "args": st.one_of(VALUES, st.lists(st.one_of(TEXTS, LIKELY), max_size=3)),
                    "req_id": VALUES,
                    "reqId": VALUES,
                    "header": VALUES,
                },
            ),
        ),
    )
)


async def say(me: Client, kind: str, frame: str) -> None:
    """Send a frame to a socket that is logged in where it can be; it must live on."""
    async with me.session.ws_connect(f"{me.ws}/v5/{kind}") as socket:
        if kind != "public/linear":
            expires = "9999999999999"
            sign = hmac_hex("paper", f"GET/realtime{expires}")
            await socket.send_json({"op": "auth", "args": ["paper", expires, sign]})
        await socket.send_str(frame)
        await socket.send_str('{"op": "ping", "req_id": "last"}')
        pongs = 0
        async with asyncio.timeout(30):
            async for message in socket:
                said = json.loads(message.data)
                assert isinstance(said, dict)
                pongs += said.get("op") == "pong" or said.get("ret_msg") == "pong"
                if pongs:
                    break
        assert pongs


@pytest.mark.parametrize("kind", ["public/linear", "private", "trade"])
@MANY
@FRAMES
async def test_any_frame(me: Client, kind: str, frame: str) -> None:
    await say(me, kind, frame)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["public/linear", "private", "trade"])
@LONG
@FRAMES
async def test_any_frame_at_length(me: Client, kind: str, frame: str) -> None:
    await say(me, kind, frame)


def by_hand(method: str, path: str, headers: dict[str, bytes], body: bytes = b"") -> bytes:
    """Return an HTTP request as no library would send it."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", b"Connection: close"]
    lines += [name.encode() + b": " + value for name, value in headers.items()]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("path", "changed", "body", "code"),
    [
        ("/v5/market/tickers?" + "&".join(f"a{n}=1" for n in range(150)), {}, b"", 10001),
        ("/v5/market/tickers?symbol=%ff%zz", {}, b"", 10001),
        ("/v5/order/create", {"X-BAPI-SIGN": b"\xff\xfe"}, b"{}", 10004),
        ("/v5/order/create", {"X-BAPI-API-KEY": b"\xff"}, b"{}", 10003),
        ("/v5/order/create", {"X-BAPI-TIMESTAMP": b"\xff1"}, b"{}", 10002),
        ("/v5/order/create", {"X-BAPI-RECV-WINDOW": b"\xff"}, b"{}", 10002),
        ("/v5/order/create", {"Content-Encoding": b"gzip"}, b"nonsense", 10001),
        ("/v5/order/create", {}, b'{"category": "linear", "symbol": "\\ud800"}', 10001),
        ("/v5/order/create", {}, b'{"category": "linear", "symbol": 1%s}' % (b"0" * 40), 10001),
        ("/v5/order/create", {}, b'{"qty": %s}' % (b"1" * 6000), 10001),
        ("/v5/order/create", {}, b'{"category": "linear", "qty": NaN}', 10001),
    ],
)
async def test_requests_that_no_library_would_send(
    me: Client, path: str, changed: dict[str, bytes], body: bytes, code: int
) -> None:
    signed = {n: v.encode() for n, v in me.rest.headers(body.decode()).items()}
    method = "POST" if body else "GET"
    reply = await raw(me, by_hand(method, path, {**signed, **changed}, body))
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert json.loads(reply.split(b"\r\n\r\n", 1)[1])["retCode"] == code


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v5/market/time HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /v5/order/create HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v5/order/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"FOO /v5/market/time HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v5/private HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /v5/market/tickers?symbol=\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["tls", "long header", "length", "chunk", "method", "half a handshake", "nul"],
)
async def test_what_is_no_http_is_a_bad_request(me: Client, request_: bytes) -> None:
    assert b" 400 " in (await raw(me, request_)).split(b"\r\n")[0]
    await still_trades(me)


async def raw(me: Client, request: bytes) -> bytes:
    """Send bytes over a connection of their own and return what comes back."""
    port = int(me.rest.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(30):
        reply = await reader.read(1 << 20)
    writer.close()
    return reply


async def test_binary_and_huge_frames_end_only_their_own_socket(me: Client) -> None:
    async with me.session.ws_connect(f"{me.ws}/v5/private") as socket:
        await socket.send_bytes(b"\x00" * 100)
        await socket.send_str("x" * 2_000_000)
        async with asyncio.timeout(5):
            async for _ in socket:
                pass
        assert socket.close_code == 1009
    await still_trades(me)


async def test_auth_that_is_no_auth(me: Client) -> None:
    async with me.session.ws_connect(f"{me.ws}/v5/private") as socket:
        expired = "1"
        for arguments in (
            [],
            ["paper"],
            ["paper", "x", "y"],
            ["paper", expired, hmac_hex("paper", f"GET/realtime{expired}")],
            ["nobody", "9999999999999", "00"],
            [{}, [], None],
        ):
            await socket.send_json({"op": "auth", "args": arguments})
            assert (await socket.receive_json(timeout=5))["success"] is False
        await socket.send_json({"op": "subscribe", "args": ["order"], "req_id": "1"})
        assert (await socket.receive_json(timeout=5))["ret_msg"] == "Request not authorized"


async def test_topics_that_are_too_many_or_none(me: Client) -> None:
    public = await me.stream("public/linear")
    too_long = ["kline.15.BTCUSDT"] * 1500
    assert (await public.subscribe(*too_long))["success"] is False
    assert (await public.subscribe("kline.1.BTCUSDT"))["success"] is False
    assert (await public.subscribe("kline.60.BTCUSDT"))["success"] is True


async def test_refusals_name_what_is_wrong(me: Client) -> None:
    for fields, code in (
        ({"qty": "-1"}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "0.0015"}, 10001),
        ({"qty": "1e400"}, 10001),
        ({"symbol": "NOPEUSDT"}, 10001),
        ({"side": "Long"}, 10001),
        ({"category": "spot"}, 10001),
        ({"orderType": "Iceberg"}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"reduceOnly": True}, 110017),
        ({"stopLoss": "9999999"}, 10001),
        ({"qty": "1000000000"}, 10001),
        ({"orderType": "Limit", "price": "1000", "qty": "0.001"}, 110094),
    ):
        body: dict[str, Any] = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Market",
            "qty": "0.001",
        }
        with pytest.raises(BybitError) as refused:
            await me.rest.post("/v5/order/create", **{**body, **fields})
        assert refused.value.code == code, fields


@pytest.mark.slow
@pytest.mark.servers
async def test_a_thousand_sockets() -> None:
    """More than most systems give a process: those that do not fit are refused, the rest served."""
    with paper_program("--history", "300", "--rate-limits", "none") as paper:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def connect() -> aiohttp.ClientWebSocketResponse | None:
                try:
                    return await session.ws_connect(f"{paper.ws}/v5/public/linear")
                except (OSError, aiohttp.ClientError):
                    return None

            opened: list[aiohttp.ClientWebSocketResponse] = []
            for _ in range(10):
                batch = await asyncio.gather(*(connect() for _ in range(100)))
                opened.extend(socket for socket in batch if socket is not None)
            few = resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2048
            assert len(opened) > 400 if few else len(opened) == 1000
            for socket in opened[::50]:
                await socket.send_json({"op": "ping", "req_id": "1"})
                assert (await socket.receive_json(timeout=30))["ret_msg"] == "pong"
            await asyncio.gather(*(socket.close() for socket in opened))
        async with bybit_client(paper) as client:
            await still_trades(client)
        assert paper.process.poll() is None


async def test_a_client_that_does_not_read_is_dropped(
    paper: PaperHere, me: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.paper.hub.BACKLOG_MAX", 50)
    public = await me.stream("public/linear")
    await public.subscribe("kline.15.BTCUSDT")
    (connection,) = [c for c in paper.exchange.hub.public if "kline.15.BTCUSDT" in c.topics]
    for number in range(60):
        connection.put(framed({"number": number}))
    await until(lambda: public.socket.closed)
    await still_trades(me)
