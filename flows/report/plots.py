"""Which figures a model has, and their names.

Decides the set only: each is drawn by ``flows.research.figures`` and ``figures_risk``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flows.research.breakdown import breakdown
from flows.research.evidence import Evidence
from flows.research.figures import (
    calibration_figure,
    equity_figure,
    importance_figure,
    labels_figure,
    search_figure,
    spread_figure,
)
from flows.research.figures_learning import moved_figure, paths_figure, stability_figure
from flows.research.figures_risk import (
    band_figure,
    folds_figure,
    monthly_figure,
    simulation_figure,
    stress_figure,
    trials_figure,
)


def model_plots(
    evidence: Evidence, shown: Mapping[str, Any], chosen: int, break_even: float
) -> dict[str, bytes]:
    """Return PNG files by name.

    Parameters
    ----------
    shown
        ``trials`` (of each ``number``, ``sobol``, ``score``, ``fold_sharpes`` and ``daily``),
        ``simulation`` (what the live decision core did on the test part, with its ``band``), and
        ``paths``, ``stability`` and ``moved`` (what moved the score) where they were made.
    chosen
        Number of the trial that became the model.
    break_even
        Probability at which a bet is worth nothing, on average.
    """
    trials, simulation = shown["trials"], shown["simulation"]
    place = [trial["number"] for trial in trials].index(chosen)
    series = np.array([trial["daily"] for trial in trials]).T
    plots = {
        "equity.png": equity_figure(evidence),
        "calibration.png": calibration_figure(evidence),
        "spread.png": spread_figure(evidence, break_even),
        "importance.png": importance_figure(evidence),
        "labels.png": labels_figure(evidence),
        "search.png": search_figure([t["score"] for t in trials], [t["sobol"] for t in trials]),
        "trials.png": trials_figure(series, evidence.first_day, place),
        "folds.png": folds_figure(trials[place]["fold_sharpes"]),
        "stress.png": stress_figure(evidence),
        "simulation.png": simulation_figure(np.array(simulation["daily"]), simulation["first_day"]),
    }
    if simulation["band"]:
        plots["band.png"] = band_figure(simulation["band"])
    if evidence.trades.net:
        plots["monthly.png"] = monthly_figure(breakdown(evidence.trades)["month"])
    if "paths" in shown:
        made = shown["paths"]
        plots["paths.png"] = paths_figure(np.array(made["daily"]), made["first_day"])
    if shown.get("moved"):
        plots["moved.png"] = moved_figure(shown["moved"])
    if "stability" in shown:
        made = shown["stability"]
        plots["stability.png"] = stability_figure(made["frequency"], made["threshold"])
    return plots
