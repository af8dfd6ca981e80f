"""What shall go wrong.

Decides which planned fault meets a request or a message. Never carries one out (the server, the
sockets and the conductor do). Rule: a fault is used up by what it hits and every hit is logged
with what it hit; without a plan nothing here changes anything.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from features.errors import InputError
from features.suggest import unknown_name

# Kinds, by the place where they act.
REQUEST_KINDS = frozenset(
    {"http", "retcode", "hang_before", "hang_after", "late", "slow", "disconnect"}
)
STREAM_KINDS = frozenset({"ws_drop", "ws_duplicate", "ws_delay", "ws_reorder"})
KINDS = REQUEST_KINDS | STREAM_KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One planned fault: ``match`` is part of a path or topic, ``count`` how often it acts."""

    kind: str
    match: str = ""
    count: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One fault that acted, and on what."""

    kind: str
    where: str
    time_ms: int


@dataclass(slots=True)
class Faults:
    """The faults still to come and those that were."""

    planned: list[Fault] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)

    def plan(self, fault: Fault) -> None:
        """Add a fault."""
        if fault.kind not in KINDS:
            raise InputError(unknown_name("fault", fault.kind, KINDS))
        self.planned.append(fault)

    def take(self, kinds: frozenset[str], where: str, now_ms: int) -> Fault | None:
        """Return and use up the oldest fault of one of ``kinds`` that matches ``where``."""
        for index, fault in enumerate(self.planned):
            if fault.kind in kinds and fault.match in where:
                if fault.count > 1:
                    self.planned[index] = replace(fault, count=fault.count - 1)
                else:
                    del self.planned[index]
                self.hits.append(Hit(kind=fault.kind, where=where, time_ms=now_ms))
                return fault
        return None
