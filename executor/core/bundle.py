"""A trained model as bytes, and back.

Decides the files of a bundle, that nothing is loaded before its sha256 was checked, and the
arithmetic of an answer. Never unpickles, never reads a disk, never asks a clock. Rule: one changed
bit in any file is refused before XGBoost sees it (a flipped bit can crash the process or change
answers silently).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from executor.core.decide import expected_net
from executor.core.linear import joined_probability, linear_score
from executor.core.manifest import (
    MULTI,
    BundleError,
    Manifest,
    canonical,
    read_manifest,
    sha256,
)
from executor.core.model import Economics, ModelInfo, Prediction, Request
from executor.core.trees import VERSION, Trees, TreesError
from features.meta import model_names, model_row
from features.signals import Signal
from features.types import FloatArray

MANIFEST: Final = "manifest.json"
BOOSTER: Final = "booster.ubj"
LINEAR: Final = "linear.json"
VOLATILITY: Final = "volatility_96"
ALL_GROUPS: Final = "*"
# What this program predicts with; another minor version may predict otherwise.
LIBRARY: Final = ".".join(VERSION.split(".")[:2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linear:
    """Logistic regression on scaled columns; arrays of shape (k,)."""

    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One model of a bundle: raw UBJ bytes of the booster and the logistic baseline."""

    booster: bytes
    linear: Linear


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A part ready to answer."""

    trees: Trees
    linear: Linear


def _folder(mode: str, symbol: str) -> str:
    return "" if mode == MULTI else f"symbols/{symbol}/"


def pack(manifest: Mapping[str, Any], parts: Mapping[str, Part]) -> dict[str, bytes]:
    """Return the files of a bundle by name.

    Parameters
    ----------
    manifest
        All keys of the manifest but ``files``; numbers finite.
    parts
        In ``multi_symbol`` mode one part under the key ""; else one part for each symbol.

    Raises
    ------
    BundleError
        Where the manifest would not be readable, or a part does not load.
    """
    mode = str(manifest["mode"])
    files: dict[str, bytes] = {}
    for symbol, part in parts.items():
        folder = _folder(mode, symbol)
        files[folder + BOOSTER] = bytes(part.booster)
        files[folder + LINEAR] = _linear_bytes(part.linear)
    return pack_files(manifest, files)


def pack_files(manifest: Mapping[str, Any], parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a bundle whose parts are files already, by name.

    Raises
    ------
    BundleError
        As :func:`pack`.
    """
    files = dict(parts)
    named = {name: sha256(data) for name, data in files.items()}
    files[MANIFEST] = canonical({**manifest, "files": named})
    unpack(files)
    return files


def bundle_sha256(files: Mapping[str, bytes]) -> str:
    """Return the name of a bundle: the sha256 of its manifest."""
    return sha256(files[MANIFEST])


def unpack(files: Mapping[str, bytes], expected_sha256: str = "") -> "ModelBundle":
    """Return the model in ``files``, every byte checked before anything is loaded.

    Parameters
    ----------
    expected_sha256
        What the registry says the bundle's sha256 is; "" where nobody says.

    Raises
    ------
    BundleError
        Where a byte is not what the manifest (or the registry) says, or a part does not fit.
    """
    if MANIFEST not in files:
        raise BundleError(f"bundle has no {MANIFEST}; register the model again")
    digest = sha256(files[MANIFEST])
    if expected_sha256 and digest != expected_sha256:
        raise BundleError(f"{MANIFEST} has sha256 {digest[:12]}…, expected {expected_sha256[:12]}…")
    manifest = read_manifest(files[MANIFEST])
    if set(manifest.files) != set(files) - {MANIFEST}:
        odd = sorted(set(manifest.files) ^ (set(files) - {MANIFEST}))
        raise BundleError(f"bundle and manifest disagree on the file {odd[0]!r}")
    for name, wanted in manifest.files.items():
        if sha256(files[name]) != wanted:
            raise BundleError(f"{name} is damaged: its sha256 is not the manifest's")
    symbols = tuple(manifest.info.symbols)
    names = model_names(manifest.info.feature_names, symbols, manifest.encoding)
    if names != manifest.model_names:
        raise BundleError("manifest.json: model_names do not follow from features and symbols")
    keys = [""] if manifest.mode == MULTI else list(symbols)
    parts = {
        key: _load(files, _folder(manifest.mode, key), len(manifest.model_names)) for key in keys
    }
    return ModelBundle(manifest, parts)


def _load(files: Mapping[str, bytes], folder: str, width: int) -> Loaded:
    for name in (folder + BOOSTER, folder + LINEAR):
        if name not in files:
            raise BundleError(f"bundle lacks {name}")
    try:
        trees = Trees(files[folder + BOOSTER])
        if trees.width != width:
            raise BundleError(
                f"{folder}{BOOSTER} takes {trees.width} columns, the manifest names {width}"
            )
        # The first answer is slow (lazy set-up): it is given here and not on the first signal.
        answer = trees.predict(np.zeros((1, width)))
    except TreesError as error:
        raise BundleError(f"{folder}{BOOSTER} is not a booster we can ask: {error}") from error
    if not 0.0 <= answer[0] <= 1.0:
        raise BundleError(f"{folder}{BOOSTER} does not answer with a probability")
    return Loaded(trees=trees, linear=_read_linear(files[folder + LINEAR], folder, width))


def _linear_bytes(linear: Linear) -> bytes:
    return canonical(
        {
            "mean": [float(v) for v in linear.mean],
            "scale": [float(v) for v in linear.scale],
            "coefficients": [float(v) for v in linear.coefficients],
            "intercept": float(linear.intercept),
        }
    )


def _read_linear(data: bytes, folder: str, width: int) -> Linear:
    try:
        raw = json.loads(data)
        linear = Linear(
            mean=np.asarray(raw["mean"], dtype=np.float64),
            scale=np.asarray(raw["scale"], dtype=np.float64),
            coefficients=np.asarray(raw["coefficients"], dtype=np.float64),
            intercept=float(raw["intercept"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder}{LINEAR} is not a logistic model: {error}") from error
    for column in (linear.mean, linear.scale, linear.coefficients):
        if column.shape != (width,) or not np.isfinite(column).all():
            raise BundleError(f"{folder}{LINEAR} does not have {width} finite numbers a row")
    if not (linear.scale > 0.0).all():
        raise BundleError(f"{folder}{LINEAR}: a scale is not above 0")
    return linear


class ModelBundle:
    """A loaded bundle: answers requests, knows its manifest. Holds no other state."""

    def __init__(self, manifest: Manifest, parts: Mapping[str, Loaded]) -> None:
        self._manifest = manifest
        self._parts = parts
        self._symbols = tuple(manifest.info.symbols)
        names = manifest.info.feature_names
        self._volatility = names.index(VOLATILITY) if VOLATILITY in names else -1
        # Lists of floats: the loop over columns is three times faster than over arrays.
        self._linear = {
            key: (
                part.linear.mean.tolist(),
                part.linear.scale.tolist(),
                part.linear.coefficients.tolist(),
                part.linear.intercept,
            )
            for key, part in parts.items()
        }

    @property
    def info(self) -> ModelInfo:
        """Return the facts that decisions use."""
        return self._manifest.info

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Return the manifest as it was packed."""
        return self._manifest.raw

    def predict(self, symbol: str, features: FloatArray, signal: Signal) -> Prediction:
        """Answer one request; ``features`` has shape (len(feature_names),)."""
        request = Request(symbol=symbol, close_ms=0, features=features, signal=signal)
        return self.predict_many((request,))[0]

    def predict_many(self, requests: Sequence[Request]) -> list[Prediction]:
        """Answer several requests at once, one call of the trees for each part."""
        answers: dict[int, Prediction] = {}
        by_part: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            key = self._key(request.symbol)
            by_part.setdefault(key, []).append(i)
        for key, members in by_part.items():
            rows = np.empty((len(members), len(self._manifest.model_names)))
            for k, i in enumerate(members):
                rows[k] = self._row(requests[i])
            boosted = self._parts[key].trees.predict(rows)
            for k, i in enumerate(members):
                probability = self._probability(key, boosted[k], rows[k].tolist())
                answers[i] = self._priced(requests[i], probability)
        return [answers[i] for i in range(len(requests))]

    def _key(self, symbol: str) -> str:
        return "" if self._manifest.mode == MULTI else symbol

    def _row(self, request: Request) -> FloatArray:
        return model_row(
            request.features,
            request.signal,
            request.symbol,
            self._symbols,
            self._manifest.encoding,
        )

    def _probability(self, key: str, boosted: float, row: list[float]) -> float:
        mean, scale, coefficients, intercept = self._linear[key]
        score = linear_score(row, mean, scale, coefficients, intercept)
        slope, offset = self._manifest.parts[key].calibrator
        return joined_probability(boosted, score, self._manifest.ensemble_weight, slope, offset)

    def _priced(self, request: Request, probability: float) -> Prediction:
        group = self._group(request)
        expected = expected_net(probability, group.win_mean, group.loss_mean)
        error = float("nan")
        if group.n > 0.0:
            error = float(np.sqrt(group.second_moment / group.n))
        return Prediction(
            probability=probability,
            expected_net=expected,
            standard_error=error,
            win_mean=group.win_mean,
            loss_mean=group.loss_mean,
            second_moment=group.second_moment,
        )

    def _group(self, request: Request) -> Economics:
        """Return the economics of the symbol's volatility bucket, else the symbol's, else all."""
        groups, bucket = self._manifest.groups, 0
        if self._volatility >= 0:
            volatility = float(request.features[self._volatility])
            for edge in self._manifest.parts[self._key(request.symbol)].volatility_edges:
                bucket += volatility >= edge
        for symbol in (request.symbol, ALL_GROUPS):
            for part in (str(bucket), ALL_GROUPS):
                found = groups.get(f"{symbol}|{part}")
                if found is not None:
                    return found
        nan = float("nan")
        return Economics(win_mean=nan, loss_mean=nan, second_moment=nan, n=0.0)
