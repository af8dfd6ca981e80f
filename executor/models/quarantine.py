"""Versions that were left for cause: remembered here, and written on the version in MLflow.

Decides which versions are not loaded again by their alias alone, and when MLflow is told: at once,
then after pauses that double up to five minutes, for about a day; a start begins anew. Once the tag
``quarantined`` stands there it is the truth, so a person lifts a quarantine by deleting it. Never
judges a model (`model_watch` does). Rule: what MLflow could not be told is in force all the same,
and shown until it was told.
"""

import json
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from executor.clock import Clock
from executor.core.contract import NoticeCode
from executor.models.registry import Registry, RegistryError

TAG: Final = "quarantined"
REASON_MAX: Final = 500
PAUSE_FIRST_S: Final = 3.0
PAUSE_MOST_S: Final = 300.0
TRIES_MAX: Final = 300
LEFT: Final = "quarantined_models"
TAGGED: Final = "quarantine_tagged"

log = structlog.get_logger("quarantine")


class Memory(Protocol):
    """Where it is written down: the journal."""

    def meta(self, key: str) -> str | None:
        """Return the value kept under ``key``."""
        ...

    def set_meta(self, key: str, value: str) -> None:
        """Keep ``value`` under ``key``."""
        ...


class Quarantine:
    """What was left and why, by version of one model; ``say`` tells people and `bot:events`."""

    def __init__(self, registry: Registry, name: str, memory: Memory, clock: Clock) -> None:
        self._registry = registry
        self._name = name
        self._memory = memory
        self._clock = clock
        self._why: dict[str, str] = json.loads(memory.meta(LEFT) or "{}")
        self._tagged: set[str] = set(json.loads(memory.meta(TAGGED) or "[]"))
        self._tries: dict[str, int] = {}
        self.say: Callable[[NoticeCode, str], None] = lambda _code, _text: None

    def __contains__(self, version: object) -> bool:
        return version in self._why

    def add(self, version: str, why: str) -> None:
        """Leave a version for cause."""
        self._why[version] = why
        self._tagged.discard(version)
        self._write()

    def reasons(self) -> dict[str, str]:
        """Return why each version was left."""
        return dict(self._why)

    def refusal(self, version: str) -> str:
        """Return why a version may not be loaded, "" where it may.

        MLflow shows it without the tag: where that stood there before, a person has lifted it.
        """
        if version not in self._why:
            return ""
        if version in self._tagged:
            log.warning("quarantine_lifted", version=version, why=self._why[version])
            del self._why[version]
            self._tagged.discard(version)
            self._write()
            return ""
        why = self._why[version]
        return f"version {version} is quarantined ({why}); promote another version"

    def untold(self) -> list[str]:
        """Return the versions of which MLflow could not be told so far."""
        return [version for version in self._open() if self._tries.get(version)]

    async def run(self) -> None:
        """Tell MLflow what it does not know, for as long as the process runs."""
        pause_s = PAUSE_FIRST_S
        while True:
            await self._clock.sleep(pause_s)
            waiting = [v for v in self._open() if self._tries.get(v, 0) < TRIES_MAX]
            told = [await self._tell(version) for version in waiting]
            pause_s = PAUSE_FIRST_S if all(told) else min(2 * pause_s, PAUSE_MOST_S)

    def _open(self) -> list[str]:
        return [version for version in self._why if version not in self._tagged]

    async def _tell(self, version: str) -> bool:
        """Write the tag on one version; say when it failed first, for good, or in the end."""
        try:
            exists = await self._registry.set_tag(
                self._name, version, TAG, self._why[version][:REASON_MAX]
            )
        except RegistryError as error:
            tries = self._tries[version] = self._tries.get(version, 0) + 1
            log.warning("quarantine_not_tagged", version=version, tries=tries, error=str(error))
            if tries in (1, TRIES_MAX):
                then = "it is tried again" if tries == 1 else "set the tag by hand"
                self.say(
                    NoticeCode.MODEL_NOT_TAGGED,
                    f"version {version} could not be tagged {TAG} in MLflow ({error}); it is not "
                    f"loaded here all the same, {then}",
                )
            return False
        self._tagged.add(version)
        self._write()
        there = f"is tagged {TAG} in MLflow" if exists else "is not in MLflow any more"
        self.say(NoticeCode.MODEL_TAGGED, f"version {version} {there}")
        return True

    def _write(self) -> None:
        self._memory.set_meta(LEFT, json.dumps(self._why))
        self._memory.set_meta(TAGGED, json.dumps(sorted(self._tagged)))
