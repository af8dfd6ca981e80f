"""From the journal back to the state that the last process had.

Decides how a start goes on where the last one died: the last snapshot, then every event after it
through the same ``step``, whose outcomes are already in the journal and are not acted on again.
Never sends anything and never asks the venue. Rule: what is rebuilt equals what was lost; a journal
that cannot be read stops the start with one line.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

import structlog

from executor.core import events, state
from executor.core.events import BarClosed, Event, HistoryLoaded, ModelSwapped
from executor.core.model import Model
from executor.core.params import Params
from executor.core.react import react
from executor.core.state import TradingState
from executor.core.step import step
from executor.errors import JournalError
from executor.journal.codec import CodecError, decode, encode, plain
from executor.journal.store import Journal, StoredEvent

EVENTS: Final[Mapping[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        events.BarClosed,
        events.FillReceived,
        events.OrderUpdated,
        events.FundingPaid,
        events.VenueSnapshot,
        events.Command,
        events.Tick,
    )
}
MODEL_SWAPPED: Final = ModelSwapped.__name__

ModelOf = Callable[[str], Model | None]

log = structlog.get_logger("recovery")


def write_event(event: Event) -> str:
    """Return an event as the journal keeps it; of a model only its name."""
    if isinstance(event, ModelSwapped):
        sha256 = event.model.info.bundle_sha256 if event.model is not None else ""
        row = {"version": event.version, "time_ms": event.time_ms, "bundle_sha256": sha256}
        return json.dumps(row)
    return encode(event)


def read_event(stored: StoredEvent, model_of: ModelOf) -> Event:
    """Return the event that was written.

    Raises
    ------
    JournalError
        Where the row cannot be read, or names a model that is no longer kept.
    """
    try:
        if stored.kind == MODEL_SWAPPED:
            row = json.loads(stored.body)
            return ModelSwapped(
                model=model_of(str(row["bundle_sha256"])),
                version=str(row["version"]),
                time_ms=int(row["time_ms"]),
            )
        event: Event = decode(EVENTS[stored.kind], stored.body)
    except (CodecError, KeyError, ValueError) as error:
        raise JournalError(f"event {stored.seq} cannot be read: {error}") from error
    return event


def write_state(trading: TradingState) -> str:
    """Return the state as text; NaN stays NaN.

    What was reconciled is written too: a start begins without it, a replay of the past goes on.
    """
    whole = {
        **state.save(trading),
        "reconciled_ms": trading.reconciled_ms,
        "suspicions": {name: asdict(one) for name, one in trading.suspicions.items()},
    }
    return json.dumps(whole, default=plain)


def rebuild(journal: Journal, params: Params, model_of: ModelOf) -> TradingState | None:
    """Return the state of the last process, None where the journal is new."""
    kept = journal.snapshot()
    if kept is None:
        return None
    seq, body = kept
    try:
        trading = state.restore(json.loads(body), params)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"the saved state cannot be read: {error}") from error
    # `react`, not `step`: self-tuning that is due must see the bars that are put back here.
    _put_back_model(journal, trading, params, model_of)
    _put_back_bars(journal, trading, params, seq)
    replayed = 0
    for stored in journal.events(after=seq):
        step(trading, read_event(stored, model_of), params)
        replayed += 1
    log.info("state_rebuilt", close_ms=trading.close_ms, replayed=replayed)
    return trading


def _put_back_model(
    journal: Journal, trading: TradingState, params: Params, model_of: ModelOf
) -> None:
    """Give the state the model it decided with, so that what follows is decided alike."""
    used = journal.last_model()
    model = model_of(used[1]) if used is not None else None
    if used is not None and model is not None:
        swapped = ModelSwapped(model=model, version=used[0], time_ms=trading.close_ms)
        react(trading, swapped, params)


def _put_back_bars(journal: Journal, trading: TradingState, params: Params, until_seq: int) -> None:
    """Refill the recent bars, which self-tuning replays."""
    count = trading.recent.maxlen or 1
    rows = journal.newest_events(BarClosed.__name__, until_seq, count)
    if rows:
        closes = tuple(decode(BarClosed, stored.body) for stored in rows)
        react(trading, HistoryLoaded(closes=closes), params)
