"""What the model sees: features, the primary signal, and which symbol it is.

Decides the order of the model's inputs. Never computes a feature. Rule: one row and many rows are
put together by the same order, so training and trading feed the same numbers.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.signals import Signal
from features.suggest import unknown_name
from features.types import FloatArray

META_NAMES: Final = ("signal_side", "signal_score", "signal_confidence", "signal_rule")
ENCODINGS: Final = ("one_hot", "index", "none")


class SignalColumns(Protocol):
    """Signals of n bars, as ``features.signals_batch.Signals`` has them."""

    @property
    def side(self) -> NDArray[np.int8]:
        """Sides, shape (n,)."""

    @property
    def score(self) -> FloatArray:
        """Scores, shape (n,)."""

    @property
    def confidence(self) -> FloatArray:
        """Confidences, shape (n,)."""

    @property
    def rule(self) -> NDArray[np.int8]:
        """Rules by number, shape (n,)."""


def model_names(
    catalog_names: Sequence[str], symbols: Sequence[str], encoding: str
) -> tuple[str, ...]:
    """Return the names of the model's inputs in order."""
    if encoding not in ENCODINGS:
        raise InputError(unknown_name("encoding", encoding, ENCODINGS))
    coded: tuple[str, ...] = ()
    if encoding == "one_hot":
        coded = tuple(f"symbol_{symbol}" for symbol in symbols)
    elif encoding == "index":
        coded = ("symbol_index",)
    return (*catalog_names, *META_NAMES, *coded)


def symbol_code(symbol: str, symbols: Sequence[str], encoding: str) -> tuple[float, ...]:
    """Return the numbers that stand for ``symbol``; an unknown one is refused."""
    if encoding == "none":
        return ()
    if encoding not in ENCODINGS:
        raise InputError(unknown_name("encoding", encoding, ENCODINGS))
    if symbol not in symbols:
        raise InputError(unknown_name("symbol", symbol, symbols))
    if encoding == "index":
        return (float(list(symbols).index(symbol)),)
    return tuple(1.0 if other == symbol else 0.0 for other in symbols)


def model_row(
    features_row: FloatArray, signal: Signal, symbol: str, symbols: Sequence[str], encoding: str
) -> FloatArray:
    """Return the model's input for one bar, float64 of shape (n_inputs,)."""
    meta = (float(signal.side), signal.score, signal.confidence, float(signal.rule))
    return np.concatenate((features_row, meta, symbol_code(symbol, symbols, encoding)))


def model_matrix(
    matrix: FloatArray, signals: SignalColumns, symbol: str, symbols: Sequence[str], encoding: str
) -> FloatArray:
    """Return the model's inputs for many bars, float64 of shape (n, n_inputs)."""
    n = matrix.shape[0]
    code = symbol_code(symbol, symbols, encoding)
    meta = np.column_stack(
        (
            signals.side.astype(np.float64),
            signals.score,
            signals.confidence,
            signals.rule.astype(np.float64),
        )
    )
    return np.hstack((matrix, meta, np.tile(np.array(code, dtype=np.float64), (n, 1))))
