"""Everything that changes the exchange from outside, in one place.

Decides how a client's request, a planned fault, a match that was put off and a lost connection
are journaled and carried out, and how a journal is replayed. Never reads a socket. Rule: nothing
outside changes the venue but through here or through ``mover``.
"""

import asyncio
from typing import Any

from executor.paper import rest_account, rest_position, rest_trade
from executor.paper.calls import Call
from executor.paper.exchange import Exchange
from executor.paper.faults import VENUE_KINDS, Fault, fault_of
from executor.paper.journal import Entry, Journal
from executor.paper.mischief import Mischief
from executor.paper.mover import Mover
from executor.paper.params import Params
from executor.paper.replies import Row
from executor.paper.venue.account import Account
from executor.paper.venue.errors import VenueError

ENDPOINTS = {**rest_trade.ENDPOINTS, **rest_position.ENDPOINTS, **rest_account.ENDPOINTS}


class Commands:
    """Carries out what comes from outside."""

    def __init__(
        self, exchange: Exchange, mover: Mover, mischief: Mischief, journal: Journal
    ) -> None:
        self._exchange = exchange
        self._mover = mover
        self._mischief = mischief
        self._journal = journal

    def call(self, path: str, account: Account, values: dict[str, Any]) -> Row:
        """Carry out a POST request; what it would take is filled once its reply is on the way."""
        exchange = self._exchange
        self._journal.write(["call", path, account.name, values])
        try:
            return ENDPOINTS["POST", path](Call(exchange, Params(values), account))
        finally:
            exchange.publish()
            replayed = self._journal.is_replaying
            if exchange.state.takers and not exchange.holds_takers and not replayed:
                asyncio.get_running_loop().call_soon(self.match)

    def match(self) -> None:
        """Let waiting orders take."""
        if self._exchange.state.takers:
            self._journal.write(["match"])
            self._exchange.match()

    def plan(self, fault: Fault) -> None:
        """Plan a fault, or carry it out where it acts at once."""
        if fault.kind in VENUE_KINDS:
            self._journal.write(["fault", fault.as_values()])
        self._mischief.plan(fault)

    def expire(self, account: str) -> None:
        """Cancel the orders of an account whose protected stream has gone."""
        self._journal.write(["expire", account])
        self._exchange.disconnection.cancel(account)
        self._exchange.publish()

    def replay(self, entries: list[Entry]) -> None:
        """Make every move and carry out every command of a journal again."""
        self._journal.is_replaying = True
        for name, *arguments in entries:
            self._replay(name, arguments)
        self._journal.is_replaying = False

    def _replay(self, name: str, arguments: list[Any]) -> None:
        match name:
            case "begin":
                self._mover.begin(arguments[0])
            case "whole" | "tick" | "close" | "finish":
                getattr(self._mover, name)()
            case "match":
                self._exchange.match()
            case "expire":
                self.expire(arguments[0])
            case "fault":
                self._mischief.plan(fault_of(Params(arguments[0])))
            case "call":
                self._replay_call(*arguments)

    def _replay_call(self, path: str, account: str, values: dict[str, Any]) -> None:
        try:
            self.call(path, self._exchange.state.accounts[account], values)
        except VenueError:
            return  # it was refused then, too
