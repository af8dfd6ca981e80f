"""What the command line does with the past: derive a day again, put a backup back.

Decides nothing but what is printed and the exit code. Never trades and never asks the venue. Rule:
both work without a network.
"""

import asyncio
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from executor.clock import Clock
from executor.core.params import DAY_MS
from executor.journal.backup import Sources
from executor.journal.restore import fetch, newest, restore
from executor.journal.store import Journal
from executor.model_changes import kept_model
from executor.models.store import ModelStore
from executor.replay_day import replay_day
from executor.settings.settings import Settings
from executor.trader import day_of
from features.errors import InputError


def sources(settings: Settings, config: Path) -> Sources:
    """Return where journal, models and configuration of these settings lie."""
    return Sources(journal=settings.journal.path, models=settings.model.store, config=config)


def show_replay(settings: Settings, day: str | None, clock: Clock) -> tuple[list[str], int]:
    """Derive a day (else yesterday) again; return what to say, and 1 where something differs."""
    day = day or day_of(clock.now_ms() - DAY_MS)
    if not settings.journal.path.exists():
        raise InputError(f"there is no journal at {settings.journal.path}")
    with Journal(settings.journal.path, read_only=True) as journal:
        found = replay_day(journal, day, partial(kept_model, ModelStore(settings.model.store)))
    return found.lines(), 1 if found.mismatches else 0


def show_restore(
    settings: Settings, config: Path, arguments: list[str], *, force: bool
) -> list[str]:
    """Put the named backup (a file or an address) back, else the newest; return what was done."""
    if len(arguments) > 1:
        raise InputError("restore takes one backup, or none for the newest")
    target = sources(settings, config)
    if arguments and arguments[0].startswith(("http://", "https://")):
        with TemporaryDirectory() as place:
            found = asyncio.run(fetch(arguments[0], Path(place)))
            return restore(found, target, force=force)
    backup = Path(arguments[0]) if arguments else newest(settings.backup.folder)
    return restore(backup, target, force=force)
