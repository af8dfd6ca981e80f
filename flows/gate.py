"""Flow: gives the verdict on a trained model and packs the bundle that carries it.

Wires only: the criteria are ``flows.research.verdict``'s.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prefect import flow

from executor.core.bundle import MANIFEST, bundle_sha256
from features.types import FloatArray
from flows import study
from flows.pages import verdict_page
from flows.plan import gate_limits, shelf, study_url
from flows.report.page import Story, model_page
from flows.research.bundling import judged_bundle
from flows.research.evidence import Evidence
from flows.research.verdict import Attempts, judge_model
from flows.settings import load_settings
from flows.shelf import read_folder, read_json, write_bytes, write_folder, write_json
from flows.showing import run_log, show_page


@flow(name="gate")
def gate(model_key: str) -> dict[str, Any]:
    """Judge a trained model.

    Returns
    -------
    dict
        ``verdict``, ``criteria`` (name, value, threshold, passed, reason, binding),
        ``bundle_sha256``, ``model_key``, ``folder``, ``report``.
    """
    settings = load_settings()
    log = run_log()
    folder = shelf(settings).found(model_key)
    draft = read_json(folder / "draft.json")
    evidence = Evidence.from_dict(read_json(folder / "evidence.json"))
    records = study.records(study.open_study(study_url(settings), draft["study"]))
    verdict = judge_model(
        evidence, _attempts(records, draft["trial"], evidence.hold), gate_limits(settings)
    )
    log.info("the gate: %s", verdict.word)
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


def _attempts(records: Sequence[study.TrialRecord], chosen: int, market: FloatArray) -> Attempts:
    """Return every trial's daily series side by side; the market's begins on the same day."""
    numbers = [record.number for record in records]
    series = np.array([record.result.daily for record in records]).T
    return Attempts(
        series=series,
        exposure=np.array([record.result.exposure for record in records]),
        market=market[: series.shape[0]],
        sobol=np.array([record.is_sobol for record in records]),
        chosen=numbers.index(chosen),
    )


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
        )
    )
