"""Columns of many rows that may be larger than memory.

Decides how rows are walked: in batches of one size, whether they lie in memory or in a store, so
that sums come out to the same bits. Never reads a file: who keeps rows elsewhere brings a
:class:`Stored`. Rule: a function over rows takes batches and never the whole.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.types import FloatArray

BATCH = 65_536


class Stored(Protocol):
    """Rows kept elsewhere, in parts of :data:`BATCH` rows; the last part may be shorter."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    def part(self, number: int) -> FloatArray:
        """Return a part's rows."""
        ...

    def scratch(self) -> str:
        """Return the beginning of a path for XGBoost's own pages, unused by anybody else."""
        ...


class Room(Protocol):
    """How much may lie in memory, and where the rest is kept."""

    @property
    def bytes_max(self) -> float:
        """Largest table that is kept in memory."""
        ...

    def keep(self, parts: Iterator[FloatArray], names: tuple[str, ...]) -> Stored:
        """Store parts of :data:`BATCH` rows as they come; they last as long as what is returned."""
        ...


class Table:
    """Rows of numbers, in memory or stored; ``rows`` of it where it is a choice."""

    def __init__(self, held: FloatArray | Stored, rows: NDArray[np.intp] | None = None) -> None:
        self._held = held
        self._rows = rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self._held.shape
        return (rows if self._rows is None else int(self._rows.size)), columns

    def scratch(self) -> str | None:
        """Return where XGBoost may keep pages of its own, None where the rows lie in memory."""
        return None if isinstance(self._held, np.ndarray) else self._held.scratch()

    def take(self, rows: NDArray[np.intp]) -> "Table":
        """Return a choice of rows, ascending; nothing is copied yet."""
        return Table(self._held, rows if self._rows is None else self._rows[rows])

    def batches(self) -> Iterator[FloatArray]:
        """Yield the rows in order, :data:`BATCH` at a time."""
        held, (n, _) = self._held, self.shape
        if isinstance(held, np.ndarray):
            for start in range(0, n, BATCH):
                stop = min(start + BATCH, n)
                yield held[start:stop] if self._rows is None else held[self._rows[start:stop]]
        else:
            yield from _filled(self._pieces(held))

    def whole(self) -> FloatArray:
        """Return all rows, in memory."""
        found = list(self.batches())
        return np.concatenate(found) if found else np.empty((0, self.shape[1]))

    def _pieces(self, held: Stored) -> Iterator[FloatArray]:
        """Yield what each part holds of the rows."""
        total = held.shape[0]
        for number in range((total + BATCH - 1) // BATCH):
            first = number * BATCH
            if self._rows is None:
                yield held.part(number)
                continue
            low, high = np.searchsorted(self._rows, (first, first + BATCH))
            if high > low:
                yield held.part(number)[self._rows[low:high] - first]


def _filled(pieces: Iterator[FloatArray]) -> Iterator[FloatArray]:
    """Yield the same rows in batches that are full but for the last."""
    waiting: list[FloatArray] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += piece.shape[0]
        while count >= BATCH:
            joined = np.concatenate(waiting)
            yield joined[:BATCH]
            waiting, count = [joined[BATCH:]], count - BATCH
    if count:
        yield np.concatenate(waiting)
