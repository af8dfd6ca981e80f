"""How well probabilities meet outcomes.

Decides nothing: labels, probabilities and weights in, named numbers out. Never picks a threshold:
precision and recall are those of the entries that the expected-value rule wants. Rule: every
figure is weighted by uniqueness, and one that does not exist (one class only) is NaN.
"""

from math import nan

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from features.types import FloatArray

CLIP = 1e-6


def classification(
    label: NDArray[np.int8],
    probability: FloatArray,
    weight: FloatArray,
    wished: NDArray[np.bool_],
) -> dict[str, float]:
    """Return counts, AUC, Brier score, log loss and precision/recall/F1 of the wished entries.

    All arrays have shape (n,); ``label`` is 1 for a net gain.
    """
    n = int(label.size)
    if n == 0:
        return {"n": 0.0}
    won = label == 1
    total, hits = float(weight.sum()), float(weight[won & wished].sum())
    taken, positive = float(weight[wished].sum()), float(weight[won].sum())
    precision = hits / taken if taken > 0.0 else nan
    recall = hits / positive if positive > 0.0 else nan
    both = bool(won.any() and not won.all())
    held = np.clip(probability, CLIP, 1.0 - CLIP)
    return {
        "n": float(n),
        "n_effective": total,
        "positive_rate": positive / total if total > 0.0 else nan,
        "probability_mean": float(np.average(probability, weights=weight)) if total > 0.0 else nan,
        "taken_rate": taken / total if total > 0.0 else nan,
        "auc": float(roc_auc_score(won, probability, sample_weight=weight)) if both else nan,
        "brier": float(brier_score_loss(won, held, sample_weight=weight, pos_label=True)),
        "log_loss": float(log_loss(won, held, sample_weight=weight, labels=[False, True])),
        "precision": precision,
        "recall": recall,
        "f1": 2.0 * hits / (taken + positive) if taken + positive > 0.0 else nan,
    }


def calibration_curve(
    label: NDArray[np.int8], probability: FloatArray, weight: FloatArray, bins: int = 10
) -> dict[str, list[float]]:
    """Return mean probability, observed rate and weight by quantile bins of the probability.

    At most ``bins``, and no more than leave about 20 effective rows in each.
    """
    bins = int(min(bins, max(2.0, weight.sum() / 20.0)))
    out: dict[str, list[float]] = {"probability": [], "observed": [], "weight": []}
    if label.size == 0:
        return out
    edges = np.unique(np.quantile(probability, np.linspace(0.0, 1.0, bins + 1)))
    place = np.clip(
        np.searchsorted(edges, probability, side="right") - 1, 0, max(0, edges.size - 2)
    )
    for b in range(max(1, edges.size - 1)):
        inside = place == b
        mass = float(weight[inside].sum())
        if mass > 0.0:
            out["probability"].append(
                float(np.average(probability[inside], weights=weight[inside]))
            )
            out["observed"].append(float(np.average(label[inside] == 1, weights=weight[inside])))
            out["weight"].append(mass)
    return out


def calibration_error(curve: dict[str, list[float]]) -> float:
    """Return the weighted mean distance between probability and observed rate (ECE)."""
    if not curve["weight"]:
        return nan
    distance = np.abs(np.array(curve["probability"]) - np.array(curve["observed"]))
    return float(np.average(distance, weights=curve["weight"]))
