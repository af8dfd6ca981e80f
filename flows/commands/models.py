"""The commands around models: `retrain`, `onboard`, `models`, `promote`, `rollback`.

Decides what a person sees of versions and of a training's outcome. Never judges a model: the gate
does, and its verdict is shown as it is.
Rule: whatever moves an alias prints what was champion before.
"""

import getpass
from contextlib import ExitStack
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Final

from cyclopts import Parameter

from features.errors import InputError
from flows.clock import now_ms
from flows.commands.frame import (
    JsonFile,
    Symbols,
    console,
    instant,
    split_symbols,
    table,
    write_json,
)
from flows.commands.serving import run_served
from flows.promotion import CHAMPION
from flows.registry import Registry
from flows.settings import Settings, load_settings
from flows.shown.terminal import Stages
from flows.system.processes import ProgramError
from flows.system.runs import Outcome
from flows.system.services import Services, known
from flows.versions import Version

# What the list of versions shows, by its heading, and how: all out of sample, net of costs.
HEADLINES: Final = {
    "Sharpe": ("oos_model_sharpe", ".2f"),
    "return": ("oos_model_return_total", ".1%"),
    "AUC": ("test_auc", ".3f"),
}
MARKS: Final = {"gate_override": "overridden", "quarantined": "quarantined"}
LARGEST: Final = 1e6  # a figure beyond it is an error of somebody's, and would break the table


def retrain(
    *,
    symbol: Symbols = None,
    days: int | None = None,
    interval: str | None = None,
    until: str | None = None,
    trials: int | None = None,
    stored: bool = False,
    json: JsonFile = None,
) -> int:
    """Fetch candles, judge them, search, train, pass the gate and register a new version.

    Runs as `retrain` on the Prefect server, as its schedule does; where `tribar up` is not running,
    the servers are started for this run. The new version becomes challenger: the executor trades
    it only after `tribar promote`.

    Parameters
    ----------
    symbol
        Venue ids to train on; the universe of configs/flows.toml where not given.
    days
        How far back to train, in days.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    until
        Train on candles before this UTC time, e.g. 2025-10-01; now where not given.
    trials
        Hyperparameter trials.
    stored
        Ask the venue for nothing: train on the candles that the lake holds, such as those that
        `tribar ingest --from-files` brought in.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    if days is not None and days < 1:
        raise InputError(f"--days: {days} is too few; give 1 or more")
    given = {
        "symbols": split_symbols(symbol),
        "days": days,
        "interval": interval,
        "until": _moment(until),
        "trials": trials,
        "fetch": False if stored else None,
    }
    outcome = run_served(settings, "retrain", {k: v for k, v in given.items() if v is not None})
    write_json(json, {"page": outcome.page, "stages": outcome.seconds, **outcome.result})
    _show_training(outcome)
    return 0


def onboard(
    symbols: Annotated[tuple[str, ...], Parameter(name="SYMBOL")],
    /,
    *,
    joins: str = CHAMPION,
    days: int | None = None,
    interval: str | None = None,
    until: str | None = None,
    json: JsonFile = None,
) -> int:
    """Train new symbols and join them to a version; the models of the others stay as they are.

    For [model] mode = "single_symbol", where each symbol has a model of its own. The new symbols
    are trained by the version's own recipe, and the gate judges their record.

    Parameters
    ----------
    symbols
        Venue ids, such as SOLUSDT.
    joins
        Number or alias of the version that they join.
    days
        How far back to train, in days.
    interval
        Bar length; the version's own is the only one that fits.
    until
        Train on candles before this UTC time, e.g. 2025-10-01; now where not given.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    given = {
        "symbols": list(symbols),
        "joins": joins,
        "days": days,
        "interval": interval,
        "until": _moment(until),
    }
    outcome = run_served(settings, "onboard", {k: v for k, v in given.items() if v is not None})
    write_json(json, {"page": outcome.page, "stages": outcome.seconds, **outcome.result})
    _show_training(outcome)
    return 0


def models(*, json: JsonFile = None) -> int:
    """List the versions of the model: aliases, gate, headline figures, coverage.

    The figures are out of sample and net of costs; days, until and symbols say what a version was
    trained on.
    """
    with ExitStack() as stack:
        registry = open_registry(load_settings(), stack)
        versions = registry.versions()
        pages = {v.version: registry.page(v.version) for v in versions}
    write_json(json, [{**_plain(v), "page": pages[v.version]} for v in versions])
    out = console()
    if not versions:
        out.print("There is no version yet. Train one with [bold]tribar retrain[/].")
        return 0
    columns = ("version", "alias", "gate", *HEADLINES, "trained on", "symbols")
    rows = [version_row(version) for version in versions]
    out.print(table("", columns, rows))
    return 0


def promote(
    version: str,
    /,
    *,
    override: Annotated[str | None, Parameter(name="--override")] = None,
    json: JsonFile = None,
) -> int:
    """Make a version the champion; a running executor takes it within seconds.

    The same as setting the alias `champion` in the MLflow UI, but refused where the gate has
    refused the version or somebody else was faster.

    Parameters
    ----------
    version
        Number, or an alias such as challenger.
    override
        Why a refused version may run all the same, on the paper exchange only. It is written to
        the version with your name; with real money it has no effect.
    json
        Write what was found to this file, for machines.
    """
    with ExitStack() as stack:
        registry = open_registry(load_settings(), stack)
        chosen = registry.version(version)
        before = registry.find(CHAMPION)
        if override is not None and chosen.gate != "passed":
            when = datetime.fromtimestamp(now_ms() / 1000, UTC).isoformat(timespec="seconds")
            registry.override(chosen.version, who=_who(), when=when, reason=override)
        now = registry.promote(chosen.version, expected=before.version if before else 0)
        page = registry.page(now.version)
    write_json(json, {**_plain(now), "page": page, "before": before.version if before else None})
    was = f"version {before.version}" if before else "none"
    console().print(f"Champion is version {now.version} (gate: {now.gate}); it was {was}.")
    return 0


def rollback(*, reason: str = "", json: JsonFile = None) -> int:
    """Return to the champion before.

    Parameters
    ----------
    reason
        Why the present champion is left: it is quarantined then, and no alias alone loads it again.
    json
        Write what was found to this file, for machines.
    """
    with ExitStack() as stack:
        registry = open_registry(load_settings(), stack)
        left = registry.find(CHAMPION)
        now = registry.rollback(reason=reason)
        page = registry.page(now.version)
    write_json(json, {**_plain(now), "page": page, "left": left.version if left else None})
    left_text = f"version {left.version} was left" if left else "there was none"
    quarantined = " and is quarantined" if reason and left else ""
    console().print(f"Champion is version {now.version}; {left_text}{quarantined}.")
    return 0


def open_registry(settings: Settings, stack: ExitStack) -> Registry:
    """Return the registry; MLflow alone is started for the command where none runs."""
    running = {service.name: service.url for service in known(settings)}
    if "mlflow" not in running:
        services = stack.enter_context(Services(settings))
        with Stages(console()).stage("MLflow") as stage:
            services.start(("mlflow",), stage.say)
            stage.say(f"started for this command at {services['mlflow'].page}")
        running["mlflow"] = services["mlflow"].url
    return Registry(running["mlflow"], settings.registry.model_name)


def version_row(version: Version) -> tuple[object, ...]:
    """Return a version's line of the list; what it does not say is None, and printed as such."""
    tags, ended = version.tags, version.tags.get("training_end_ms", "")
    days = tags.get("training_days", "")
    span = [f"{days} d"] if days.isdigit() else []
    span += [f"to {instant(int(ended))[:10]}"] if ended.isdigit() else []
    figures = (_figure(version.metrics.get(name), how) for name, how in HEADLINES.values())
    return (
        str(version.version),
        ", ".join(version.aliases),
        ", ".join((version.gate, *(word for tag, word in MARKS.items() if tags.get(tag)))),
        *figures,
        " ".join(span) or None,
        tags.get("symbols", "").replace(",", ", ") or None,
    )


def _figure(value: float | None, how: str) -> str | None:
    known = value is not None and isfinite(value) and abs(value) < LARGEST
    return format(value, how) if known else None


def _show_training(outcome: Outcome) -> None:
    out = console()
    registered, judged = outcome.result["register"], outcome.result["gate"]
    words = {(True, True): "yes", (True, False): "NO"}
    rows = [
        (c["name"], c["value"], c["threshold"], words.get((c["binding"], c["passed"]), "reported"))
        for c in judged["criteria"]
    ]
    out.print()
    out.print(table("The gate", ("criterion", "value", "threshold", "passed"), rows))
    reasons = [c["reason"] for c in judged["criteria"] if c["binding"] and not c["passed"]]
    if reasons:
        out.print("Refused, because")
        for reason in reasons:
            out.print(f"- {reason}")
        out.print()
    version, gate = registered["version"], registered["gate"]
    out.print(f"Version {version} of {registered['name']}: gate {gate}. {registered['page']}")
    if gate == "passed":
        out.print(f"To trade it: [bold]tribar promote {version}[/]")
    else:
        out.print(f"On the paper exchange only: tribar promote {version} --override 'your reason'")


def _plain(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "aliases": list(version.aliases),
        "gate": version.gate,
        "bundle_sha256": version.bundle_sha256,
        "tags": dict(version.tags),
        "metrics": dict(version.metrics),
        "created_ms": version.created_ms,
        "run_id": version.run_id,
    }


def _moment(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--until: {text!r} is no time such as 2025-10-01") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _who() -> str:
    """Return who is asking, as the machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ProgramError("this user has no name on this machine; set USER") from None
