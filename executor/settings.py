"""What the executor is told: every section and key of `configs/executor.toml`, with its default.

Decides which keys exist, their bounds, and that real money needs three separate confirmations.
Never reads a file or a variable itself (`settings_source` does). The sections `limits`, `sizing`,
`selector`, `regime`, `session`, `guard`, `tuning` and `reconcile` override single numbers of the
risk profile and take the names of `executor.core.params`.
Rule: only `app` and `__main__` see :class:`Settings`; everything else gets a section or a value.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from executor.core.params import PROFILES, Params, with_profile
from executor.core.types import Instrument
from executor.settings_source import Place, Sourced, process_environment, project_root, read
from features.costs import Costs
from features.errors import InputError
from features.intervals import interval_ms
from features.suggest import unknown_name

CONFIG_NAME: Final = "configs/executor.toml"
LIVE_CONFIRMATION: Final = "I know that real money can be lost"
ALIASES: Final[dict[Place, tuple[str, ...]]] = {
    ("redis", "url"): ("TRIBAR_REDIS_URL", "REDIS_URL"),
    ("model", "registry_url"): ("TRIBAR_MLFLOW_URL", "MLFLOW_TRACKING_URI"),
}


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
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

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

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
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

    registry_url: str = "http://127.0.0.1:5000"
    name: str = "tribar"
    alias: str = "champion"
    poll_interval_ms: int = Field(default=3_000, ge=100)
    timeout_ms: int = Field(default=10_000, ge=100)
    store: Path = Path("data/models")


class Journal(Section):
    """The memory."""

    path: Path = Path("data/journal.db")


class Health(Section):
    """Where health, status and metrics are served; loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: int = Field(default=8788, ge=0, le=65_535)


class Log(Section):
    """How much is said, in which form."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "console"] = "console"


class Settings(Section):
    """All sections. ``overrides`` holds the numbers changed in the risk profile."""

    trading: Trading = Trading()
    venue: Venue = Venue()
    feed: Feed = Feed()
    orders: Orders = Orders()
    reconciler: Reconciler = Reconciler()
    redis: Redis = Redis()
    lease: Lease = Lease()
    model: Model = Model()
    journal: Journal = Journal()
    health: Health = Health()
    log: Log = Log()
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def secrets(self) -> list[str]:
        """Return the values that no log may show."""
        url = self.redis.url.get_secret_value()
        password = url.partition("://")[2].rpartition("@")[0].rpartition(":")[2]
        keys = (self.venue.api_key.get_secret_value(), self.venue.api_secret.get_secret_value())
        return [secret for secret in (*keys, password) if secret]

    def config_hash(self) -> str:
        """Return a short hash of everything but secrets, printed at start and journaled."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def _override_sections() -> dict[str, type[Any]]:
    """Return the sections of the risk profile; the costs are the model's and not among them."""
    sample = Params(interval_ms=1, instruments={})
    parts = {f.name: getattr(sample, f.name) for f in fields(Params) if f.name != "costs"}
    return {name: type(part) for name, part in parts.items() if is_dataclass(part)}


def known_keys() -> dict[str, frozenset[str]]:
    """Return every key that the file may hold, by section."""
    known = {
        name: frozenset(info.annotation.model_fields)
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }
    risk = _override_sections().items()
    return known | {name: frozenset(f.name for f in fields(kind)) for name, kind in risk}


def load_settings(file: Path | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of ``file`` (default `configs/executor.toml`) and the environment.

    Raises
    ------
    InputError
        One line that says which key, where it was set, and what would be right.
    """
    variables = process_environment() if env is None else env
    root = project_root(variables)
    sourced = read(
        root / (file or CONFIG_NAME),
        known=known_keys(),
        aliases=ALIASES,
        env=variables,
        configs=root / "configs",
    )
    risk = _override_sections()
    values: dict[str, Any] = {k: v for k, v in sourced.values.items() if k not in risk}
    values["overrides"] = {k: dict(v) for k, v in sourced.values.items() if k in risk}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise InputError(_one_line(error, sourced)) from None
    _check_environment(settings)
    make_params(settings, {}, Costs())  # a wrong override is refused now, not at the first bar
    return settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"store": root / settings.model.store}),
            "journal": settings.journal.model_copy(update={"path": root / settings.journal.path}),
        }
    )


def make_params(settings: Settings, instruments: Mapping[str, Instrument], costs: Costs) -> Params:
    """Return the core's parameters: the profile, with the single numbers that were overridden."""
    params = Params(
        interval_ms=interval_ms(settings.trading.interval), instruments=instruments, costs=costs
    )
    params = with_profile(params, settings.trading.profile)
    for section, changes in settings.overrides.items():
        part = getattr(params, section)
        typed = {k: _number(section, k, getattr(part, k), v) for k, v in changes.items()}
        params = replace(params, **{section: replace(part, **typed)})
    return params


def _number(section: str, key: str, default: object, value: object) -> object:
    """Return ``value`` in the type of ``default``; text comes from the environment."""
    where = f"[{section}] {key}"
    if isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(pair, list) for pair in value):
            return tuple(tuple(pair) for pair in value)
        raise InputError(f"{where}: give a list of [from, to] pairs, got {value!r}")
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        if str(value).lower() in {"true", "false"}:
            return str(value).lower() == "true"
        raise InputError(f"{where}: give true or false, got {value!r}")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InputError(f"{where}: give a number, got {value!r}")
    try:
        return int(value) if isinstance(default, int) else float(value)
    except ValueError:
        raise InputError(f"{where}: give a number, got {value!r}") from None


def _check_environment(settings: Settings) -> None:
    """Refuse what would trade somewhere else than the person thinks."""
    environment, venue = settings.trading.environment, settings.venue
    if environment == "paper" and not (venue.url and venue.ws_url):
        raise InputError(
            "[venue] url and ws_url: the paper environment needs the paper exchange's addresses; "
            "start it with: python -m executor.paper --help"
        )
    missing = [
        f"TRIBAR_VENUE__{name.upper()}"
        for name in ("api_key", "api_secret")
        if not getattr(venue, name).get_secret_value()
    ]
    if missing:
        raise InputError(f"missing keys: set {' and '.join(missing)} (or the same with _FILE)")
    if environment == "live" and settings.trading.live_confirmation != LIVE_CONFIRMATION:
        raise InputError(f'[trading] live_confirmation: to trade live, write "{LIVE_CONFIRMATION}"')
    if environment != "paper" and settings.feed.acknowledge_url:
        raise InputError(
            "[feed] acknowledge_url: only the paper exchange runs in lockstep; unset it"
        )
    if settings.lease.ttl_ms <= settings.venue.recv_window_ms + settings.lease.margin_ms:
        raise InputError("[lease] ttl_ms: must be longer than recv_window_ms + margin_ms")


def _one_line(error: ValidationError, sourced: Sourced) -> str:
    """Return the first problem of ``error`` as one line that names where the value was set."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"][:2]]
    where = sourced.origin.get((place[0], place[-1]), ".".join(place))
    reason = first["msg"].removeprefix("Value error, ")
    secret = place[-1].rpartition("_")[2] in {"key", "secret", "url"}
    shown = "" if secret else f", got {first['input']!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {reason}{shown}{more}"
