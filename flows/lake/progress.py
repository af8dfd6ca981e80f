"""Progress of long work, as one narrow port.

Decides what a step of progress is. Never knows who watches: the terminal, the Prefect page
(``flows.shown``) or nobody. Rule: work reports fractions that only grow.
"""

from typing import Protocol


class OnProgress(Protocol):
    """Told how far the work on one name is."""

    def __call__(self, name: str, fraction: float, note: str) -> None:
        """``fraction`` of the work on ``name`` is done; ``note`` says what is under way."""


def silent(name: str, fraction: float, note: str) -> None:
    """Tell nobody."""
