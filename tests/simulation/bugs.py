"""Planted bugs: what the simulator must see, or its green is worth nothing.

Decides which line of the executor each bug breaks, in words and as a patch that is applied in the
process for one run. Never leaves a patch behind. Rule: a bug is one mistake that a person could
make, named by what it does; where a second layer hides it, both are planted as a pair.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


class BrokenPlantError(Exception):
    """A bug does not fit the code any more: what it breaks is not what it says."""


class Patches:
    """Attributes replaced for one run."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace an attribute and return what it was.

        Raises
        ------
        BrokenPlantError
            Where a function could not be called as the one that it replaces.
        """
        before = getattr(owner, name)
        if inspect.isfunction(before) and inspect.isfunction(value):
            _demand_same_calls(name, before, value)
        self._before.append((owner, name, owner.__dict__.get(name, before)))
        setattr(owner, name, value)
        return before

    def undo(self) -> None:
        """Put everything back, the newest first."""
        while self._before:
            owner, name, value = self._before.pop()
            setattr(owner, name, value)


def _demand_same_calls(name: str, before: Any, value: Any) -> None:
    """A plant that dies of its own arguments would be seen at once, and prove nothing."""
    known = inspect.signature(before).parameters.values()
    named = {p.name: None for p in known if p.kind is p.KEYWORD_ONLY}
    placed = [p for p in known if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    try:
        inspect.signature(value).bind(*placed, **named)
    except TypeError as error:
        raise BrokenPlantError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake: its name, one line on what it does, and the patch."""

    name: str
    line: str
    plant: Callable[[Patches], None]


BUGS: dict[str, Bug] = {}


def bug(line: str) -> Callable[[Callable[[Patches], None]], Callable[[Patches], None]]:
    """Register a bug under its function's name."""

    def register(plant: Callable[[Patches], None]) -> Callable[[Patches], None]:
        BUGS[plant.__name__] = Bug(plant.__name__, line, plant)
        return plant

    return register


# A second layer makes up for these: alone they break nothing that shows, so they count in pairs.
HIDDEN: frozenset[str] = frozenset(
    {
        "size_tripled",
        "positions_unlimited",
        "core_ignores_kill",
        "fence_ignores_kill",
        "shell_books_fills_twice",
        "core_books_fills_twice",
        "client_ids_vary",
        "double_exit",
        "stop_never_repaired",
        "old_signals_pass",
    }
)


def names() -> list[str]:
    """Return all that is measured: each bug that shows alone, and each pair."""
    return sorted(BUGS.keys() - HIDDEN) + ["+".join(pair) for pair in PAIRS]


@contextlib.contextmanager
def planted(names: str) -> Iterator[None]:
    """Plant the bugs of ``names``, joined by +, while the block runs."""
    patches = Patches()
    try:
        for name in filter(None, names.split("+")):
            BUGS[name].plant(patches)
        yield
    finally:
        patches.undo()


PAIRS: tuple[tuple[str, str], ...] = (
    ("core_ignores_kill", "fence_ignores_kill"),
    ("size_tripled", "gate_ignores_limits"),
    ("shell_books_fills_twice", "core_books_fills_twice"),
    ("client_ids_vary", "closes_before_reconcile"),
    ("timestamp_taken_at_sign", "fence_without_margin"),
    ("stop_not_sent", "stop_never_repaired"),
    ("positions_never_adopted", "missed_fills_not_fetched"),
    ("unknown_means_rejected", "doubt_not_resumed"),
    ("lease_counted_from_reply", "fence_without_margin"),
    ("old_signals_pass", "old_entries_are_resent"),
    ("kill_forgotten_at_restart", "fence_ignores_kill"),
    ("exits_not_reduce_only", "double_exit"),
    ("held_positions_not_counted", "positions_unlimited"),
)
