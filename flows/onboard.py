"""Flow: new symbols join a version in which every symbol has a model of its own.

Only wires. They are trained by that version's recipe, nothing of it is searched again, and the gate
judges them on their own record; the other symbols' models stay as they are. Never promotes.
"""

from datetime import datetime
from typing import Any

from prefect import flow

from features.errors import InputError
from features.intervals import interval_ms
from flows.clock import now_ms
from flows.dataset import dataset
from flows.gate import gate
from flows.ingest import ingest
from flows.promotion import CHAMPION
from flows.quality import quality
from flows.register import register
from flows.retrain import trainable, window
from flows.search import search
from flows.settings import load_settings
from flows.train import train
from flows.training.joining import open_registry


@flow(name="onboard", persist_result=True, result_serializer="json")
def onboard(
    symbols: list[str],
    joins: str = CHAMPION,
    days: int | None = None,
    interval: str | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """Train new symbols by a version's recipe and join them to it.

    Parameters
    ----------
    symbols
        Venue ids such as BTCUSDT.
    joins
        Number or alias of the version that they join.
    days
        How far back to train, in days.
    interval
        Bar length, such as 15m or 1h; the version's own is the only one that fits.
    until
        Train on candles before this time (UTC); now where not given.

    Returns
    -------
    dict
        What each stage returned, by the stage's name.
    """
    settings = load_settings()
    if settings.model.mode != "single_symbol":
        raise InputError(
            '[model] mode is "multi_symbol": all symbols share one model and are trained together '
            "(tribar retrain)"
        )
    if not symbols:
        raise InputError("name at least one symbol to onboard, such as SOLUSDT")
    version = open_registry(settings).version(joins).version
    step = interval or settings.data.interval
    start_ms, end_ms = window(days or settings.data.days, interval_ms(step), until, now_ms())
    venue = settings.venue.id
    fetched = ingest(symbols, step, start_ms, end_ms, venue)
    verdicts = quality(symbols, step, venue)
    prepared = dataset(trainable(verdicts), step, start_ms, end_ms, venue)
    searched = search(prepared["key"], joins=version)
    trained = train(prepared["key"], searched["study"], joins=version)
    judged = gate(trained["model_key"])
    registered = register(trained["model_key"])
    return {
        "window": {"start_ms": start_ms, "end_ms": end_ms, "interval": step},
        "joins": version,
        "ingest": fetched,
        "quality": verdicts,
        "dataset": prepared,
        "search": searched,
        "train": trained,
        "gate": judged,
        "register": registered,
    }
