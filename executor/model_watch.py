"""Watches the model that trades: what it cannot trade is announced, what it broke is undone.

Decides when a model is left for cause (`core.degradation`): the previous one comes back by itself,
the version is quarantined (`models.quarantine`) and announced. Announces blocked
symbols once, and again only when their set changes, so that there is no loop in it. Never asks the
registry. Rule: without a previous model nothing is swapped: entries go on under the guards, and
people are told.
"""

import json
from collections.abc import Callable
from typing import Final

import structlog

from executor.core.contract import ModelRecord, NoticeCode
from executor.core.degradation import claim_of, degraded
from executor.core.events import BarClosed, Event, ModelSwapped
from executor.core.types import Notice, Outcome
from executor.health.overview import Overview
from executor.journal.store import Journal
from executor.model_changes import ModelChanges, kept_model
from executor.models.loader import LoadedModel, Loader
from executor.models.store import ModelStore

SINCE: Final = "model_since"
ANNOUNCED: Final = "blocked_symbols"

log = structlog.get_logger("model_watch")


class ModelWatch:
    """Listens to every event; ``tell`` puts a notice on ``bot:events`` and before people."""

    def __init__(
        self,
        overview: Overview,
        journal: Journal,
        loader: Loader,
        store: ModelStore,
        changes: ModelChanges,
        tell: Callable[[Notice], None],
    ) -> None:
        self._overview = overview
        self._journal = journal
        self._loader = loader
        self._store = store
        self._changes = changes
        self._quarantine = loader.quarantine
        self._tell = tell
        self._condemned: set[str] = set()
        self._announced = False

    def after(self, event: Event, outcome: Outcome) -> None:
        """Take in one event."""
        if isinstance(event, ModelSwapped):
            self._begin(event)
            self.announce(event.time_ms)
        elif isinstance(event, BarClosed) and not self._announced:
            self.announce(event.close_ms)
        if outcome.trades:
            self._judge(max(trade.closed_ms for trade in outcome.trades))

    def announce(self, time_ms: int) -> None:
        """Tell which symbols are blocked and why, where that is news."""
        self._announced = True
        coverage = self._overview.coverage()
        blocked = {s: row["reason"] for s, row in coverage.items() if not row["tradable"]}
        before = json.loads(self._journal.meta(ANNOUNCED) or "{}")
        if blocked == before:
            return
        self._journal.set_meta(ANNOUNCED, json.dumps(blocked))
        freed = sorted(set(before) - set(blocked))
        if freed:
            self._say(NoticeCode.SYMBOLS_UNBLOCKED, json.dumps(freed), time_ms)
        if blocked:
            self._say(NoticeCode.SYMBOLS_BLOCKED, json.dumps(blocked, sort_keys=True), time_ms)

    def _begin(self, event: ModelSwapped) -> None:
        """Remember since when a version trades; the same one again goes on counting."""
        version, _ = self._since()
        if event.version != version:
            self._condemned.discard(event.version)  # who promotes it again gives it a new trial
            since = json.dumps([event.version, event.time_ms])
            self._journal.set_meta(SINCE, since)

    def _since(self) -> tuple[str, int]:
        version, since_ms = json.loads(self._journal.meta(SINCE) or '["", 0]')
        return str(version), int(since_ms)

    def _judge(self, time_ms: int) -> None:
        """Look at the trades that the model in use decided."""
        state = self._overview.parts.state
        current = self._loader.current
        if state is None or current is None or state.model is None:
            return
        version, since_ms = self._since()
        if version != state.model_version or version in self._condemned:
            return
        own = [trade for trade in state.trades if trade.opened_ms >= since_ms]
        why = degraded(own, claim_of(current.bundle.manifest))
        if why:
            self._condemned.add(version)
            self._leave(current, why, time_ms)

    def _leave(self, current: LoadedModel, why: str, time_ms: int) -> None:
        """Quarantine the model in use and put the previous one in its place."""
        version, sha256 = current.record["version"], current.record["bundle_sha256"]
        previous = self._previous(sha256)
        if previous is None:
            text = f"model {version} is worse than it said ({why}); there is none to go back to"
            self._say(NoticeCode.MODEL_QUARANTINED, text, time_ms)
            return
        self._quarantine.add(version, why)
        text = (
            f"model {version} ({sha256[:12]}) is left for cause ({why}); "
            f"version {previous.record['version']} trades again"
        )
        self._say(NoticeCode.MODEL_QUARANTINED, text, time_ms)
        self._loader.go_back(previous)
        self._changes.put_back(previous)

    def _previous(self, sha256: str) -> LoadedModel | None:
        """Return the newest other model that was in use, is still whole, and is not quarantined."""
        for body in self._journal.models():
            record: ModelRecord = json.loads(body)
            if record["bundle_sha256"] == sha256 or record["version"] in self._quarantine:
                continue
            bundle = kept_model(self._store, record["bundle_sha256"])
            if bundle is not None:
                return LoadedModel(bundle=bundle, record=record)
        return None

    def _say(self, code: NoticeCode, text: str, time_ms: int) -> None:
        log.info("model_watch", code=str(code), text=text)
        self._tell(Notice(code=code, symbol="", text=text, time_ms=time_ms))
