"""The manifest of a model bundle: JSON in, checked facts out.

Decides what a manifest must say and what its hash is. Never opens a model file. Rule: canonical
JSON (sorted keys, no spaces), format 1, no wall time and no run id; anything missing or of the
wrong kind is one clear line.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from executor.core.model import BarrierSpec, Bets, Bucket, Economics, ModelInfo, SymbolCoverage
from features.costs import Costs
from features.errors import InputError
from features.exit_plan import ExitPlan
from features.signals import ADAPTIVE_BOUNDS, SignalParams

FORMAT: Final = 1
MULTI: Final = "multi_symbol"
SINGLE: Final = "single_symbol"
ENCODINGS: Final = ("one_hot", "index", "none")


class BundleError(InputError):
    """A bundle that must not be used: the message says what is wrong with it."""


def sha256(data: bytes) -> str:
    """Return the hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()


def canonical(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest's bytes, whose sha256 names the bundle."""
    text = json.dumps(
        manifest, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFacts:
    """How a part's answer is calibrated, and where its volatility buckets end."""

    calibrator: tuple[float, float]
    volatility_edges: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest that has been read; ``raw`` is all of it.

    ``parts`` are by symbol in single-symbol mode; else there is one, under "".
    """

    raw: Mapping[str, Any]
    info: ModelInfo
    mode: str
    encoding: str
    model_names: tuple[str, ...]
    ensemble_weight: float
    parts: Mapping[str, PartFacts]
    groups: Mapping[str, Economics]
    files: Mapping[str, str]


def read_manifest(data: bytes) -> Manifest:
    """Return the checked facts of a manifest.

    Raises
    ------
    BundleError
        Where the bytes are not a manifest this version can use.
    """
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise BundleError(
            f"manifest.json is not JSON ({error}); register the model again"
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise BundleError(f"manifest.json is not of format {FORMAT}; train again with this version")
    if canonical(raw) != data:
        raise BundleError("manifest.json is not canonical JSON: it was changed after packing")
    try:
        return _read(raw, sha256(data))
    except KeyError as error:
        raise BundleError(f"manifest.json lacks {error}; train again with this version") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"manifest.json: {error}") from error


def _read(raw: Mapping[str, Any], digest: str) -> Manifest:
    mode, encoding = str(raw["mode"]), str(raw["encoding"])
    if mode not in {MULTI, SINGLE}:
        raise BundleError(f"manifest.json: mode is {mode!r}; it must be {MULTI} or {SINGLE}")
    if encoding not in ENCODINGS:
        raise BundleError(f"manifest.json: encoding is {encoding!r}; known: {', '.join(ENCODINGS)}")
    weight = _number(raw["ensemble_weight"], "ensemble_weight")
    if not 0.0 <= weight <= 1.0:
        raise BundleError(f"manifest.json: ensemble_weight is {weight}; it must be in 0..1")
    return Manifest(
        raw=raw,
        info=_info(raw, digest),
        mode=mode,
        encoding=encoding,
        model_names=tuple(raw["model_names"]),
        ensemble_weight=weight,
        parts=_parts(raw, mode),
        groups={
            name: Economics(**{key: _number(value, key) for key, value in group.items()})
            for name, group in raw["economics"]["groups"].items()
        },
        files=dict(raw["files"]),
    )


def _parts(raw: Mapping[str, Any], mode: str) -> dict[str, PartFacts]:
    if mode == MULTI:
        return {"": _part(raw["calibrator"], raw["economics"]["volatility_edges"])}
    parts = raw["parts"]
    if set(parts) != set(raw["symbols"]):
        odd = sorted(set(parts) ^ set(raw["symbols"]))
        raise BundleError(f"manifest.json: parts and symbols disagree on {odd[0]!r}")
    return {
        symbol: _part(part["calibrator"], part["volatility_edges"])
        for symbol, part in parts.items()
    }


def _part(calibrator: Mapping[str, Any], edges: Sequence[Any]) -> PartFacts:
    return PartFacts(
        calibrator=(_number(calibrator["a"], "a"), _number(calibrator["b"], "b")),
        volatility_edges=tuple(_number(edge, "volatility_edges") for edge in edges),
    )


def _info(raw: Mapping[str, Any], digest: str) -> ModelInfo:
    training, kelly = raw["training"], raw["kelly"]
    shared = raw["mode"] == MULTI
    return ModelInfo(
        bundle_sha256=digest,
        feature_schema=str(raw["feature_schema"]),
        feature_names=tuple(raw["feature_names"]),
        symbols={
            symbol: SymbolCoverage(
                history_days=_number(facts["history_days"], "history_days"),
                coverage=_number(facts["coverage"], "coverage"),
            )
            for symbol, facts in raw["symbols"].items()
        },
        signal=SignalParams(**raw["signal"]),
        barriers=BarrierSpec(**raw["barriers"]),
        exit_plan=ExitPlan(**raw.get("exit_plan", {})),
        costs=Costs(**raw["costs"]),
        interval_ms=int(training["interval_ms"]),
        trained_until_ms=int(training["end_ms"]),
        kappa=_number(raw["kappa"], "kappa"),
        buckets=_buckets(raw["buckets"]) if shared else (),
        kelly_fraction=_number(kelly["fraction"], "fraction"),
        kelly_q90=_number(kelly["f_q90"], "f_q90") if shared else 0.0,
        bets={
            symbol: Bets(
                buckets=_buckets(part["buckets"]), kelly_q90=_number(part["f_q90"], "f_q90")
            )
            for symbol, part in ({} if shared else raw["parts"]).items()
        },
        adaptive_bounds=_bounds(raw["adaptive_bounds"]),
        library=".".join(str(raw.get("versions", {}).get("xgboost", "")).split(".")[:2]),
    )


def _buckets(rows: Sequence[Mapping[str, Any]]) -> tuple[Bucket, ...]:
    return tuple(
        Bucket(**{key: _number(row[key], key) for key in ("lo", "hi", "wins", "n")}) for row in rows
    )


def _bounds(raw: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Return (default, low, high) of each adaptive parameter."""
    unknown = sorted(set(raw) - set(ADAPTIVE_BOUNDS))
    if unknown:
        raise BundleError(f"manifest.json: {unknown[0]!r} is not an adaptive parameter")
    bounds: dict[str, tuple[float, float, float]] = {}
    for name, values in raw.items():
        default, low, high = (_number(value, name) for value in values)
        if not low <= default <= high:
            raise BundleError(f"manifest.json: bounds of {name} do not hold its default")
        bounds[name] = (default, low, high)
    return bounds


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BundleError(f"manifest.json: {name} is {value!r}; it must be a finite number")
    return float(value)
