"""Primary signals of many rows at once, for replays.

Decides the shape of the answer only: a replay may be handed signals that somebody computed ahead.
Never computes one. Rule: bit for bit what ``primary_signal`` says of each row alone.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.signals import SignalParams
from features.types import FloatArray


class SignalColumns(Protocol):
    """Primary signals of n rows as columns of shape (n,)."""

    @property
    def side(self) -> NDArray[np.int8]:
        """1, -1, or 0 for none."""
        ...

    @property
    def score(self) -> FloatArray:
        """Signed score."""
        ...

    @property
    def confidence(self) -> FloatArray:
        """Confidence in [0, 1]."""
        ...

    @property
    def rule(self) -> NDArray[np.int8]:
        """Number of the rule."""
        ...


# Signals of many feature rows, shape (n, k), at once: bit for bit what primary_signal says of each.
SignalSource = Callable[[FloatArray, SignalParams], SignalColumns]
