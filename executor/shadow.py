"""The challenger beside the champion: what it would have decided, recorded and never traded.

Decides, for the version under the alias `challenger`, on every signal of its own at a bar close
whether it would enter (coverage, expected value), and writes that beside what the champion did: on
``bot:decisions`` and in a file next to the journal. Never touches the trading state and never gives
an order: it has no way to one. Rule: a challenger that fails in any way costs its own record only.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import structlog

from executor.core.columns import Columns, resolve
from executor.core.contract import Refusal, Verdict
from executor.core.coverage import coverage_block
from executor.core.decide import ENTER, entry_verdict
from executor.core.events import BarClosed, Event
from executor.core.model import Request
from executor.core.params import Params
from executor.core.types import Outcome
from executor.health.overview import Overview
from executor.models.loader import LoadedModel, Loader, Policy
from executor.models.quarantine import Quarantine
from executor.models.registry import Registry
from executor.models.store import ModelStore

FILE_BYTES: Final = 10_000_000
FILES_KEPT: Final = 3
SPOKEN: Final = frozenset({Verdict.ENTER, Verdict.REFUSE})

log = structlog.get_logger("shadow")

Row = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """How the challenger compares so far, for `/status`."""

    version: str = ""
    signals: int = 0
    would_enter: int = 0
    champion_entered: int = 0
    both: int = 0


class Shadow:
    """Listens to every close. ``loader`` watches the challenger, ``say`` publishes a row."""

    say: Callable[[Mapping[str, Any]], None]

    def __init__(self, loader: Loader, overview: Overview, *, file: Path, poll_s: float) -> None:
        self._loader = loader
        self._overview = overview
        self._poll_s = poll_s
        self._file = RotatingFileHandler(
            file, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, delay=True, encoding="utf-8"
        )
        self._model: LoadedModel | None = None
        self._columns: Columns | None = None
        self.tally = Tally()
        self.say = lambda _row: None
        overview.shadow = self.tally

    async def run(self) -> None:
        """Look at the challenger's alias for as long as the process runs."""
        is_wanted = bool(self._overview.settings.model.challenger)
        while True:
            if is_wanted:
                await self._loader.look(self._take)
            await self._overview.clock.sleep(self._poll_s)

    async def _take(self, loaded: LoadedModel) -> None:
        """Begin to evaluate a verified challenger."""
        self._model, self._columns = loaded, resolve(loaded.bundle.info.feature_names)
        self.tally.version = loaded.record["version"]
        self.tally.signals = self.tally.would_enter = 0
        self.tally.champion_entered = self.tally.both = 0
        log.info("challenger_taken", version=loaded.record["version"])

    def after(self, event: Event, outcome: Outcome) -> None:
        """Evaluate one close."""
        model, params = self._model, self._overview.parts.params
        if model is None or params is None or not isinstance(event, BarClosed):
            return
        if not self._is_another(model):
            return
        entered = {d.symbol: d for d in outcome.decisions if d.verdict in SPOKEN}
        for row in self._judge(model, event, params):
            done = entered.get(row["symbol"])
            row["champion"] = str(done.verdict) if done is not None else ""
            row["champion_reason"] = done.reason if done is not None else ""
            self._record(row)

    def _is_another(self, model: LoadedModel) -> bool:
        """Say whether the challenger differs from what trades, and reads the same features."""
        state = self._overview.parts.state
        if state is None or state.model is None:
            return False
        now, wanted = state.model.info, model.bundle.info
        return (
            now.bundle_sha256 != wanted.bundle_sha256 and now.feature_names == wanted.feature_names
        )

    def _judge(self, model: LoadedModel, event: BarClosed, params: Params) -> list[Row]:
        """Return what the challenger makes of its own signals at a close."""
        info, columns = model.bundle.info, self._columns
        if columns is None:
            return []
        requests, rows = [], []
        for bar, features, signal in event.signalled(columns.index, info.signal):
            covered = coverage_block(info, bar.symbol, params.limits)
            row: Row = {
                "version": model.record["version"],
                "close_ms": event.close_ms,
                "symbol": bar.symbol,
                "side": signal.side,
                "verdict": str(Verdict.REFUSE),
                "reason": str(covered or Refusal.BAD_FEATURE),
            }
            rows.append(row)
            if covered is None and len(features) == columns.width and np.isfinite(features).all():
                request = Request(
                    symbol=bar.symbol, close_ms=event.close_ms, features=features, signal=signal
                )
                requests.append((row, request))
        answers = model.bundle.predict_many([request for _, request in requests])
        for (row, _), answer in zip(requests, answers, strict=True):
            verdict, _ = entry_verdict(answer.expected_net, answer.standard_error, info.kappa)
            row["probability"] = round(answer.probability, 6)
            row["verdict"] = str(Verdict.ENTER if verdict == ENTER else Verdict.REFUSE)
            row["reason"] = "" if verdict == ENTER else str(Refusal.EXPECTED_VALUE)
        return rows

    def _record(self, row: Row) -> None:
        """Write one row down and publish it."""
        would, did = row["verdict"] == Verdict.ENTER, row["champion"] == Verdict.ENTER
        self.tally.signals += 1
        self.tally.would_enter += would
        self.tally.champion_entered += did
        self.tally.both += would and did
        text = orjson.dumps(row).decode()
        self._file.handle(logging.LogRecord("", logging.INFO, "", 0, text, None, None))
        self.say(row)


def begin_shadow(
    registry: Registry,
    store: ModelStore,
    policy: Policy,
    quarantine: Quarantine,
    overview: Overview,
) -> Shadow:
    """Return the shadow of the challenger that the settings name, listening already."""
    settings = overview.settings
    beside = replace(policy, alias=settings.model.challenger, is_traded=False)
    journal = settings.journal.path
    shadow = Shadow(
        Loader(registry, store, beside, overview.clock, quarantine),
        overview,
        file=journal.with_name(f"{journal.stem}.shadow.jsonl"),
        poll_s=policy.poll_interval_ms / 1000,
    )
    overview.listeners.append(shadow.after)
    return shadow
