"""Faults of the market and of everybody, carried out.

Decides how each kind of ``faults.MARKET`` and ``faults.ORDER`` is done to the exchange. Never
decides when. Rule: a fault acts only through what the real thing would do it through: the clock,
the sockets, the venue core.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from executor.paper.exchange import Exchange
from executor.paper.faults import MARKET, ORDER, VENUE_KINDS, Fault
from executor.paper.venue import liquidation
from executor.paper.venue.account import Account
from executor.paper.venue.instruments import Instrument
from executor.paper.venue.positions import Position
from executor.paper.venue.state import VenueState
from features.errors import InputError
from features.suggest import unknown_name

EVERY_ACCOUNT = "*"
CLOSING = ("close_by_hand", "liquidate", "adl")
STATUSES = ("Trading", "ReduceOnly", "Closed")
Closing = Callable[[VenueState, Account, Position], None]


class Mischief:
    """Does to one exchange what faults ask for."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._actions: dict[str, Callable[[Fault], str]] = {
            "skew": self._skew,
            "ws_close": self._close_sockets,
            "ws_half_open": self._half_open,
            "stale_klines": self._stale,
            "missing_bar": self._missing,
            "close_by_hand": lambda fault: self._close(fault, liquidation.close_by_hand),
            "liquidate": lambda fault: self._close(fault, _liquidate),
            "adl": lambda fault: self._close(fault, liquidation.deleverage),
            "delist": self._delist,
            "instrument": self._instrument,
            "maintenance": self._maintenance,
            "ban": self._ban,
        }

    def plan(self, fault: Fault) -> None:
        """Plan a fault for its bar; without one, those of the market act at once.

        Raises
        ------
        InputError
            Where it names a symbol, an account or a value that is not there.
        """
        self._check(fault)
        if fault.bar or fault.kind not in (MARKET.keys() | ORDER.keys()):
            self._exchange.faults.plan(fault)
        elif fault.kind in ORDER:
            self._wish(fault)
        else:
            self._act(fault)

    def _check(self, fault: Fault) -> None:
        """Refuse a fault that could not act when its time comes."""
        state = self._exchange.state
        of_one = fault.kind in ("instrument", "delist") or (fault.kind in ORDER and fault.match)
        if of_one and fault.match not in state.instruments:
            raise InputError(unknown_name("symbol", fault.match, state.instruments))
        if fault.kind == "instrument":
            self._changed(fault)
        if fault.kind in CLOSING:
            name = fault.text("account", "main")
            if name not in (EVERY_ACCOUNT, *state.accounts):
                raise InputError(unknown_name("account", name, state.accounts))

    def begin_bar(self, bar: int, *, replayed: bool) -> None:
        """Carry out or make ready the faults planned for a bar; replayed: those of the venue."""
        for fault in self._exchange.faults.due(bar):
            if fault.kind in VENUE_KINDS or not replayed:
                self.plan(replace(fault, bar=0))

    def _act(self, fault: Fault) -> None:
        what = self._actions[fault.kind](fault)
        exchange = self._exchange
        exchange.faults.record(fault, fault.match, what, exchange.state.now_ms)
        exchange.publish()

    def _wish(self, fault: Fault) -> None:
        fraction = Decimal(repr(fault.number("fraction", 0.5)))
        for _ in range(fault.count):
            self._exchange.state.tampering.wish(fault.kind, fault.match, fraction)

    def _skew(self, fault: Fault) -> str:
        self._exchange.clock.skew_ms = int(fault.number("ms", 0))
        return f"{self._exchange.clock.skew_ms} ms"

    def _close_sockets(self, _fault: Fault) -> str:
        return f"{self._exchange.hub.kick()} sockets"

    def _half_open(self, _fault: Fault) -> str:
        return f"{self._exchange.hub.freeze()} sockets"

    def _stale(self, fault: Fault) -> str:
        self._exchange.stale_bars = int(fault.number("bars", 1))
        return f"{self._exchange.stale_bars} bars"

    def _missing(self, fault: Fault) -> str:
        symbols = [s for s in self._exchange.market.series if fault.match in s]
        for symbol in symbols:
            self._exchange.hide_running_bar(symbol)
        return ",".join(symbols)

    def _close(self, fault: Fault, how: Closing) -> str:
        state = self._exchange.state
        name = fault.text("account", "main")
        closed: list[str] = []
        for account in state.accounts.values():
            for position in account.open_positions():
                if name in (EVERY_ACCOUNT, account.name) and fault.match in position.key.symbol:
                    how(state, account, position)
                    closed.append(f"{account.name}/{position.key.symbol}/{position.key.idx}")
        return ",".join(closed)

    def _delist(self, fault: Fault) -> str:
        """End a contract for good: nothing is left of it but its history."""
        closed = liquidation.settle_out(self._exchange.state, fault.match)
        self._exchange.publish()
        self._set(replace(self._exchange.state.instruments[fault.match], status="Closed"))
        return ",".join(f"{p.key.account}/{p.key.symbol}/{p.key.idx}" for p in closed)

    def _instrument(self, fault: Fault) -> str:
        self._set(self._changed(fault))
        return ",".join(f"{name}={value}" for name, value in fault.arguments.items())

    def _changed(self, fault: Fault) -> Instrument:
        """Return a fault's instrument with what its arguments name."""
        changed = self._exchange.state.instruments[fault.match]
        for name, value in fault.arguments.items():
            changed = _changed(changed, name, value)
        return changed

    def _set(self, instrument: Instrument) -> None:
        self._exchange.state.instruments[instrument.symbol] = instrument
        self._exchange.list_or_close(instrument.symbol)

    def _maintenance(self, fault: Fault) -> str:
        seconds = fault.number("seconds", 10.0)
        exchange = self._exchange
        exchange.maintenance_until = exchange.clock.monotonic() + seconds
        exchange.hub.kick()
        return f"{seconds:g} s"

    def _ban(self, fault: Fault) -> str:
        seconds = fault.number("seconds", 600.0)
        now = self._exchange.clock.now_ms()
        self._exchange.limits.ban_all(now + int(seconds * 1000))
        return f"{seconds:g} s"


def _liquidate(state: VenueState, account: Account, position: Position) -> None:
    liquidation.liquidate(state, account, position, state.prices[position.key.symbol])


def _changed(instrument: Instrument, name: str, value: object) -> Instrument:
    if name == "status" and value in STATUSES:
        return replace(instrument, status=str(value))
    if name == "tick":
        return replace(instrument, tick=_positive(name, value))
    if name == "lot":
        return replace(instrument, lot=_positive(name, value))
    if name == "quantity_min":
        return replace(instrument, quantity_min=_positive(name, value))
    if name == "notional_min":
        return replace(instrument, notional_min=_positive(name, value))
    raise InputError(f"fault instrument: {name} cannot be set to {value!r}")


def _positive(name: str, value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise InputError(f"fault instrument: {name} is {value!r}; give a number above 0")
    return number
