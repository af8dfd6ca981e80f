"""Flow: trains the best point of a study, judges it once, and keeps all that was measured.

Wires only: how a model is made and measured, ``flows.research`` decides.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from prefect import flow

from executor.core.bundle import pack, unpack
from executor.core.params import Params
from features.errors import InputError
from flows import study
from flows.joining import joined_recipe
from flows.pages import figures_table, image_page
from flows.plan import (
    base_recipe,
    machine,
    model_key,
    shelf,
    stored_dataset,
    study_url,
    trial_terms,
)
from flows.report.plots import model_plots
from flows.research.band import expected_band
from flows.research.bundling import Origin, draft_manifest, parts
from flows.research.evaluation import evaluate_model
from flows.research.evidence import Evidence
from flows.research.fitting import break_even_mean
from flows.research.market import Dataset
from flows.research.simulate import foresee, instruments, simulate
from flows.research.training import train as train_model
from flows.research.verdict import best_trial
from flows.revision import git_revision
from flows.settings import load_settings
from flows.shelf import write_folder, write_json
from flows.showing import run_log, show_page

SHOWN = ("n", "positive_rate", "auc", "brier", "log_loss", "precision", "recall", "f1")
MONEY = ("return_total", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")
PLOTS_SHOWN = ("equity", "calibration", "importance", "labels", "search")
BAND_DAYS, BAND_DRAWS, BAND_BLOCK_DAYS = 90, 4000, 5.0


@flow(name="train")
def train(dataset_key: str, study_name: str, joins: int | None = None) -> dict[str, Any]:
    """Train the study's best point and judge it on the untouched test part.

    Where the model is to join a version (``joins``), the point is that version's own.

    Returns
    -------
    dict
        ``model_key``, ``folder``, ``metrics`` by split, ``records`` by name, ``trial``,
        ``dropped_labels`` {symbol: count} (a bar is missing inside their span).
    """
    settings = load_settings()
    log = run_log()
    data, facts = stored_dataset(settings, dataset_key)
    records = study.records(study.open_study(study_url(settings), study_name))
    if not records:
        raise InputError(f"study {study_name} has no ended trial; run search first")
    base = base_recipe(settings) if joins is None else joined_recipe(settings, joins)
    best = _chosen(records, joins)
    recipe, terms = base.with_point(best.point), trial_terms(settings, data)
    log.info("training the point of trial %d of %d", best.number, len(records))
    trained = train_model(data, recipe, terms, machine(settings))
    dropped = dict(trained.samples.dropped)
    for symbol, count in dropped.items():
        log.info("%s: %d labels are not used, a bar is missing inside their span", symbol, count)
    evidence = evaluate_model(trained, data, terms.judged_ms)
    origin = Origin(
        lake_version=facts["data_version"],
        content_sha256=facts["content_sha256"],
        git_revision=git_revision(),
        seed=terms.seed,
    )
    draft = pack(draft_manifest(data, trained, evidence, origin), parts(trained))
    log.info("the live decision core trades the test part")
    simulation = _simulate(draft, data, trained.cuts.test_ms, trained.cuts.last_ms, terms.seed)
    trials = _trials(records)
    key = model_key(study_name, best.point, len(records))
    folder = shelf(settings).model(key)
    even = break_even_mean(trained.fitted)
    plots = model_plots(evidence, trials, best.number, simulation, even)
    write_folder(folder / "draft", draft)
    write_folder(folder / "plots", plots)
    write_json(folder / "evidence.json", evidence.as_dict())
    write_json(folder / "simulation.json", simulation)
    write_json(folder / "trials.json", trials)
    told = {
        "study": study_name,
        "dataset_key": dataset_key,
        "joins": joins,
        "trial": best.number,
        "point": best.point,
        "recipe": recipe.as_dict(),
        "trials": len(records),
        "data": {
            "left_out": {**facts["left_out"], **trained.left_out},
            "notes": facts.get("notes", {}),
            "dropped_labels": dropped,
        },
    }
    write_json(folder / "draft.json", told)
    _show(evidence, plots)
    return {
        "model_key": key,
        "folder": str(folder),
        "trial": best.number,
        "dropped_labels": dropped,
        "metrics": evidence.as_dict()["metrics"],
        "records": {name: dict(r.metrics) for name, r in evidence.test_records.items()},
    }


def _chosen(records: Sequence[study.TrialRecord], joins: int | None) -> study.TrialRecord:
    """Return the best trial, or the one at the recipe of the version that is joined."""
    if joins is None:
        return records[best_trial([r.result.score for r in records])]
    return next(r for r in records if r.origin.startswith(study.START))


def _simulate(
    draft: Mapping[str, bytes], data: Dataset, start_ms: int, stop_ms: int, seed: int
) -> dict[str, Any]:
    """Return what the executor's core does with the model on the test part, and its band."""
    model = unpack(draft)
    params = Params(
        interval_ms=data.interval_ms,
        instruments=instruments(data.markets),
        costs=model.info.costs,
    )
    ahead = foresee(model, data.markets, data.catalog, start_ms, stop_ms)
    done = simulate(ahead, data.markets, params, start_ms=start_ms, stop_ms=stop_ms)
    band: dict[str, list[float]] = {}
    if done.daily.size >= 10:
        band = expected_band(
            done.daily,
            days=BAND_DAYS,
            draws=BAND_DRAWS,
            block_mean=BAND_BLOCK_DAYS,
            rng=np.random.default_rng(seed),
        ).as_dict()
    return {**done.as_dict(), "band": band}


def _trials(records: Sequence[study.TrialRecord]) -> list[dict[str, Any]]:
    return [
        {"number": r.number, "sobol": r.is_sobol, "point": r.point, **r.result.as_dict()}
        for r in records
    ]


def _show(evidence: Evidence, plots: Mapping[str, bytes]) -> None:
    tables = (
        "## Figures by split\n\n"
        + figures_table(evidence.metrics, SHOWN)
        + "\n## Records on the test part\n\n"
        + figures_table({n: r.metrics for n, r in evidence.test_records.items()}, MONEY)
    )
    show_page("metrics", tables, "Figures of the trained model")
    for name in PLOTS_SHOWN:
        page = image_page(name.capitalize(), plots[f"{name}.png"])
        show_page(f"plot-{name}", page, name)
