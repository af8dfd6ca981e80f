"""The one mutable thing of the decision core.

Decides what is remembered between two events and how that memory is saved and restored. Never
decides anything else. Rule: only ``core.step`` (and the functions it hands parts of it to) changes
it; everything but the model and the recent bars is saved, so that a restart goes on where the
process died; what is restored equals what was saved.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from executor.core.columns import Columns
from executor.core.covariance import RecentBars
from executor.core.events import BarClosed
from executor.core.guard import GuardState
from executor.core.learned_regime import RegimeLearner
from executor.core.ledger import Ledger, Opening
from executor.core.model import Model
from executor.core.orders import is_active
from executor.core.params import Params
from executor.core.types import Leg, Order, OrderIntent, OrderStatus, Position, Trade
from features.exit_plan import ExitPlan
from features.signals import ADAPTIVE_BOUNDS, SignalParams

TRADES_KEPT: Final = 500
FILLS_KEPT: Final = 5_000
ORDERS_KEPT: Final = 500
STATE_FORMAT: Final = 1


@dataclass(slots=True, kw_only=True)
class TuningState:
    """What self-tuning remembers: cycles done, whether one is due, the values it chose."""

    cycles: int = 0
    due: bool = False
    optimizations: int = 0
    trades_seen: int = 0
    adaptive: dict[str, float] = field(default_factory=dict)
    adaptive_for: str = ""


@dataclass(slots=True, kw_only=True)
class Suspicion:
    """A difference to the venue that was seen once and must be seen again to count."""

    signature: str
    since_ms: int


@dataclass(slots=True, kw_only=True)
class TradingState:
    """Everything the core knows. Made by :func:`new_state` or :func:`restore`.

    ``is_recording`` False leaves decision records out: nobody reads those of a replay for figures.
    """

    ledger: Ledger
    closes: RecentBars
    recent: deque[BarClosed]
    guard: GuardState = field(default_factory=GuardState)
    tuning: TuningState = field(default_factory=TuningState)
    learner: RegimeLearner = field(default_factory=RegimeLearner)
    close_ms: int = 0
    model: Model | None = None
    model_version: str = ""
    columns: Columns | None = None
    signal_params: SignalParams | None = None
    active: dict[str, Order] = field(default_factory=dict)
    ended: dict[str, Order] = field(default_factory=dict)
    openings: dict[str, Opening] = field(default_factory=dict)
    volatility: dict[str, float] = field(default_factory=dict)
    fill_ids: dict[str, None] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    trade_count: int = 0
    suspicions: dict[str, Suspicion] = field(default_factory=dict)
    reconciled_ms: int = 0
    balance_offset: float | None = None
    bars_processed: int = 0
    is_recording: bool = True

    def equity(self) -> float:
        """Return what the account is worth at the last marks."""
        return self.ledger.equity()

    def order(self, client_order_id: str) -> Order | None:
        """Return an order of ours by its id, active or ended."""
        return self.active.get(client_order_id) or self.ended.get(client_order_id)

    def put_order(self, order: Order) -> None:
        """Keep an order where its status says; the oldest ended ones are forgotten."""
        name = order.intent.client_order_id
        if is_active(order):
            self.ended.pop(name, None)
            self.active[name] = order
            return
        self.active.pop(name, None)
        self.ended[name] = order
        while len(self.ended) > ORDERS_KEPT:
            oldest = next(iter(self.ended))
            del self.ended[oldest]
            self.openings.pop(oldest, None)

    def adaptive(self) -> dict[str, float]:
        """Return the six adaptive parameters as they are in use, empty without a model."""
        params = self.signal_params
        return {name: getattr(params, name) for name in ADAPTIVE_BOUNDS} if params else {}


def new_state(equity: float, params: Params) -> TradingState:
    """Return the state of an account that starts with ``equity`` and holds nothing."""
    tuning = params.tuning
    kept = min(tuning.replay_bars, tuning.replay_rows_max // max(1, len(params.instruments)))
    return TradingState(
        ledger=Ledger(start=equity, cash=equity),
        closes=RecentBars(params.selector.correlation_bars + 1),
        recent=deque(maxlen=max(1, kept)),
    )


def save(state: TradingState) -> dict[str, Any]:
    """Return the state as data that JSON can hold; the model and the recent bars are left out."""
    return {
        "format": STATE_FORMAT,
        "ledger": {
            **_row(state.ledger),
            "positions": {name: _plan_row(one) for name, one in state.ledger.positions.items()},
            "marks": dict(state.ledger.marks),
        },
        "closes": [list(row) for row in state.closes.rows[-state.closes.size :]],
        "guard": asdict(state.guard),
        "tuning": asdict(state.tuning),
        "learner": asdict(state.learner),
        "close_ms": state.close_ms,
        "model_version": state.model_version,
        "active": [_order_row(order) for order in state.active.values()],
        "ended": [_order_row(order) for order in state.ended.values()],
        "openings": {name: _plan_row(opening) for name, opening in state.openings.items()},
        "volatility": dict(state.volatility),
        "fill_ids": list(state.fill_ids),
        "trades": [_row(trade) for trade in state.trades],
        "trade_count": state.trade_count,
        "balance_offset": state.balance_offset,
        "bars_processed": state.bars_processed,
    }


def restore(data: Mapping[str, Any], params: Params) -> TradingState:
    """Return the state that :func:`save` described, not yet reconciled and without a model.

    Raises
    ------
    ValueError
        Where the data were written by another format of the state.
    """
    if data.get("format") != STATE_FORMAT:
        raise ValueError(f"saved state has format {data.get('format')}, not {STATE_FORMAT}")
    state = new_state(0.0, params)
    ledger = dict(data["ledger"])
    positions = {name: Position(**_planned(row)) for name, row in ledger.pop("positions").items()}
    state.ledger = Ledger(positions=positions, **ledger)
    state.closes.load(
        [(int(time_ms), dict(closes), dict(volumes)) for time_ms, closes, volumes in data["closes"]]
    )
    state.guard = GuardState(**data["guard"])
    state.tuning = TuningState(**data["tuning"])
    state.learner = RegimeLearner(**data.get("learner", {}))  # older states know of none
    state.close_ms = int(data["close_ms"])
    state.model_version = str(data["model_version"])
    for row in (*data["ended"], *data["active"]):
        state.put_order(_order(row))
    state.openings = {name: Opening(**_planned(row)) for name, row in data["openings"].items()}
    state.volatility = dict(data["volatility"])
    state.fill_ids = dict.fromkeys(data["fill_ids"])
    state.trades = [Trade(**row) for row in data["trades"]]
    state.trade_count = int(data["trade_count"])
    state.balance_offset = data["balance_offset"]
    state.bars_processed = int(data["bars_processed"])
    return state


def _row(one: Any) -> dict[str, Any]:
    """Return the fields of a slotted dataclass; its values are plain, so none is copied."""
    return {name: getattr(one, name) for name in one.__slots__}


def _order_row(order: Order) -> dict[str, Any]:
    return {**_row(order), "intent": _row(order.intent)}


def _plan_row(one: Position | Opening) -> dict[str, Any]:
    return {**_row(one), "plan": _row(one.plan)}


def _order(row: Mapping[str, Any]) -> Order:
    values = dict(row)
    intent = dict(values.pop("intent"))
    intent["leg"] = Leg(intent["leg"])
    values["status"] = OrderStatus(values["status"])
    return Order(intent=OrderIntent(**intent), **values)


def _planned(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "plan": ExitPlan(**row["plan"])}
