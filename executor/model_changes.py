"""How a verified model comes into use.

Decides that a model is offered to the core as an event between two bars, and that only one which
the core took is written down, shown and fed. Never verifies one (`loader` does).
Rule: the model that is shown is the one that decides.
"""

import asyncio
from collections.abc import Callable

import structlog

from executor.clock import Clock
from executor.core.bundle import LIBRARY, ModelBundle, unpack
from executor.core.events import ModelSwapped
from executor.core.manifest import BundleError
from executor.core.state import TradingState
from executor.health.overview import Overview
from executor.journal.codec import encode
from executor.journal.store import Journal
from executor.market.feed import Feed
from executor.models.loader import LoadedModel, Loader
from executor.models.store import ModelStore
from executor.trader import Item
from features.signals import SignalParams

log = structlog.get_logger("model")


def kept_model(store: ModelStore, sha256: str) -> ModelBundle | None:
    """Return a model that was in use before, from the local store, verified again."""
    files = store.get(sha256)
    if files is None:
        return None
    try:
        return unpack(files, sha256)
    except BundleError as error:
        log.warning("kept_model_damaged", sha256=sha256[:12], error=str(error))
        return None


class ModelChanges:
    """Offers models and notes which was taken."""

    def __init__(
        self,
        loader: Loader,
        overview: Overview,
        journal: Journal,
        clock: Clock,
        feed: Feed,
        *,
        inbox: "asyncio.Queue[Item]",
        market_ms: Callable[[], int],
    ) -> None:
        self._loader = loader
        self._overview = overview
        self._journal = journal
        self._clock = clock
        self._feed = feed
        self._inbox = inbox
        self._market_ms = market_ms
        self._offered: dict[str, LoadedModel] = {}

    def first(self, state: TradingState, loaded: LoadedModel | None) -> ModelSwapped | None:
        """Return the event to begin with, None where the state has the right model already."""
        if loaded is None:
            return None if state.model is None else self._event(None)
        model, record = state.model, loaded.record
        if (
            model is not None
            and model.info.bundle_sha256 == record["bundle_sha256"]
            and state.model_version == record["version"]
        ):
            self._show(loaded)
            return None
        return self._event(loaded)

    def is_verified(self, state: TradingState) -> bool:
        """Say whether every byte of the model in use was checked by this process."""
        model = state.model
        checked = {sha256 for sha256, _ in self._loader.accepted}
        return model is not None and model.info.bundle_sha256 in checked

    def is_promoted(self, state: TradingState) -> bool:
        """Say whether the model in use is the version that a person promoted, or promoted last."""
        if state.model is None:
            return False
        return (state.model.info.bundle_sha256, state.model_version) in self._loader.accepted

    def is_of_this_library(self, state: TradingState) -> bool:
        """Say whether the model was trained, and backtested, by the library that runs it."""
        return state.model is not None and state.model.info.library in ("", LIBRARY)

    async def offer(self, loaded: LoadedModel) -> None:
        """Put a newly verified model into the queue."""
        self._inbox.put_nowait(self._event(loaded))

    def put_back(self, previous: LoadedModel) -> None:
        """Put a model that was in use before into the queue."""
        self._inbox.put_nowait(self._event(previous))

    async def reload(self, judge: Callable[[SignalParams], str]) -> str:
        """Look at the alias now; say what came of it.

        ``judge`` says of a new model's six parameters what a replay thinks of them: the gate has
        judged them on the whole record, so that it is shown and stops nothing.
        """
        said: list[str] = []

        async def offer(loaded: LoadedModel) -> None:
            info = loaded.bundle.info
            said.append(f"version {loaded.record['version']} comes in: {judge(info.signal)}")
            await self.offer(loaded)

        await self._loader.look(offer)
        return self._loader.refusal or "".join(said) or "nothing new"

    def taken(self, event: ModelSwapped, state: TradingState) -> None:
        """Write down what decides now, show it, and hand out the features it wants."""
        loaded = self._offered.pop(event.version, None)
        if loaded is None or state.model is not loaded.bundle:
            return  # the core kept the one it had, and said why
        self._show(loaded)
        record = loaded.record
        self._journal.record_model(
            event.version, record["bundle_sha256"], encode(record), self._clock.now_ms()
        )

    def _event(self, loaded: LoadedModel | None) -> ModelSwapped:
        if loaded is None:
            return ModelSwapped(model=None, version="", time_ms=self._market_ms())
        version = loaded.record["version"]
        self._offered[version] = loaded
        return ModelSwapped(model=loaded.bundle, version=version, time_ms=self._market_ms())

    def _show(self, loaded: LoadedModel) -> None:
        self._overview.model_record = loaded.record
        self._feed.use_columns(loaded.bundle.info.feature_names)
