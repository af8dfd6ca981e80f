"""The websockets: what clients say and what they are answered.

Decides the replies to auth, subscribe, ping and order frames. Never decides what is published
(``exchange`` and the conductor do). Rule: an unknown key in a frame is ignored, an unknown topic or
a broken frame is answered in the venue's words, and nothing that a client sends ends the server.
"""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from executor.paper.commands import Commands
from executor.paper.exchange import Exchange
from executor.paper.faults import HANG_SECONDS, REQUEST, SERVER_ERROR, WORDS_MAX, Fault
from executor.paper.hub import Connection, framed
from executor.paper.limits import TOO_MANY_VISITS
from executor.paper.params import json_of
from executor.paper.signature import authenticate_socket, check_frame_time
from executor.paper.topics import first_message, parse_topic
from executor.paper.venue.errors import PARAMS_ERROR, VenueError

PRIVATE_TOPICS = frozenset(
    {"order", "execution", "execution.fast", "position", "wallet", "dcp", "greeks"}
)
ARGUMENTS_CHARS_MAX = 21_000
FRAME_BYTES_MAX = 1 << 20
ORDER_OPS = frozenset(
    {
        "order.create",
        "order.amend",
        "order.cancel",
        "order.create-batch",
        "order.amend-batch",
        "order.cancel-batch",
    }
)
Frame = dict[str, Any]
Answer = Callable[[Exchange, Connection, Frame], Frame | None]


def handler(exchange: Exchange, commands: Commands, kind: str) -> Callable[[web.Request], Any]:
    """Return the request handler of the ``public``, ``private`` or ``trade`` socket."""
    trade: Answer = partial(_trade, commands)
    answers: dict[str, Answer] = {"public": _public, "private": _private, "trade": trade}
    answer = answers[kind]
    group = {
        "public": exchange.hub.public,
        "private": exchange.hub.private,
        "trade": exchange.hub.trade,
    }[kind]

    async def serve(request: web.Request) -> web.StreamResponse:
        now = exchange.clock.now_ms()
        if exchange.is_closed:
            return web.Response(status=503)
        if not exchange.limits.may_connect(request.remote or "", now):
            return web.Response(status=403, text="access too frequent")
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=FRAME_BYTES_MAX)
        await socket.prepare(request)
        if request.transport is None:
            return socket
        connection = Connection(socket, request.transport, exchange.next_connection())
        group.add(connection)
        pump = asyncio.create_task(connection.pump())
        try:
            async for message in socket:
                if connection.frozen:
                    continue
                if message.type == WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type == WSMsgType.PONG:
                    connection.ponged(bytes(message.data))
                elif message.type == WSMsgType.TEXT:
                    _receive(exchange, connection, message.data, answer)
        finally:
            exchange.hub.drop(connection)
            exchange.disconnection.lost(connection)
            pump.cancel()
        return socket

    return serve


def _receive(exchange: Exchange, connection: Connection, raw: str, answer: Answer) -> None:
    """Answer one text frame."""
    frame = json_of(raw)
    if not isinstance(frame, dict) or not isinstance(frame.get("op"), str):
        reply: Frame | None = _failed(connection, "error:invalid op", {})
    else:
        reply = answer(exchange, connection, frame)
    if reply is not None:
        connection.put(framed(reply))


def _request_id(frame: Frame) -> str:
    value = frame.get("req_id", "")
    return str(value) if isinstance(value, str | int) else ""


def _failed(connection: Connection, message: str, frame: Frame) -> Frame:
    op = frame.get("op", "")
    return {
        "success": False,
        "ret_msg": message,
        "conn_id": connection.name,
        "req_id": _request_id(frame),
        "op": op,
        "request": {"op": op, "args": None},
    }


def _acknowledged(connection: Connection, frame: Frame) -> Frame:
    return {
        "success": True,
        "ret_msg": "",
        "conn_id": connection.name,
        "req_id": _request_id(frame),
        "op": frame["op"],
    }


def _topics(frame: Frame) -> list[str] | None:
    """Return the topics of a frame, or None where they are not a list of texts."""
    topics = frame.get("args")
    if not isinstance(topics, list) or not topics:
        return None
    if not all(isinstance(topic, str) for topic in topics):
        return None
    return topics if sum(map(len, topics)) <= ARGUMENTS_CHARS_MAX else None


def _public(exchange: Exchange, connection: Connection, frame: Frame) -> Frame | None:
    op = frame["op"]
    if op == "ping":
        reply = _acknowledged(connection, frame)
        return reply | {"ret_msg": "pong"}
    if op not in ("subscribe", "unsubscribe"):
        return _failed(connection, "error:invalid op", frame)
    topics = _topics(frame)
    if topics is None:
        return _failed(connection, "Params Error", frame)
    for topic in topics:
        if parse_topic(exchange, topic) is None:
            return _failed(connection, f"error:handler not found,topic:{topic}", frame)
    if op == "unsubscribe":
        for topic in topics:
            exchange.hub.unsubscribe(connection, topic)
        return _acknowledged(connection, frame)
    connection.put(framed(_acknowledged(connection, frame)))
    for topic in topics:
        exchange.hub.subscribe(connection, topic)
        message = first_message(exchange, topic)
        if message is not None:
            connection.put(framed(message))
    return None


def _private(exchange: Exchange, connection: Connection, frame: Frame) -> Frame | None:
    op = frame["op"]
    if op == "ping":
        now = str(exchange.clock.now_ms())
        return {
            "req_id": _request_id(frame),
            "op": "pong",
            "args": [now],
            "conn_id": connection.name,
        }
    if op == "auth":
        account = authenticate_socket(exchange.by_key, frame.get("args"), exchange.clock.now_ms())
        if account is None:
            return _failed(connection, "Params Error", frame)
        connection.account = account.name
        return {"success": True, "ret_msg": "", "op": "auth", "conn_id": connection.name}
    if op not in ("subscribe", "unsubscribe"):
        return _failed(connection, "error:invalid op", frame)
    if not connection.account:
        return _failed(connection, "Request not authorized", frame)
    topics = _topics(frame)
    if topics is None:
        return _failed(connection, "Params Error", frame)
    for topic in topics:
        if topic.removesuffix(".linear") not in PRIVATE_TOPICS:
            return _failed(connection, f"error:handler not found,topic:{topic}", frame)
    for topic in topics:
        if op == "subscribe":
            connection.topics.add(topic)
        else:
            connection.topics.discard(topic)
    return _acknowledged(connection, frame)


def _trade(
    commands: Commands, exchange: Exchange, connection: Connection, frame: Frame
) -> Frame | None:
    op = frame["op"]
    now = exchange.clock.now_ms()
    if op == "ping":
        pong = {"op": "pong", "retCode": 0, "retMsg": "OK", "data": [str(now)]}
        return pong | {"connId": connection.name}
    fault = None
    if op in ORDER_OPS:
        words = json.dumps(frame.get("args"), separators=(",", ":"))[:WORDS_MAX]
        where = f"WS /v5/{op.replace('.', '/')}"
        fault = exchange.faults.take(REQUEST, where, words, exchange.state.now_ms)
    if fault is None:
        return _answer_trade(commands, exchange, connection, frame)
    return _failed_trade(commands, exchange, connection, (frame, fault))


def _failed_trade(
    commands: Commands, exchange: Exchange, connection: Connection, met: tuple[Frame, Fault]
) -> Frame | None:
    """Answer an order frame as the fault that it met says, as REST would (``server``)."""
    frame, fault = met
    kind, loop = fault.kind, asyncio.get_running_loop()
    if kind in ("http", "disconnect"):
        connection.abort()
    elif kind in ("retcode", "rate_limit"):
        code = TOO_MANY_VISITS if kind == "rate_limit" else int(fault.number("code", SERVER_ERROR))
        message = "Too many visits!" if kind == "rate_limit" else "Server error"
        reply = _trade_reply(exchange, connection, frame)
        return reply | {"retCode": code, "retMsg": fault.text("message", message)}
    elif kind == "late":

        def later() -> None:
            connection.put(framed(_answer_trade(commands, exchange, connection, frame)))

        loop.call_later(fault.number("seconds", 1.0), later)
    elif kind in ("slow", "hang_after"):
        reply = _answer_trade(commands, exchange, connection, frame)
        seconds = fault.number("seconds", HANG_SECONDS if kind == "hang_after" else 0.5)
        loop.call_later(seconds, connection.put, framed(reply))
    return None


def _trade_reply(exchange: Exchange, connection: Connection, frame: Frame) -> Frame:
    return {
        "reqId": str(frame.get("reqId", "")),
        "retCode": 0,
        "retMsg": "OK",
        "op": frame["op"],
        "data": {},
        "retExtInfo": {},
        "header": {
            "Traceid": exchange.state.identifier("trace", exchange.log.lines).replace("-", ""),
            "Timenow": str(exchange.clock.now_ms()),
        },
        "connId": connection.name,
    }


def _answer_trade(
    commands: Commands, exchange: Exchange, connection: Connection, frame: Frame
) -> Frame:
    op, now = frame["op"], exchange.clock.now_ms()
    if op == "auth":
        account = authenticate_socket(exchange.by_key, frame.get("args"), now)
        connection.account = account.name if account is not None else ""
        code, message = (0, "OK") if account is not None else (10004, "Invalid sign")
        return {"retCode": code, "retMsg": message, "op": "auth", "connId": connection.name}
    reply = _trade_reply(exchange, connection, frame)
    try:
        allowance = exchange.limits.ask(connection.account, f"/v5/{op.replace('.', '/')}", now)
        reply["header"] |= allowance.headers
        allowance.demand()
        reply["data"] = _order(commands, exchange, connection, frame)
        reply["retExtInfo"] = reply["data"].pop("retExtInfo", {})
    except VenueError as error:
        reply.update(retCode=error.code, retMsg=error.message)
    return reply


def _order(commands: Commands, exchange: Exchange, connection: Connection, frame: Frame) -> Frame:
    """Carry out an order frame and return its ids."""
    if not connection.account:
        raise VenueError(10003, "Request not authorized")
    if frame["op"] not in ORDER_OPS:
        raise VenueError(10404, f"op type is not found: {frame['op']}")
    check_frame_time(frame.get("header"), exchange.clock.now_ms())
    arguments = frame.get("args")
    if not isinstance(arguments, list) or len(arguments) != 1 or not isinstance(arguments[0], dict):
        raise VenueError(PARAMS_ERROR, "params error: args must hold one order")
    account = exchange.state.accounts[connection.account]
    return commands.call(f"/v5/{frame['op'].replace('.', '/')}", account, arguments[0])
