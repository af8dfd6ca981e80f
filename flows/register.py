"""Flow: writes a judged model to MLflow as a new version, with alias ``challenger``.

Wires only: what a version is, ``flows.registry`` decides. May be run again at any time: the same
bundle is registered once.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import flow

from executor.core.bundle import MANIFEST, bundle_sha256
from executor.core.manifest import SINGLE
from features.errors import InputError
from flows.clock import now_ms
from flows.research.bundling import flat_metrics
from flows.research.criteria import Verdict
from flows.research.evidence import Evidence
from flows.research.merging import lineage
from flows.settings import Settings, load_settings
from flows.shown.pages import verdict_page
from flows.shown.showing import run_log, show_link
from flows.training.joining import LINEAGE, open_registry, register_joined
from flows.training.plan import shelf
from flows.training.shelf import read_folder, read_json
from flows.versions import Package, Version

# Written to the version's run, where they were made.
KEPT = (
    "report.html",
    "evidence.json",
    "simulation.json",
    "gate.json",
    "trials.json",
    "paths.json",
    "stability.json",
)
DESCRIPTION_MAX = 5000  # MLflow's column for a version's description
CUT = "\n- … the rest is in gate.json and in the report"


@flow(name="register")
def register(model_key: str) -> dict[str, Any]:
    """Register a judged model.

    Returns
    -------
    dict
        ``name``, ``version``, ``alias``, ``gate``, ``bundle_sha256``, ``page``.
    """
    settings = load_settings()
    folder = shelf(settings).found(model_key)
    bundle = read_folder(folder / "bundle")
    if not bundle:
        raise InputError(f"model {model_key} has no verdict yet; run gate first")
    try:
        return _registered(settings, model_key, folder, bundle)
    except InputError as error:
        again = f"the model is kept; once MLflow is back: tribar register {model_key}"
        raise InputError(f"{error}; {again}") from None


def _registered(
    settings: Settings, model_key: str, folder: Path, bundle: Mapping[str, bytes]
) -> dict[str, Any]:
    registry = open_registry(settings)
    joins = read_json(folder / "draft.json").get("joins")

    def write(files: Mapping[str, bytes]) -> Version:
        return registry.register(_package(model_key, folder, files))

    if joins is None:
        version = write(bundle)
    else:
        version = register_joined(registry, str(settings.services.mlflow_url), joins, bundle, write)
    registry.challenge(version.version)
    page = registry.page(version.version)
    run_log().info("registered as version %d (%s)", version.version, version.gate)
    show_link("version", page, f"version {version.version}")
    show_link("report", registry.file_page(version, "report.html"), "the model's report")
    return {
        "name": settings.registry.model_name,
        "version": version.version,
        "alias": "challenger",
        "gate": version.gate,
        "bundle_sha256": version.bundle_sha256,
        "page": page,
    }


def _package(model_key: str, folder: Path, bundle: Mapping[str, bytes]) -> Package:
    """Return all that is written: tags and figures from the bundle, files from the folder."""
    manifest = json.loads(bundle[MANIFEST])
    evidence = Evidence.from_dict(read_json(folder / "evidence.json"))
    draft = read_json(folder / "draft.json")
    files = {f"plots/{n}": png for n, png in read_folder(folder / "plots").items()}
    for name in KEPT:
        if (folder / name).is_file():
            files[name] = (folder / name).read_bytes()
    test = manifest["metrics"]["test"]
    headline = {
        f"test_{name}": f"{test[name]:.4f}"
        for name in ("auc", "sharpe", "return_total", "max_drawdown")
        if test.get(name) is not None
    }
    return Package(
        bundle=bundle,
        bundle_sha256=bundle_sha256(bundle),
        input_names=tuple(manifest["feature_names"]),
        tags={
            "gate": manifest["gate"]["verdict"],
            "gate_tier": manifest["gate"]["tier"],
            "gate_attempt": str(manifest["gate"]["attempt"]),
            "feature_schema": manifest["feature_schema"],
            "symbols": ",".join(manifest["symbols"]),
            "data_version": manifest["data"]["lake_version"],
            "content_sha256": manifest["data"]["content_sha256"],
            "training_days": f"{manifest['training']['days']:.0f}",
            "training_end_ms": str(manifest["training"]["end_ms"]),
            "model_key": model_key,
            **({LINEAGE: lineage(bundle)} if manifest["mode"] == SINGLE else {}),
            **headline,
        },
        params=_params(draft["recipe"])
        | {"trials": str(draft["trials"]), "study": str(draft["study"])},
        metrics=flat_metrics(evidence),
        files=files,
        now_ms=now_ms(),
        description=version_description(manifest),
    )


def _params(recipe: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {
        f"{section}.{name}": str(value)
        for section, values in recipe.items()
        for name, value in values.items()
    }


def version_description(manifest: dict[str, Any]) -> str:
    """Return the verdict in words, all of it that MLflow's column holds; gate.json has the rest."""
    text = verdict_page(Verdict.from_dict(manifest["gate"]))
    if len(text) <= DESCRIPTION_MAX:
        return text
    kept, _, _ = text[: DESCRIPTION_MAX - len(CUT)].rpartition("\n")
    return kept + CUT
