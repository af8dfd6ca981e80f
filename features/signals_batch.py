"""Primary signals of a whole history.

Decides nothing: it runs the functions of ``features.signals``, compiled, over a feature matrix.
Never differs from ``primary_signal`` on any row. Rule: no arithmetic of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from features.catalog import Catalog
from features.compiled import compiled
from features.signals import HIGHER, INPUTS, RULES, SignalParams, scored, verdict
from features.types import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signals:
    """Signals of n bars; ``side`` 0 where there is none. Arrays of shape (n,)."""

    side: NDArray[np.int8]
    score: FloatArray
    confidence: FloatArray
    rule: NDArray[np.int8]


def _run(
    rule: int,
    inputs: FloatArray,
    higher: FloatArray,
    weights: tuple[float, float, float],
    higher_weight: float,
    limits: tuple[float, float, float],
    side: NDArray[np.int8],
    score: FloatArray,
    confidence: FloatArray,
) -> None:
    for i in range(side.size):
        raw = scored(
            rule,
            inputs[i, 0],
            inputs[i, 1],
            inputs[i, 2],
            inputs[i, 3],
            weights[0],
            weights[1],
            weights[2],
        )
        s, fused, sure = verdict(raw, higher[i], higher_weight, limits[0], limits[1], limits[2])
        side[i] = s
        if s != 0:
            score[i] = fused
            confidence[i] = sure


@cache
def _compiled_run() -> Callable[..., None]:
    return compiled(_run)


def signals_batch(matrix: FloatArray, catalog: Catalog, params: SignalParams) -> Signals:
    """Return the primary signal of every row of ``matrix``, shape (n, n_features)."""
    return signals_of(matrix, catalog.names, params)


def signals_of(matrix: FloatArray, names: Sequence[str], params: SignalParams) -> Signals:
    """Return the primary signal of every row of ``matrix`` whose columns are ``names``."""
    names = tuple(names)
    rule = RULES[params.rule]
    inputs = np.ascontiguousarray(matrix[:, [names.index(name) for name in INPUTS[rule]]])
    n = matrix.shape[0]
    higher = (
        np.ascontiguousarray(matrix[:, names.index(HIGHER)])
        if params.higher_weight
        else np.zeros(n)
    )
    side = np.zeros(n, np.int8)
    score = np.zeros(n)
    confidence = np.zeros(n)
    _compiled_run()(
        rule,
        inputs,
        higher,
        (
            float(params.volume_weight),
            float(params.short_ma_weight),
            float(params.med_ma_weight),
        ),
        float(params.higher_weight),
        (
            float(params.momentum_threshold),
            float(params.confidence_multiplier),
            float(params.min_confidence_threshold),
        ),
        side,
        score,
        confidence,
    )
    return Signals(
        side=side,
        score=score,
        confidence=confidence,
        rule=np.where(side != 0, rule, 0).astype(np.int8),
    )
