"""What was said last on a public topic, so that the next message says only what has changed.

Decides the difference between two tickers or two books. Never sends anything. Rule: all listeners
of a topic hold the same state: one that joins starts from what the others hold, and the same
differences bring all of them to the present; each is numbered one higher than the one before.
"""

from collections import Counter
from typing import Any

Row = dict[str, Any]
Levels = dict[str, str]


class Deltas:
    """The state that the listeners of each topic hold."""

    def __init__(self) -> None:
        self._held: dict[str, Row] = {}
        self._numbers: Counter[str] = Counter()

    def begin(self, topic: str, present: Row, *, alone: bool) -> Row:
        """Return what a listener starts from: the present if it is ``alone``, else what is held."""
        if alone or topic not in self._held:
            self._held[topic] = present
        return self._held[topic]

    def change(self, topic: str, present: Row) -> Row:
        """Take ``present`` for what is held from now on and return what was held before."""
        before = self._held.get(topic, {})
        self._held[topic] = present
        self._numbers[topic] += before != present
        return before

    def number(self, topic: str) -> int:
        """Return how often the topic has changed, from 1 on."""
        return self._numbers[topic] + 1


def changed_fields(before: Row, now: Row) -> Row:
    """Return the fields of ``now`` that differ from those ``before``."""
    return {name: value for name, value in now.items() if before.get(name) != value}


def changed_levels(before: Levels, now: Levels) -> Levels:
    """Return the sizes of the prices that changed; one that is gone has size 0."""
    gone = dict.fromkeys((price for price in before if price not in now), "0")
    return gone | changed_fields(before, now)
