"""Flow: gives the verdict on a trained model and packs the bundle that carries it.

Wires only: the criteria are ``flows.research.verdict``'s and ``flows.research.refit``'s. A recipe
that the ledger knows as proven is judged by the refit tier, beside the champion of the same recipe;
every other use is an attempt of the recipe tier, and is written down before it is computed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow

from executor.core.bundle import MANIFEST, ModelBundle, bundle_sha256, unpack
from flows.clock import now_ms
from flows.ledger import RECIPE_TIER, REFIT_TIER, Use
from flows.promotion import CHAMPION
from flows.registry import Registry
from flows.report.page import model_page
from flows.report.story import Story
from flows.research.bundling import judged_bundle
from flows.research.comparison import compare
from flows.research.criteria import Verdict
from flows.research.evidence import Evidence
from flows.research.objective import TrialResult
from flows.research.recipe import HOUR_MS
from flows.research.refit import judge_refit
from flows.research.verdict import gather, judge_model
from flows.settings import Settings, load_settings
from flows.shown.pages import verdict_page
from flows.shown.showing import run_log, show_page
from flows.training.plan import gate_limits, ledger, recipe_key, shelf, stored_dataset, trial_terms
from flows.training.shelf import read_folder, read_json, write_bytes, write_folder, write_json


@flow(name="gate")
def gate(model_key: str) -> dict[str, Any]:
    """Judge a trained model.

    Returns
    -------
    dict
        ``verdict``, ``tier``, ``attempt``, ``recipe``, ``criteria`` (name, value, threshold,
        passed, reason, binding), ``bundle_sha256``, ``model_key``, ``folder``, ``report``.
    """
    settings = load_settings()
    log = run_log()
    folder = shelf(settings).found(model_key)
    draft = read_json(folder / "draft.json")
    evidence = Evidence.from_dict(read_json(folder / "evidence.json"))
    verdict = _judged(settings, folder, draft, evidence, model_key)
    log.info("the gate: %s (%s tier, use %d)", verdict.word, verdict.tier, verdict.attempt)
    for criterion in verdict.criteria:
        if criterion.binding and not criterion.passed:
            log.info("%s: %s", criterion.name, criterion.reason)
    files = judged_bundle(read_folder(folder / "draft"), verdict)
    sha = bundle_sha256(files)
    write_folder(folder / "bundle", files)
    plain = verdict.as_dict() | {"bundle_sha256": sha}
    write_json(folder / "gate.json", plain)
    report = folder / "report.html"
    write_bytes(report, _report(folder, files, evidence, draft).encode())
    show_page("gate", verdict_page(verdict), verdict.word)
    return {**plain, "model_key": model_key, "folder": str(folder), "report": str(report)}


def _judged(
    settings: Settings,
    folder: Path,
    draft: Mapping[str, Any],
    evidence: Evidence,
    model_key: str,
) -> Verdict:
    """Choose the tier, write the attempt down, judge, write the verdict down."""
    book = ledger(settings)
    manifest = read_json(folder / "draft" / MANIFEST)
    recipe = recipe_key(settings, manifest["feature_schema"])
    # A symbol that joins has no champion to be compared with: its own record is judged.
    is_refit = book.is_proven(recipe) and draft.get("joins") is None
    champion = _champion(settings, recipe) if is_refit else None
    use = Use(
        recipe=recipe,
        tier=RECIPE_TIER if champion is None else REFIT_TIER,
        model_key=model_key,
        study=str(draft["study"]),
        evidence_sha256=_fingerprint(folder, champion),
    )
    attempt = book.begin(use, now_ms())
    if champion is None:
        trials = read_json(folder / "trials.json")
        attempts = gather(
            [TrialResult.from_dict(row) for row in trials],
            [bool(row["sobol"]) for row in trials],
            [row["number"] for row in trials].index(draft["trial"]),
            evidence.hold,
        )
        verdict = judge_model(evidence, replace(attempts, attempt=attempt), gate_limits(settings))
    else:
        verdict = _refitted(settings, folder, draft, evidence, champion)
    verdict = replace(verdict, recipe=recipe, attempt=attempt)
    book.finish(use, attempt, verdict.word, now_ms())
    return verdict


def _champion(settings: Settings, recipe: str) -> ModelBundle | None:
    """Return the champion's bundle where it is of the same recipe."""
    url = settings.services.mlflow_url
    if url is None:
        return None
    registry = Registry(url, settings.registry.model_name)
    version = registry.find(CHAMPION)
    if version is None:
        return None
    found = unpack(registry.bundle(version.version), version.bundle_sha256)
    return found if found.manifest["gate"].get("recipe") == recipe else None


def _refitted(
    settings: Settings,
    folder: Path,
    draft: Mapping[str, Any],
    evidence: Evidence,
    champion: ModelBundle,
) -> Verdict:
    data, _ = stored_dataset(settings, draft["dataset_key"])
    terms = trial_terms(settings, data)
    hours = max(float(draft["recipe"]["barriers"]["horizon_hours"]), terms.embargo_hours)
    refit = compare(
        unpack(read_folder(folder / "draft")),
        champion,
        data,
        test_ms=terms.test_ms,
        embargo_ms=int(hours * HOUR_MS),
        calibration_error=evidence.metrics["test"].get("calibration_error", float("nan")),
        leaked_rows=evidence.leaked_rows,
    )
    return judge_refit(refit, gate_limits(settings))


def _fingerprint(folder: Path, champion: ModelBundle | None) -> str:
    """Return the hash of all that the gate is about to look at."""
    digest = hashlib.sha256()
    for name in ("evidence.json", "trials.json"):
        digest.update((folder / name).read_bytes())
    if champion is not None:
        digest.update(champion.info.bundle_sha256.encode())
    return digest.hexdigest()


def _report(
    folder: Path, files: Mapping[str, bytes], evidence: Evidence, draft: Mapping[str, Any]
) -> str:
    return model_page(
        Story(
            manifest=json.loads(files[MANIFEST]),
            bundle_sha256=bundle_sha256(files),
            evidence=evidence,
            draft=draft,
            simulation=read_json(folder / "simulation.json"),
            plots=read_folder(folder / "plots"),
            beside={
                name: read_json(folder / f"{name}.json")
                for name in ("paths", "stability")
                if (folder / f"{name}.json").is_file()
            },
        )
    )
