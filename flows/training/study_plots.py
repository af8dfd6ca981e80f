"""Optuna's own plots of a study, as files.

Decides which are drawn. Never reads a result. Rule: a plot that a study is too small for is left
out, never an error: a search that ended must not fail for its picture.
"""

import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as drawn

from flows.training.study import AIMS

MOST = 6  # parameters in a plot of several
WIDTH_PIXELS = 1800.0


def study_plots(study: optuna.Study) -> dict[str, bytes]:
    """Return PNG files by name: history, importances, slices, parallel coordinates, timeline.

    A study of several aims has its front too.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < 2:
        return {}
    asked: dict[str, Any] = {"target_name": "score"}
    if len(study.directions) > 1:
        asked["target"] = _score
    with warnings.catch_warnings(), mpl.rc_context({"font.size": 8}):
        warnings.simplefilter("ignore")  # matplotlib's plots of Optuna are experimental, it says
        weights = moved_by(study)
        names = list(weights)[:MOST]
        plots = {
            "optuna-history": lambda: drawn.plot_optimization_history(study, **asked),
            "optuna-slices": lambda: drawn.plot_slice(study, names, **asked),
            "optuna-parallel": lambda: drawn.plot_parallel_coordinate(study, names, **asked),
            "optuna-timeline": lambda: drawn.plot_timeline(study),
        }
        if weights:
            plots["optuna-importances"] = lambda: drawn.plot_param_importances(
                study, evaluator=PedAnovaImportanceEvaluator(), **asked
            )
        if len(study.directions) > 1:
            plots["optuna-front"] = lambda: drawn.plot_pareto_front(
                study, target_names=[n for n, _ in AIMS]
            )
        return {f"{name}.png": _drawn(plot) for name, plot in sorted(plots.items())}


def moved_by(study: optuna.Study) -> dict[str, float]:
    """Return the parameters by how much they moved the score; none where nothing can be said."""
    target = _score if len(study.directions) > 1 else None
    try:
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), target=target)
    except (RuntimeError, ValueError):  # too few trials, or all of one score
        return {}


def _score(trial: FrozenTrial) -> float:
    return float(trial.user_attrs["result"]["score"])


def _drawn(plot: Callable[[], Any]) -> bytes:
    axes = np.asarray(plot(), dtype=object).ravel()[0]
    figure: Figure = axes.figure
    buffer = BytesIO()
    dpi = min(110.0, WIDTH_PIXELS / figure.get_size_inches()[0])
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
