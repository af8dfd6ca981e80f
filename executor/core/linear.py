"""The logistic part of the model, and how two probabilities become one.

Decides the arithmetic of an answer once the trees have spoken. Never sees a name or an object but
plain numbers. Rule: sums run in order in a plain loop (a matrix product differs between one row and
many), so that a row scores the same alone, in a batch, interpreted and compiled.
"""

import math
from collections.abc import Sequence
from typing import Final

LOGIT_CLIP: Final = 1e-6
EXPONENT_MAX: Final = 500.0


def linear_score(
    row: Sequence[float],
    mean: Sequence[float],
    scale: Sequence[float],
    coefficients: Sequence[float],
    intercept: float,
) -> float:
    """Return intercept + Σ cᵢ·(xᵢ - meanᵢ)/scaleᵢ, summed from the first column to the last.

    All sequences have length k (lists here, arrays where compiled). NaN in a row gives NaN.
    """
    total = intercept
    for i in range(len(coefficients)):
        total += coefficients[i] * ((row[i] - mean[i]) / scale[i])
    return total


def sigmoid(z: float) -> float:
    """Return 1/(1 + exp(-z)) with z held in ±500."""
    if z > EXPONENT_MAX:
        z = EXPONENT_MAX
    elif z < -EXPONENT_MAX:
        z = -EXPONENT_MAX
    return 1.0 / (1.0 + math.exp(-z))


def logit(p: float) -> float:
    """Return log(p/(1-p)) with p held in [1e-6, 1 - 1e-6]."""
    if p < LOGIT_CLIP:
        p = LOGIT_CLIP
    elif p > 1.0 - LOGIT_CLIP:
        p = 1.0 - LOGIT_CLIP
    return math.log(p / (1.0 - p))


def joined_probability(
    boosted: float, score: float, ensemble_weight: float, slope: float, offset: float
) -> float:
    """Return σ(slope·logit(w·boosted + (1-w)·σ(score)) + offset); w is the booster's share."""
    raw = ensemble_weight * boosted + (1.0 - ensemble_weight) * sigmoid(score)
    return sigmoid(slope * logit(raw) + offset)
