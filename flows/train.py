"""Flow: trains the best point of a study, judges it once, and keeps all that was measured.

Wires only: how a model is made and measured, ``flows.research`` decides.
"""

from typing import Any

from prefect import flow

from executor.core.bundle import pack
from features.catalog import default_catalog
from features.errors import InputError
from flows import study
from flows.pages import figures_table, image_page
from flows.plan import base_recipe, machine, model_key, shelf, study_url, trial_terms
from flows.research.bundling import Origin, draft_manifest, parts
from flows.research.evaluation import evaluate_model
from flows.research.evidence import Evidence
from flows.research.figures import (
    calibration_figure,
    equity_figure,
    importance_figure,
    labels_figure,
    search_figure,
)
from flows.research.training import train as train_model
from flows.research.verdict import best_trial
from flows.revision import git_revision
from flows.settings import load_settings
from flows.shelf import load_dataset, write_folder, write_json
from flows.showing import run_log, show_page

SHOWN = ("n", "positive_rate", "auc", "brier", "log_loss", "precision", "recall", "f1")
MONEY = ("return_total", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")


@flow(name="train")
def train(dataset_key: str, study_name: str) -> dict[str, Any]:
    """Train the study's best point and judge it on the untouched test part.

    Returns
    -------
    dict
        ``model_key``, ``folder``, ``metrics`` by split, ``records`` by name, ``trial``.
    """
    settings = load_settings()
    data, facts = load_dataset(shelf(settings).dataset(dataset_key), default_catalog())
    records = study.records(study.open_study(study_url(settings), study_name))
    if not records:
        raise InputError(f"study {study_name} has no ended trial; run search first")
    best = records[best_trial([r.result.score for r in records])]
    recipe, terms = base_recipe(settings).with_point(best.point), trial_terms(settings, data)
    run_log().info("training trial %d of %d", best.number, len(records))
    trained = train_model(data, recipe, terms, machine(settings))
    evidence = evaluate_model(trained, data, terms.judged_ms)
    origin = Origin(
        lake_version=facts["data_version"],
        content_sha256=facts["content_sha256"],
        git_revision=git_revision(),
        seed=terms.seed,
    )
    key = model_key(study_name, best.point, len(records))
    folder = shelf(settings).model(key)
    write_folder(
        folder / "draft", pack(draft_manifest(data, trained, evidence, origin), parts(trained))
    )
    write_json(folder / "evidence.json", evidence.as_dict())
    plots = _plots(evidence) | {
        "search.png": search_figure(
            [r.result.score for r in records], [r.is_sobol for r in records]
        )
    }
    write_folder(folder / "plots", plots)
    draft = {
        "study": study_name,
        "dataset_key": dataset_key,
        "trial": best.number,
        "point": best.point,
        "recipe": recipe.as_dict(),
        "trials": len(records),
    }
    write_json(folder / "draft.json", draft)
    _show(evidence, plots)
    return {
        "model_key": key,
        "folder": str(folder),
        "trial": best.number,
        "metrics": evidence.as_dict()["metrics"],
        "records": {name: r.metrics for name, r in evidence.test_records.items()},
    }


def _plots(evidence: Evidence) -> dict[str, bytes]:
    return {
        "equity.png": equity_figure(evidence),
        "calibration.png": calibration_figure(evidence),
        "importance.png": importance_figure(evidence),
        "labels.png": labels_figure(evidence),
    }


def _show(evidence: Evidence, plots: dict[str, bytes]) -> None:
    tables = (
        "## Figures by split\n\n"
        + figures_table(evidence.metrics, SHOWN)
        + "\n## Records on the test part\n\n"
        + figures_table({n: r.metrics for n, r in evidence.test_records.items()}, MONEY)
    )
    show_page("metrics", tables, "Figures of the trained model")
    for name, png in plots.items():
        title = name.removesuffix(".png")
        show_page(f"plot-{title}", image_page(title.capitalize(), png), title)
