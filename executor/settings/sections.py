"""The sections of `configs/executor.toml`: every key with its bounds and its default.

Decides which keys exist and what each may be. Never reads a file or a variable, and knows nothing
of how sections depend on each other (`settings` does). Rule: a key that decides how much is risked
is not here: it overrides the risk profile, under the names of `executor.core.params`.
"""

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from executor.core.params import PROFILES
from features.intervals import interval_ms
from features.suggest import unknown_name

TOKEN_CHARACTERS_MIN: Final = 16


def _listed(value: object) -> object:
    """Return the parts of a text with commas; the environment knows no lists."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _addresses(*schemes: str) -> AfterValidator:
    """Return the check of an address. What fails later would be said with the address in it."""

    def check(secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        try:
            parts = urlsplit(text)
            whole = bool(parts.path if parts.scheme == "unix" else parts.hostname)
            whole = whole and parts.port != 0 and parts.scheme in schemes
        except ValueError:
            whole = False
        if text and not whole:
            raise ValueError(
                f"give {schemes[0]}://[user:password@]host[:port]"
                + (f" (or {', '.join(schemes[1:])})" if schemes[1:] else "")
                + "; in a password write / # ? @ as %2F %23 %3F %40"
            )
        return secret

    return AfterValidator(check)


Web = Annotated[SecretStr, _addresses("http", "https")]
RedisAddress = Annotated[SecretStr, _addresses("redis", "rediss", "unix")]


class Section(BaseModel):
    """A table of the configuration file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Trading(Section):
    """What is traded, and with how much courage."""

    environment: Literal["paper", "testnet", "live"] = "paper"
    live_confirmation: str = ""
    profile: str = "conservative"
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    interval: str = "15m"
    initial_balance: float = Field(default=0.0, ge=0.0)

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _listed(value)

    @field_validator("symbols")
    @classmethod
    def _symbols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one symbol")
        if len(set(value)) != len(value):
            raise ValueError("a symbol is named twice")
        for symbol in value:
            if not re.fullmatch(r"[A-Z0-9]{2,30}", symbol):
                raise ValueError(f"{symbol!r} is not a venue id such as BTCUSDT")
        return value

    @field_validator("interval")
    @classmethod
    def _interval(cls, value: str) -> str:
        interval_ms(value)
        return value

    @field_validator("profile")
    @classmethod
    def _profile(cls, value: str) -> str:
        if value not in PROFILES:
            raise ValueError(unknown_name("risk profile", value, PROFILES))
        return value


class Universe(Section):
    """How symbols are chosen: those of [trading], or the venue's most liquid perpetuals."""

    mode: Literal["fixed", "auto"] = "fixed"
    quote_volume_min: float = Field(default=20_000_000.0, ge=0.0)
    price_min: float = Field(default=0.0, ge=0.0)
    count_max: int = Field(default=50, ge=1, le=1_000)
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    stay_fraction: float = Field(default=0.1, ge=0.0, le=1.0)
    refresh_ms: int = Field(default=3_600_000, ge=1_000)

    @field_validator("allow", "deny", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _listed(value)


class Venue(Section):
    """The exchange, and how long to wait for it."""

    id: str = "bybit"
    url: str = ""
    ws_url: str = ""
    api_key: SecretStr = SecretStr("")
    api_secret: SecretStr = SecretStr("")
    recv_window_ms: int = Field(default=5_000, ge=1_000, le=60_000)
    timeout_ms: int = Field(default=10_000, ge=500, le=60_000)
    leverage: float = Field(default=3.0, ge=1.0, le=100.0)


class Feed(Section):
    """Candles: when a bar is late, when data is stale, and whom to tell in an accelerated run."""

    close_grace_ms: int = Field(default=2_000, ge=100, le=60_000)
    stale_intervals: float = Field(default=2.0, ge=1.0)
    stale_margin_ms: int = Field(default=60_000, ge=0)
    acknowledge_url: str = ""
    client: str = "executor"


class Recovery(Section):
    """What is done about failed calls; `errors` has the table of classes."""

    tries: int = Field(default=5, ge=1, le=20)
    backoff_first_ms: int = Field(default=1_000, ge=10)
    backoff_most_ms: int = Field(default=60_000, ge=10)
    rate_limit_ms: int = Field(default=30_000, ge=100)
    failures: int = Field(default=5, ge=1)
    open_ms: int = Field(default=60_000, ge=100)
    open_reads_ms: int = Field(default=10_000, ge=100)
    calls_second: float = Field(default=10.0, ge=1.0)


class Orders(Section):
    """How long an order may stay in doubt, and how old an entry may be when it is sent."""

    query_interval_ms: int = Field(default=1_000, ge=50)
    entry_age_ms_max: int = Field(default=30_000, ge=1_000)


class Reconciler(Section):
    """How often the ledger is compared with the exchange."""

    interval_ms: int = Field(default=10_000, ge=500)
    naked_interval_ms: int = Field(default=5_000, ge=500)


class Redis(Section):
    """The window that others look through, and the heartbeat."""

    url: RedisAddress = SecretStr("redis://127.0.0.1:6379/0")
    prefix: str = "bot:"
    heartbeat_interval_ms: int = Field(default=5_000, ge=100)
    timeout_ms: int = Field(default=2_000, ge=50)


class Lease(Section):
    """Who may sign: at most one instance, proven by time."""

    ttl_ms: int = Field(default=20_000, ge=2_000)
    renew_ms: int = Field(default=4_000, ge=100)
    margin_ms: int = Field(default=1_000, ge=0)


class Model(Section):
    """Which model is traded, and where verified bundles are kept."""

    registry_url: Web = SecretStr("http://127.0.0.1:5000")  # it may hold a password
    registry_user: str = ""
    registry_password: SecretStr = SecretStr("")
    name: str = "tribar"
    alias: str = "champion"
    challenger: str = "challenger"
    poll_interval_ms: int = Field(default=3_000, ge=100)
    timeout_ms: int = Field(default=10_000, ge=100)
    store: Path = Path("data/models")


class Journal(Section):
    """The memory."""

    path: Path = Path("data/journal.db")


class Backup(Section):
    """Where copies of journal, models and configuration go; ``kept`` 0 makes none."""

    folder: Path = Path("data/backups")
    url: Web = SecretStr("")
    interval_ms: int = Field(default=3_600_000, ge=10_000)
    kept: int = Field(default=30, ge=0)


class Health(Section):
    """Where health, status and metrics are served, and what counts as unwell.

    Above a ``_max`` the level is warning; heartbeats and stale data make it critical.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8788, ge=0, le=65_535)
    watchdog_ms: int = Field(default=30_000, ge=0)
    heartbeat_ms_max: int = Field(default=30_000, ge=1_000)
    report_interval_ms: int = Field(default=900_000, ge=1_000)
    scan_ms_max: int = Field(default=30_000, ge=100)
    call_ms_max: int = Field(default=2_000, ge=10)
    memory_mb_max: float = Field(default=1_024.0, gt=0.0)
    error_rate_max: float = Field(default=0.05, gt=0.0, le=1.0)


class Control(Section):
    """Who may command. Without a token: nobody by HTTP, and no signature is asked for in Redis."""

    token: SecretStr = SecretStr("")

    @field_validator("token")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < TOKEN_CHARACTERS_MIN:
            raise ValueError(f"give {TOKEN_CHARACTERS_MIN} characters or more, or none")
        return value


class Alerts(Section):
    """Who is told of what, how often at most. ``urls`` are Apprise's, separated by commas."""

    urls: SecretStr = SecretStr("")
    level: Literal["info", "warning", "critical"] = "info"
    repeat_ms: int = Field(default=900_000, ge=1_000)
    hourly_max: int = Field(default=30, ge=1)
    queue_max: int = Field(default=100, ge=1)
    timeout_ms: int = Field(default=10_000, ge=100)
    trades: bool = False
    balance_drop: float = Field(default=0.10, gt=0.0, le=1.0)
    drawdown: float = Field(default=0.10, gt=0.0, le=1.0)
    stale_ms: int = Field(default=300_000, ge=1_000)
    api_errors: int = Field(default=5, ge=1)
    accuracy_trades: int = Field(default=20, ge=5)
    accuracy_min: float = Field(default=0.45, ge=0.0, le=1.0)
    ping_url: Web = SecretStr("")
    ping_interval_ms: int = Field(default=60_000, ge=100)


class Log(Section):
    """How much is said, in which form; the file holds JSON, 10 MB five times over."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "console"] = "console"
    file: str = "data/logs/executor.log"
