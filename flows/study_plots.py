"""Optuna's own plots of a study, as files.

Decides which are drawn. Never reads a result. Rule: a plot that a study is too small for is left
out, never an error: a search that ended must not fail for its picture.
"""

import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as drawn

from flows.research.figures import png

MOST = 6  # parameters in a plot of several


def study_plots(study: optuna.Study, aims: tuple[str, ...]) -> dict[str, bytes]:
    """Return PNG files by name: history, importances, slices, parallel coordinates, and the front.

    Parameters
    ----------
    aims
        What the study's values mean, in words; more than one of a study with a front.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < 2:
        return {}
    asked: dict[str, Any] = {"target_name": "score"}
    if len(study.directions) > 1:
        asked["target"] = _score
    with warnings.catch_warnings(), mpl.rc_context({"font.size": 8}):
        warnings.simplefilter("ignore")  # matplotlib's plots of Optuna are experimental, it says
        weights = _importances(study)
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
            plots["optuna-front"] = lambda: drawn.plot_pareto_front(study, target_names=list(aims))
        return {f"{name}.png": _drawn(plot) for name, plot in sorted(plots.items())}


def _importances(study: optuna.Study) -> dict[str, float]:
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
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(7.0, min(width, 16.0)), height)
    figure.tight_layout()
    content = png(figure)
    plt.close(figure)
    return content
