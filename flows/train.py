"""Flow: trains the chosen point of a study, judges it once, and keeps all that was measured.

Wires only: how a model is made and measured, ``flows.research`` decides.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from prefect import flow

from executor.core.bundle import pack
from flows.report.plots import model_plots
from flows.research.beside import beside
from flows.research.bundling import Origin, draft_manifest, parts
from flows.research.evaluation import evaluate_model
from flows.research.evidence import Evidence
from flows.research.fitting import break_even_mean
from flows.research.objective import Trial
from flows.research.rehearsal import rehearse
from flows.research.space import Dimension
from flows.research.training import Trained
from flows.research.training import train as train_model
from flows.settings import load_settings
from flows.shown.pages import figures_table, image_page
from flows.shown.showing import run_log, show_page
from flows.training import study
from flows.training.joining import joined_recipe
from flows.training.plan import (
    base_recipe,
    machine,
    model_key,
    shelf,
    space_key,
    space_of,
    stored_dataset,
    study_url,
    trial_terms,
)
from flows.training.revision import git_revision
from flows.training.shelf import write_folder, write_json
from flows.training.study_plots import moved_by, study_plots

SHOWN = ("n", "positive_rate", "auc", "brier", "log_loss", "precision", "recall", "f1")
MONEY = ("return_total", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")
PLOTS_SHOWN = ("equity", "calibration", "importance", "labels", "search", "paths")


@flow(name="train")
def train(dataset_key: str, study_name: str, joins: int | None = None) -> dict[str, Any]:
    """Train the study's chosen point and judge it on the untouched test part.

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
    searched = study.open_study(study_url(settings), study_name, settings.search.sampler)
    records = study.records(searched)
    base = base_recipe(settings) if joins is None else joined_recipe(settings, joins)
    terms = trial_terms(settings, data)
    space = space_of(settings, base)
    best = _best(searched, space, terms, joins)
    recipe = base.with_point(best.point)
    log.info("training the point of trial %d of %d", best.number, len(records))
    trained = train_model(data, recipe, terms, machine(settings))
    for symbol, count in trained.samples.dropped.items():
        log.info("%s: labels not used, for want of a bar inside their span: %d", symbol, count)
    evidence = evaluate_model(trained, data, terms.judged_ms, written=base)
    origin = _origin(facts, terms.seed)
    draft = pack(draft_manifest(data, trained, evidence, origin), parts(trained))
    log.info("the live decision core trades the test part")
    shown = {
        "simulation": rehearse(draft, data, terms.test_ms, terms.last_ms, terms.seed),
        **beside(
            data,
            trained,
            terms,
            machine(settings),
            paths=settings.model.paths,
            pairs=settings.model.stability_pairs,
            tell=log.info,
        ),
        "trials": [record.as_dict() for record in records],
        "moved": moved_by(searched),
    }
    plots = model_plots(evidence, shown, best.number, break_even_mean(trained.fitted))
    plots |= study_plots(searched)
    told = {
        "study": study_name,
        "dataset_key": dataset_key,
        "joins": joins,
        "trial": best.number,
        "point": best.point,
        "space": space_key(space),
        "trials": len(records),
        **_made_of(trained, facts),
    }
    key = model_key(study_name, best.point, len(records))
    folder = shelf(settings).model(key)
    write_folder(folder / "draft", draft)
    write_folder(folder / "plots", plots)
    for name, value in {"evidence": evidence.as_dict(), **shown, "draft": told}.items():
        write_json(folder / f"{name}.json", value)
    _show(evidence, plots)
    return {
        "model_key": key,
        "folder": str(folder),
        "trial": best.number,
        "dropped_labels": dict(trained.samples.dropped),
        "metrics": evidence.as_dict()["metrics"],
        "records": {name: dict(r.metrics) for name, r in evidence.test_records.items()},
    }


def _best(
    searched: Study, space: Sequence[Dimension], terms: Trial, joins: int | None
) -> study.TrialRecord:
    """Return the trial that becomes the model; a symbol that joins has the version's own point."""
    if joins is None:
        return study.chosen(searched, space, terms.score_days)
    return study.started(searched)


def _made_of(trained: Trained, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "end_ms": facts["end_ms"],
        "recipe": trained.recipe.as_dict(),
        "data": {
            "left_out": {**facts["left_out"], **trained.left_out},
            "notes": facts.get("notes", {}),
            "dropped_labels": dict(trained.samples.dropped),
        },
    }


def _origin(facts: Mapping[str, Any], seed: int) -> Origin:
    return Origin(
        lake_version=facts["data_version"],
        content_sha256=facts["content_sha256"],
        git_revision=git_revision(),
        seed=seed,
    )


def _show(evidence: Evidence, plots: Mapping[str, bytes]) -> None:
    tables = (
        "## Figures by split\n\n"
        + figures_table(evidence.metrics, SHOWN)
        + "\n## Records on the test part\n\n"
        + figures_table({n: r.metrics for n, r in evidence.test_records.items()}, MONEY)
    )
    show_page("metrics", tables, "Figures of the trained model")
    for name in (name for name in PLOTS_SHOWN if f"{name}.png" in plots):
        page = image_page(name.capitalize(), plots[f"{name}.png"])
        show_page(f"plot-{name}", page, name)
