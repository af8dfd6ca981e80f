"""What the pipeline is told: every section and key of `configs/flows.toml`, with its default.

Decides which keys exist, their bounds, and which foreign variables stand for them. Never reads a
file or a variable itself: `flows.settings_source` does, and refuses what is not declared here.
The project's root is `TRIBAR_HOME`, or the working directory; relative paths are taken from it.
Rule: a function gets a section, or a value of one; only composition roots call `load_settings`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from features.intervals import interval_ms
from flows.settings_source import read

CONFIG_NAME: Final = "configs/flows.toml"
# Names that other tools use for the same thing; the first one set wins.
ALIASES: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("services", "redis_url"): ("TRIBAR_REDIS_URL", "REDIS_URL"),
    ("services", "mlflow_url"): ("MLFLOW_TRACKING_URI",),
    ("services", "prefect_url"): ("PREFECT_API_URL",),
    ("services", "prefect_api_key"): ("PREFECT_API_KEY",),
}


class Section(BaseModel):
    """A table of the configuration file: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Paths(Section):
    """Where things lie; relative to the project's root."""

    home: Path = Path()
    lake: str = "data/lake"
    reports: Path = Path("data/reports")
    datasets: Path = Path("data/datasets")
    logs: Path = Path("data/logs")
    run: Path = Path("data/run")
    redis: Path = Path("data/redis")
    prefect: Path = Path("data/prefect")
    mlruns: Path = Path("mlruns")
    demo: Path = Path("data/demo")
    ledger: Path = Path("data/ledger/gate.jsonl")


class Venue(Section):
    """The exchange that candles come from."""

    id: str = "bybit"
    url: str | None = None
    ws_url: str | None = None
    api_key: SecretStr = SecretStr("")
    api_secret: SecretStr = SecretStr("")


class Data(Section):
    """Which candles to fetch and train on."""

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    interval: str = "15m"
    days: int = Field(default=365, ge=1, le=5000)
    mark: bool = True
    market: str = ""

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


class Universe(Section):
    """How symbols are chosen: the list in [data], or the venue's most liquid perpetuals."""

    mode: Literal["fixed", "auto"] = "fixed"
    quote_volume_min: float = Field(default=20_000_000.0, ge=0)
    price_min: float = Field(default=0.0, ge=0)
    count_max: int = Field(default=50, ge=1, le=1000)
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    refresh_minutes: int = Field(default=60, ge=1)


class Coverage(Section):
    """How much history is wanted, and how little is accepted."""

    days: float = Field(default=730.0, gt=0)


class Quality(Section):
    """When data may not be trained on; shares are fractions."""

    history_days_min: int = Field(default=90, ge=1, le=5000)
    coverage_min: float = Field(default=0.95, ge=0, le=1)
    quarantined_max: float = Field(default=0.02, ge=0, le=1)
    funding_missing_max: float = Field(default=0.01, ge=0, le=1)
    mark_bp_max: float = Field(default=2.5, gt=0)
    mark_days_max: float = Field(default=0.2, ge=0, le=1)
    disagreeing_max: float = Field(default=0.05, ge=0, le=1)
    restated_max: float = Field(default=0.02, ge=0, le=1)


class Signal(Section):
    """The primary signal's rule and its six adaptive parameters."""

    rule: str = "momentum"
    momentum_threshold: float = 0.008
    confidence_multiplier: float = 50.0
    volume_weight: float = 0.2
    short_ma_weight: float = 0.5
    med_ma_weight: float = 0.3
    min_confidence_threshold: float = 0.6


class Labels(Section):
    """The three barriers."""

    profit: float = Field(default=0.02, gt=0, lt=100)
    loss: float = Field(default=0.01, gt=0, lt=100)
    horizon_hours: float = Field(default=24.0, gt=0)
    volatility_scaled: bool = False


class TradingCosts(Section):
    """What a trade costs, as fractions of notional."""

    taker_fee: float = Field(default=0.0005, ge=0, lt=0.1)
    maker_fee: float = Field(default=0.0002, ge=-0.01, lt=0.1)
    slippage_base: float = Field(default=0.0001, ge=0, lt=0.1)
    slippage_volatility: float = Field(default=0.1, ge=0, lt=10)
    take_profit_is_market: bool = True


class Model(Section):
    """How the model is made."""

    mode: Literal["multi_symbol", "single_symbol"] = "multi_symbol"
    encoding: Literal["one_hot", "index", "none"] = "one_hot"
    ensemble_weight: float = Field(default=0.7, ge=0, le=1)
    seed: int = Field(default=7, ge=0)
    threads: int = Field(default=1, ge=1, le=256)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    history_days_min: float = Field(default=60.0, gt=0)
    memory_gib: float = Field(default=4.0, gt=0)
    paths: bool = True
    stability_pairs: int = Field(default=0, ge=0, le=1000)
    flat_funding: float | None = Field(default=None, gt=-0.1, lt=0.1)


class Search(Section):
    """The hyperparameter search."""

    sampler: Literal["tpe", "nsga2"] = "tpe"
    trials: int = Field(default=64, ge=1, le=10_000)
    sobol_trials: int = Field(default=32, ge=0, le=4096)
    warm_trials: int = Field(default=2, ge=0, le=100)
    rules: bool = False
    folds: int = Field(default=4, ge=2, le=20)
    workers: int = Field(default=1, ge=1, le=64)
    stability_penalty: float = Field(default=0.5, ge=0, le=10)
    trades_min: int = Field(default=100, ge=1)
    embargo_hours: float = Field(default=0.0, ge=0)


class Gate(Section):
    """What a model must show before it may be traded."""

    trades_min: int = Field(default=100, ge=1)
    drawdown_max: float = Field(default=0.3, gt=0, le=1)
    spa_level: float = Field(default=0.02, gt=0, le=0.5)
    spa_draws: int = Field(default=5000, ge=100, le=1_000_000)
    loss_probability_max: float = Field(default=0.2, ge=0, le=1)
    calibration_error_max: float = Field(default=0.1, gt=0, le=1)


class Registry(Section):
    """Names in the MLflow registry."""

    model_name: str = Field(default="tribar", pattern=r"^[A-Za-z0-9_-]{1,80}$")


class Schedule(Section):
    """When `retrain` runs by itself (Prefect shows it, and lets people change it)."""

    cron: str = "30 1 * * *"
    timezone: str = "UTC"
    deployment: str = Field(default="tribar", pattern=r"^[A-Za-z0-9_-]{1,80}$")


class Services(Section):
    """The local servers, and the external ones used instead where a URL is given."""

    redis_port: int = Field(default=6390, ge=0, le=65535)
    mlflow_port: int = Field(default=5050, ge=0, le=65535)
    prefect_port: int = Field(default=4200, ge=0, le=65535)
    paper_port: int = Field(default=8790, ge=0, le=65535)
    redis_url: str | None = None
    mlflow_url: str | None = None
    prefect_url: str | None = None
    prefect_api_key: SecretStr = SecretStr("")
    start_timeout_s: float = Field(default=120.0, ge=1, le=1800)
    check_timeout_s: float = Field(default=5.0, gt=0, le=120)

    @field_validator("mlflow_url", "prefect_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else None

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value or None


class Settings(Section):
    """Every section of the pipeline's configuration."""

    paths: Paths = Paths()
    venue: Venue = Venue()
    data: Data = Data()
    universe: Universe = Universe()
    coverage: Coverage = Coverage()
    quality: Quality = Quality()
    signal: Signal = Signal()
    labels: Labels = Labels()
    costs: TradingCosts = TradingCosts()
    model: Model = Model()
    search: Search = Search()
    gate: Gate = Gate()
    registry: Registry = Registry()
    schedule: Schedule = Schedule()
    services: Services = Services()


def load_settings(home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings: defaults, then `configs/flows.toml`, then `TRIBAR_<SECTION>__<KEY>`.

    Parameters
    ----------
    home
        The project's root; `TRIBAR_HOME` or the working directory where not given.
    environ
        The environment; the process's own where not given.

    Raises
    ------
    InputError
        Where a key is unknown, a value does not fit, or the file is not TOML: one line that names
        the key, and where it was set.
    """
    return read(Settings, file=CONFIG_NAME, aliases=ALIASES, home=home, environ=environ)
