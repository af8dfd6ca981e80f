"""Flow: everything in order, from the venue's candles to a judged and registered model.

Only wires. What a symbol must be like to be trained on, `quality` decides; what a model must show,
`gate` does. Never promotes: a person does.
"""

from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from features.errors import InputError
from features.intervals import interval_ms
from flows.clock import now_ms
from flows.dataset import dataset
from flows.gate import gate
from flows.ingest import ingest
from flows.quality import quality
from flows.register import register
from flows.search import search
from flows.settings import load_settings
from flows.train import train
from flows.universe import TrainingSymbols, training_symbols

DAY_MS = 86_400_000


@flow(name="retrain", persist_result=True, result_serializer="json")
def retrain(
    symbols: list[str] | None = None,
    days: int | None = None,
    interval: str | None = None,
    until: datetime | None = None,
    trials: int | None = None,
    fetch: bool = True,
) -> dict[str, Any]:
    """Fetch candles, judge them, search, train, pass the gate, register.

    Parameters
    ----------
    symbols
        Venue ids such as BTCUSDT; the configured universe where not given.
    days
        How far back to train, in days.
    interval
        Bar length, such as 15m or 1h.
    until
        Train on candles before this time (UTC); now where not given.
    trials
        Hyperparameter trials.
    fetch
        Ask the venue for candles first; else train on what the lake holds.

    Returns
    -------
    dict
        What each stage returned, by the stage's name.
    """
    settings = load_settings()
    step = interval or settings.data.interval
    start_ms, end_ms = window(days or settings.data.days, interval_ms(step), until, now_ms())
    venue = settings.venue.id
    chosen = (
        TrainingSymbols(fetched=symbols, delisted=[])
        if symbols
        else training_symbols(settings, start_ms, end_ms)
    )
    fetched = ingest(chosen.fetched, step, start_ms, end_ms, venue) if fetch else {}
    verdicts = quality(chosen.all, step, venue)
    good = trainable(verdicts)
    prepared = dataset(good, step, start_ms, end_ms, venue)
    searched = search(prepared["key"], trials)
    trained = train(prepared["key"], searched["study"])
    judged = gate(trained["model_key"])
    registered = register(trained["model_key"])
    return {
        "window": {"start_ms": start_ms, "end_ms": end_ms, "interval": step},
        "ingest": fetched,
        "quality": verdicts,
        "dataset": prepared,
        "search": searched,
        "train": trained,
        "gate": judged,
        "register": registered,
    }


def trainable(verdicts: dict[str, Any]) -> list[str]:
    """Return the symbols whose candles may be trained on; the others are named in the log."""
    good = []
    for symbol, found in verdicts.items():
        if found["verdict"] == "fail":
            get_run_logger().warning("%s is left out: %s", symbol, "; ".join(found["reasons"]))
        else:
            good.append(symbol)
    if not good:
        reasons = [f"{symbol} {'; '.join(found['reasons'])}" for symbol, found in verdicts.items()]
        raise InputError(f"no symbol passed the quality checks: {' | '.join(reasons)}")
    return good


def window(days: int, length_ms: int, until: datetime | None, at_ms: int) -> tuple[int, int]:
    """Return the ``days`` before ``until`` (``at_ms`` where not given), on whole bars."""
    moment_ms = at_ms
    if until is not None:
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        moment_ms = int(aware.timestamp() * 1000)
    end_ms = moment_ms // length_ms * length_ms
    return end_ms - days * DAY_MS, end_ms
