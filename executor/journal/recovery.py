"""From the journal back to the state that the last process had.

Decides how a start goes on where the last one died: the last snapshot, then every event after it
through the same ``step``, whose outcomes are already in the journal and are not acted on again
(every start leaves a snapshot, so they are all one process's). Never sends anything and never asks
the venue. Rule: what is rebuilt equals what was lost; a journal that cannot be read stops the start
with one line.
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
SWAPS: Final = 1_000  # among so many changes of model the one that decided is looked for

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


def restore_whole(data: Mapping[str, Any], params: Params) -> TradingState:
    """Return the state that :func:`write_state` wrote, what was reconciled too."""
    trading = state.restore(data, params)
    trading.reconciled_ms = int(data.get("reconciled_ms", 0))
    suspected = data.get("suspicions", {})
    trading.suspicions = {name: state.Suspicion(**one) for name, one in suspected.items()}
    return trading


def read_params(body: str) -> Params:
    """Return the parameters that a process wrote when it began."""
    try:
        params: Params = decode(Params, body)
    except CodecError as error:
        raise JournalError(f"the parameters of a past process cannot be read: {error}") from error
    return params


def rebuild(journal: Journal, params: Params, model_of: ModelOf) -> TradingState | None:
    """Return the state that a new process begins with, None where the journal is new."""
    lost = relive(journal, params, model_of)
    return None if lost is None else begin_anew(lost, params)


def relive(journal: Journal, params: Params, model_of: ModelOf) -> TradingState | None:
    """Return the state that the last process had, None where the journal is new.

    What it decided is decided again, so it is given what it knew then: its own parameters (these
    where it wrote none), its model, what it had reconciled.
    """
    kept = journal.snapshot()
    if kept is None:
        return None
    seq, body = kept
    sessions = journal.sessions()
    then = read_params(sessions[-1][1]) if sessions else params
    try:
        trading = restore_whole(json.loads(body), then)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"the saved state cannot be read: {error}") from error
    put_back(journal, trading, then, seq, model_of)
    replayed = 0
    for stored in journal.events(after=seq):
        step(trading, read_event(stored, model_of), then)
        replayed += 1
    log.info("state_rebuilt", close_ms=trading.close_ms, replayed=replayed)
    return trading


def put_back(
    journal: Journal, trading: TradingState, params: Params, until_seq: int, model_of: ModelOf
) -> None:
    """Give a state what is not saved with it: its model, and the recent bars.

    By `react`, not `step`: self-tuning that is due must see the bars that are put back here.
    """
    version = trading.model_version
    for stored in reversed(journal.newest_events(MODEL_SWAPPED, until_seq, SWAPS)):
        row = json.loads(stored.body)
        if row["version"] == version and row["bundle_sha256"]:
            model = model_of(row["bundle_sha256"])
            if model is not None:
                swap = ModelSwapped(model=model, version=version, time_ms=trading.close_ms)
                react(trading, swap, params)
            break
    rows = journal.newest_events(BarClosed.__name__, until_seq, trading.recent.maxlen or 1)
    if rows:
        closes = tuple(decode(BarClosed, stored.body) for stored in rows)
        react(trading, HistoryLoaded(closes=closes), params)


def begin_anew(lost: TradingState, params: Params) -> TradingState:
    """Return what a new process goes on with: what is saved, nothing reconciled yet."""
    trading = state.restore(json.loads(json.dumps(state.save(lost), default=plain)), params)
    if lost.model is not None:
        version, now_ms = lost.model_version, lost.close_ms
        react(trading, ModelSwapped(model=lost.model, version=version, time_ms=now_ms), params)
    if lost.recent:
        react(trading, HistoryLoaded(closes=tuple(lost.recent)), params)
    return trading
