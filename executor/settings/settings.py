"""What the executor is told: every section and key of `configs/executor.toml`, with its default.

Decides which keys exist, their bounds, and that real money needs three separate confirmations.
Never reads a file or a variable itself (`settings_source` does). The sections `limits`, `sizing`,
`selector`, `regime`, `session`, `guard`, `tuning` and `reconcile` override single numbers of the
risk profile and take the names of `executor.core.params`.
Rule: only `app` and `__main__` see :class:`Settings`; everything else gets a section or a value.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from executor.core.params import Params, with_profile
from executor.core.types import Instrument
from executor.settings.secret_values import parts_of_url
from executor.settings.sections import (
    Alerts,
    Backup,
    Control,
    Feed,
    Health,
    Journal,
    Lease,
    Log,
    Model,
    Orders,
    Reconciler,
    Recovery,
    Redis,
    Section,
    Trading,
    Universe,
    Venue,
)
from executor.settings.source import Place, Sourced, process_environment, project_root, read
from features.costs import Costs
from features.errors import InputError
from features.intervals import interval_ms

CONFIG_NAME: Final = "configs/executor.toml"
LIVE_CONFIRMATION: Final = "I know that real money can be lost"
ALIASES: Final[dict[Place, tuple[str, ...]]] = {
    ("redis", "url"): ("TRIBAR_REDIS_URL", "REDIS_URL"),
    ("model", "registry_url"): ("TRIBAR_MLFLOW_URL", "MLFLOW_TRACKING_URI"),
    ("model", "registry_user"): ("MLFLOW_TRACKING_USERNAME",),
    ("model", "registry_password"): ("MLFLOW_TRACKING_PASSWORD",),
}


class Settings(Section):
    """All sections. ``overrides`` holds the numbers changed in the risk profile."""

    trading: Trading = Trading()
    universe: Universe = Universe()
    venue: Venue = Venue()
    feed: Feed = Feed()
    recovery: Recovery = Recovery()
    orders: Orders = Orders()
    reconciler: Reconciler = Reconciler()
    redis: Redis = Redis()
    lease: Lease = Lease()
    model: Model = Model()
    journal: Journal = Journal()
    backup: Backup = Backup()
    health: Health = Health()
    control: Control = Control()
    alerts: Alerts = Alerts()
    log: Log = Log()
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def secrets(self) -> list[str]:
        """Return the values that no log may show.

        The paper exchange's own key and secret are the word "paper", which hides nothing.
        """
        whole = [self.venue.api_key, self.venue.api_secret, self.control.token]
        whole.append(self.model.registry_password)
        urls = [
            self.redis.url,
            self.model.registry_url,
            self.alerts.urls,
            self.alerts.ping_url,
            self.backup.url,
        ]
        found = [secret.get_secret_value() for secret in whole]
        for secret in urls:
            found += parts_of_url(secret.get_secret_value())
        return [secret for secret in found if secret and secret != self.trading.environment]

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


def config_path(file: Path | None = None, env: Mapping[str, str] | None = None) -> Path:
    """Return where the configuration is read from."""
    return project_root(process_environment() if env is None else env) / (file or CONFIG_NAME)


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
            "backup": settings.backup.model_copy(update={"folder": root / settings.backup.folder}),
            "log": settings.log.model_copy(
                update={"file": str(root / settings.log.file) if settings.log.file else ""}
            ),
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
    _check_written(settings)
    if environment != "paper" and settings.feed.acknowledge_url:
        raise InputError(
            "[feed] acknowledge_url: only the paper exchange runs in lockstep; unset it"
        )
    if settings.lease.ttl_ms <= settings.venue.recv_window_ms + settings.lease.margin_ms:
        raise InputError("[lease] ttl_ms: must be longer than recv_window_ms + margin_ms")


def _check_written(settings: Settings) -> None:
    """Refuse where something only a person can give is missing; everything missing is named."""
    venue, live = settings.venue, settings.trading.environment == "live"
    missing = [
        f"TRIBAR_VENUE__{name.upper()}"
        for name in ("api_key", "api_secret")
        if not getattr(venue, name).get_secret_value()
    ]
    if live and not settings.control.token.get_secret_value():
        missing.append("TRIBAR_CONTROL__TOKEN")
    told = []
    if missing:
        told.append(
            f"missing keys: set {' and '.join(missing)} (in the environment, in .env, "
            "or the same names with _FILE)"
        )
    if live and settings.trading.live_confirmation != LIVE_CONFIRMATION:
        told.append(f'[trading] live_confirmation: to trade live, write "{LIVE_CONFIRMATION}"')
    if told:
        raise InputError("; ".join(told))


def _one_line(error: ValidationError, sourced: Sourced) -> str:
    """Return the first problem of ``error`` as one line that names where the value was set."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"][:2]]
    where = sourced.origin.get((place[0], place[-1]), ".".join(place))
    reason = first["msg"].removeprefix("Value error, ")
    secret = place[-1].rpartition("_")[2] in {"key", "secret", "url", "urls", "token"}
    shown = "" if secret else f", got {first['input']!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {reason}{shown}{more}"
