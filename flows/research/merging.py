"""A symbol's new model joins a bundle in which every symbol has its own.

Decides what the joined bundle says of itself: the union of symbols, the longest training, the
shortest history, the newest end of data. Never fits. Rule: the files of the symbols that were there
stay as they are, byte for byte, and so do their calibrators, economics and bets; whoever is trained
again takes the place of the older one.
"""

from collections.abc import Mapping
from typing import Any

from executor.core.bundle import MANIFEST, ModelBundle, bundle_sha256, pack_files
from executor.core.manifest import SINGLE, read_manifest
from features.errors import InputError
from flows.research.comparison import recipe_of_events
from flows.research.recipe import BoosterParams, ModelParams, Recipe

# What both bundles must have in common: events, labels and answers mean the same then.
COMMON = (
    "mode",
    "feature_schema",
    "encoding",
    "signal",
    "barriers",
    "exit_plan",
    "costs",
    "ensemble_weight",
    "kappa",
    "recipe",
    "adaptive_bounds",
)


def recipe_of(bundle: ModelBundle) -> Recipe:
    """Return the recipe that a bundle was made by.

    Raises
    ------
    InputError
        Where its symbols share one model: nobody can join it without a new training.
    """
    raw = bundle.manifest
    if raw["mode"] != SINGLE:
        raise InputError(
            "this version is one model for all symbols: train again with the new symbol "
            '(tribar retrain), or with [model] mode = "single_symbol"'
        )
    made = recipe_of_events(bundle.info)
    return Recipe(
        signal=made.signal,
        barriers=made.barriers,
        costs=made.costs,
        exit_plan=made.exit_plan,
        booster=BoosterParams(**raw["recipe"]["booster"]),
        model=ModelParams(**raw["recipe"]["model"]),
    )


def lineage(files: Mapping[str, bytes]) -> str:
    """Return the sha256 of the bundle with which a line of joined bundles began."""
    own = read_manifest(files[MANIFEST]).raw
    return str(own.get("joined", {}).get("lineage", bundle_sha256(files)))


def merge(base: Mapping[str, bytes], added: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the bundle of ``base`` with the symbols of ``added``; both judged by the gate.

    Raises
    ------
    InputError
        Where the two were made by different recipes or predict with different libraries.
    """
    ours, theirs = read_manifest(base[MANIFEST]).raw, read_manifest(added[MANIFEST]).raw
    _require_common(ours, theirs)
    symbols = sorted({*ours["symbols"], *theirs["symbols"]})
    whose = {symbol: theirs if symbol in theirs["symbols"] else ours for symbol in symbols}
    groups = {
        name: group
        for name, group in ours["economics"]["groups"].items()
        if name.partition("|")[0] not in theirs["symbols"]
    }
    manifest = {
        **{key: value for key, value in theirs.items() if key != "files"},
        "symbols": {symbol: whose[symbol]["symbols"][symbol] for symbol in symbols},
        "parts": {symbol: whose[symbol]["parts"][symbol] for symbol in symbols},
        "economics": {"groups": groups | theirs["economics"]["groups"]},
        "training": _training(ours["training"], theirs["training"]),
        "gate": _gate(ours["gate"], theirs["gate"], bundle_sha256(base)),
        "joined": {
            "lineage": lineage(base),
            "base": bundle_sha256(base),
            "added": sorted(theirs["symbols"]),
        },
    }
    parts = {
        name: data
        for symbol, raw in whose.items()
        for name, data in (added if raw is theirs else base).items()
        if name.startswith(f"symbols/{symbol}/")
    }
    return pack_files(manifest, parts)


def _require_common(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for key in COMMON:
        if ours.get(key) != theirs.get(key):
            raise InputError(
                f"the new symbols' model differs in {key} from the version that it is to join; "
                "train all symbols again (tribar retrain)"
            )
    minor = [str(raw["versions"]["xgboost"]).split(".")[:2] for raw in (ours, theirs)]
    if minor[0] != minor[1]:
        raise InputError(
            f"the version was trained with xgboost {'.'.join(minor[0])}, the new symbols with "
            f"{'.'.join(minor[1])}: train all symbols again (tribar retrain)"
        )
    if ours["training"]["interval_ms"] != theirs["training"]["interval_ms"]:
        raise InputError("the version trades bars of another length; train all symbols again")


def _training(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the window that both cover, with the longest training and the shortest history."""
    least = {name: min(ours[name], theirs[name]) for name in ("start_ms", "history_days_min")}
    most = {
        name: max(ours[name], theirs[name]) for name in ("end_ms", "fit_end_ms", "days", "rounds")
    }
    return {**theirs, **least, **most, "rows": ours["rows"] + theirs["rows"]}


def _gate(ours: Mapping[str, Any], theirs: Mapping[str, Any], base: str) -> dict[str, Any]:
    """Return the verdict on the new symbols, which holds only where the old ones passed too."""
    passed = ours["verdict"] == "passed"
    joined = {
        "name": "version joined",
        "value": float(passed),
        "threshold": 1.0,
        "passed": passed,
        "reason": f"the version that it joins ({base[:10]}) was {ours['verdict']} by the gate",
        "binding": True,
        "way": ">=",
    }
    both = passed and theirs["verdict"] == "passed"
    return {
        **theirs,
        "verdict": "passed" if both else "refused",
        "criteria": [*theirs["criteria"], joined],
    }
