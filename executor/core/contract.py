"""What other programs must know of the executor, in one place.

Decides names and shapes only: Redis keys, status words, refusal and notice codes, command names,
journal tables, the body that acknowledges a lockstep. Never reads or writes one.
Rule: a name that crosses a process appears here once and nowhere else; a code is never reused for
another meaning.
"""

from enum import StrEnum
from typing import Final, TypedDict

HEARTBEAT_INTERVAL_MS: Final = 5_000
HEARTBEAT_EXPIRY_INTERVALS: Final = 3
TRADE_HISTORY_KEPT: Final = 100
STREAM_KEPT: Final = 10_000
JOURNAL_SCHEMA_VERSION: Final = 2


class Keys:
    """Redis key names under one prefix."""

    def __init__(self, prefix: str = "bot:") -> None:
        self.prefix: Final = prefix
        # Strings. The heartbeat is an ISO 8601 UTC time that expires after three intervals.
        self.heartbeat: Final = prefix + "heartbeat"
        self.status: Final = prefix + "status"  # a word of Status
        self.last_update: Final = prefix + "last_update"  # ISO 8601 UTC time
        self.trade_count: Final = prefix + "trade_count"  # closed trades since the journal began
        # Strings of JSON: AdaptiveParams, [PositionRecord], ModelRecord, {symbol: CoverageRecord},
        # HealthRecord.
        self.adaptive_params: Final = prefix + "adaptive_params"
        self.positions: Final = prefix + "positions"
        self.model: Final = prefix + "model"
        self.coverage: Final = prefix + "coverage"
        self.health: Final = prefix + "health"
        # List of JSON TradeRecord, newest first; hash of METRIC_FIELDS, values as text.
        self.trade_history: Final = prefix + "trade_history"
        self.metrics: Final = prefix + "metrics"
        # The holder's fencing token (expires by itself) and the counter tokens are drawn from.
        self.lease: Final = prefix + "lease"
        self.lease_token: Final = prefix + "lease_token"
        # Streams: notices and decisions, capped; commands, whose field "command" holds JSON.
        self.events: Final = prefix + "events"
        self.decisions: Final = prefix + "decisions"
        self.commands: Final = prefix + "commands"


class Status(StrEnum):
    """Words of ``bot:status``."""

    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    OPTIMIZING = "OPTIMIZING"
    DEGRADED = "DEGRADED"
    PAUSED = "PAUSED"
    HALTED = "HALTED"
    ERROR = "ERROR"
    STOPPED = "STOPPED"


class CommandName(StrEnum):
    """Commands a person may give."""

    PAUSE = "pause"
    RESUME = "resume"
    KILL = "kill"
    FLATTEN = "flatten"
    RESET = "reset"
    RELOAD = "reload"
    SET = "set"


class Verdict(StrEnum):
    """Outcome of a decision."""

    ENTER = "enter"
    REFUSE = "refuse"
    EXIT = "exit"
    ADJUST = "adjust"


class Refusal(StrEnum):
    """Why an entry was not sent; stable codes, counted in metrics."""

    # coverage and inputs
    NO_MODEL = "no_model"
    UNTRAINED_SYMBOL = "untrained_symbol"
    SHORT_HISTORY = "short_history"
    LEAVING = "leaving"  # followed until it is flat, no member of the universe any more
    BAD_FEATURE = "bad_feature"
    SCHEMA_MISMATCH = "schema_mismatch"
    # the decision chain
    POSITION_OPEN = "position_open"
    REGIME = "regime"
    SESSION_VOLUME = "session_volume"
    EXPECTED_VALUE = "expected_value"
    NO_ECONOMICS = "no_economics"
    POSITIONS_MAX = "positions_max"
    CORRELATION = "correlation"
    SIZE_ZERO = "size_zero"
    # the pre-trade gate, in its own order
    LEASE = "lease"
    HALTED = "halted"
    NOT_RECONCILED = "not_reconciled"
    DUPLICATE_SIGNAL = "duplicate_signal"
    STALE_SIGNAL = "stale_signal"
    MODEL_NOT_PROMOTED = "model_not_promoted"
    MODEL_TOO_OLD = "model_too_old"
    STALE_DATA = "stale_data"
    PRICE_COLLAR = "price_collar"
    ORDER_NOTIONAL = "order_notional"
    POSITION_LIMIT = "position_limit"
    GROSS_LIMIT = "gross_limit"
    NET_LIMIT = "net_limit"
    LEVERAGE_LIMIT = "leverage_limit"
    ORDER_RATE = "order_rate"
    REPEATED_EXECUTION = "repeated_execution"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    INSTRUMENT = "instrument"
    QUANTITY_STEP = "quantity_step"
    NOTIONAL_MIN = "notional_min"
    STOP_MISSING = "stop_missing"
    STOP_SIDE = "stop_side"
    STOP_DISTANCE = "stop_distance"
    LIQUIDATION = "liquidation"
    MARGIN = "margin"
    CLOCK_OFFSET = "clock_offset"
    CONFIG_MISMATCH = "config_mismatch"
    NOT_REDUCE_ONLY = "not_reduce_only"
    # guards
    PAUSED = "paused"
    COOL_DOWN = "cool_down"
    PERFORMANCE = "performance"


class ExitReason(StrEnum):
    """Why a position was closed; the trade's ``reason``."""

    STOP = "stop"
    TAKE = "take"
    TIME = "time"
    PARTIAL = "partial"
    KILL = "kill"
    FLATTEN = "flatten"
    LIQUIDATION = "liquidation"
    NAKED = "naked"
    OUTSIDE = "outside"


class NoticeCode(StrEnum):
    """Codes of notices; a person is alerted on those of :data:`ALERTING`."""

    ADOPTED = "adopted"
    DROPPED = "dropped"
    RESIZED = "resized"
    ORPHAN_ORDER = "orphan_order"
    STOP_MISSING = "stop_missing"
    NAKED_POSITION = "naked_position"
    ILLEGAL_TRANSITION = "illegal_transition"
    UNKNOWN_FILL = "unknown_fill"
    UNKNOWN_ORDER = "unknown_order"
    KILLED = "killed"
    HALTED = "halted"
    RESET = "reset"
    PAUSED = "paused"
    RESUMED = "resumed"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    COOL_DOWN = "cool_down"
    PERFORMANCE = "performance"
    MODEL_SWAPPED = "model_swapped"
    PARAMS_ADOPTED = "params_adopted"
    PARAMS_REFUSED = "params_refused"
    BALANCE_MISMATCH = "balance_mismatch"
    STALE_BAR = "stale_bar"
    MODEL_QUARANTINED = "model_quarantined"
    MODEL_TAGGED = "model_tagged"
    MODEL_NOT_TAGGED = "model_not_tagged"
    SYMBOLS_BLOCKED = "symbols_blocked"
    SYMBOLS_UNBLOCKED = "symbols_unblocked"
    LEARNED_REGIME = "learned_regime"
    UNIVERSE_CHANGED = "universe_changed"


ALERTING: Final = frozenset(
    {
        NoticeCode.ADOPTED,
        NoticeCode.STOP_MISSING,
        NoticeCode.NAKED_POSITION,
        NoticeCode.ILLEGAL_TRANSITION,
        NoticeCode.UNKNOWN_FILL,
        NoticeCode.KILLED,
        NoticeCode.HALTED,
        NoticeCode.DAILY_LOSS,
        NoticeCode.DRAWDOWN,
        NoticeCode.PERFORMANCE,
        NoticeCode.BALANCE_MISMATCH,
        NoticeCode.MODEL_QUARANTINED,
        NoticeCode.MODEL_NOT_TAGGED,
    }
)


class Table(StrEnum):
    """Tables of the SQLite journal; all append-only but ``meta`` and ``snapshots``."""

    META = "meta"
    EVENTS = "events"
    INTENTS = "intents"
    ORDERS = "orders"
    FILLS = "fills"
    TRADES = "trades"
    DECISIONS = "decisions"
    EQUITY = "equity"
    PARAMS = "params"
    MODELS = "models"
    NOTICES = "notices"
    SNAPSHOTS = "snapshots"


METRIC_FIELDS: Final = (
    "win_rate",
    "total_trades",
    "recent_trades",
    "optimization_cycles",
    "profit_factor",
    "sharpe",
    "max_drawdown",
    "equity",
    "daily_pnl",
    "exposure",
    "open_positions",
    "decisions",
    "approved",
    "refused",
    "orders",
    "fills",
    "bars",
    "regime_samples",
    "regime_evidence",
    "regime_influence",
)


class AdaptiveParams(TypedDict):
    """Value of ``bot:adaptive_params``: the six that self-tuning may change."""

    momentum_threshold: float
    confidence_multiplier: float
    volume_weight: float
    short_ma_weight: float
    med_ma_weight: float
    min_confidence_threshold: float


class TradeRecord(TypedDict):
    """One element of ``bot:trade_history``: the fields of ``types.Trade``."""

    symbol: str
    side: int
    quantity: float
    entry_price: float
    exit_price: float
    gross: float
    fees: float
    funding: float
    pnl: float
    net_return: float
    probability: float
    confidence: float
    regime: str
    opened_ms: int
    closed_ms: int
    reason: str
    entry_id: str


class PositionRecord(TypedDict):
    """One element of ``bot:positions``."""

    symbol: str
    side: int
    quantity: float
    entry_price: float
    mark_price: float
    stop_price: float
    take_price: float
    unrealised: float
    opened_ms: int
    deadline_ms: int
    origin: str
    stop_verified: bool


class ModelRecord(TypedDict):
    """Value of ``bot:model``."""

    name: str
    version: str
    alias: str
    bundle_sha256: str
    feature_schema: str
    gate: str
    trained_until_ms: int
    symbols: list[str]


class CoverageRecord(TypedDict):
    """One symbol of ``bot:coverage``."""

    tradable: bool
    reason: str
    history_days: float


class HealthRecord(TypedDict):
    """Value of ``bot:health``."""

    status: str
    reasons: list[str]
    lease_holder: bool
    data_age_ms: int
    reconciled_age_ms: int
    redis: bool
    venue: bool
    registry: bool


class AcknowledgeBody(TypedDict):
    """Body of ``POST acknowledge_url``: this client has done everything of this close.

    With ``openings``, fills at the next opening are followed by the openings once more, and the bar
    goes on when the client has posted the same close again.
    """

    client: str
    close_ms: int
    openings: bool


class AcknowledgeReply(TypedDict):
    """Reply of the paper exchange to an acknowledge."""

    ok: bool
    finished: bool
