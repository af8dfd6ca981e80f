"""A small real bundle on a synthetic market, seeded: XGBoost on a few hundred signals.

For tests of whoever loads, swaps or trades a bundle. The same arguments give the same bytes. It is
trained in a hurry and proves nothing about trading.
"""

from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import xgboost

from executor.core.bundle import Linear, Part, pack
from executor.core.recording import Tape
from executor.core.types import Instrument
from features.catalog import Catalog, default_catalog
from features.costs import Costs
from features.meta import META_NAMES, model_names, model_row
from features.signals import ADAPTIVE_BOUNDS, SignalParams, primary_signal
from features.stream import FeatureStream
from features.synthetic import SyntheticSymbol, simulate_market
from features.types import FloatArray

INTERVAL_MS = 900_000
START_MS = 1_704_067_200_000  # 2024-01-01
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
SIGNAL = SignalParams(momentum_threshold=0.004, min_confidence_threshold=0.3)
COLUMNS = (
    "volatility_96",
    "ema_z_12",
    "ema_z_48",
    "volume_z_96",
    "return_1",
    "adx_14",
    "atr_14",
    "trend_z_96",
    "rsi_14",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Market:
    """Symbols with candles, funding, features and what the venue says of them."""

    catalog: Catalog
    tapes: tuple[Tape, ...]
    instruments: dict[str, Instrument]


def instrument(symbol: str, tick: float = 0.01, lot: float = 0.001) -> Instrument:
    """Return an instrument with ordinary limits."""
    return Instrument(
        symbol=symbol,
        tick=tick,
        lot=lot,
        quantity_min=lot,
        notional_min=5.0,
        leverage_max=50.0,
    )


def rows_of(market: SyntheticSymbol, catalog: Catalog) -> FloatArray:
    """Return the feature matrix of a symbol by the stream: no compiler needed in these tests."""
    stream = FeatureStream(catalog, market.candles.interval_ms)
    return np.array([stream.update(market.candles.candle(i)) for i in range(market.candles.n)])


@cache
def small_market(bars: int = 1500, seed: int = 7, symbols: tuple[str, ...] = SYMBOLS) -> Market:
    """Return a seeded market with its features."""
    catalog = default_catalog().subset(COLUMNS)
    simulated = simulate_market(
        np.random.default_rng(seed),
        symbols=len(symbols),
        bars=bars,
        interval_ms=INTERVAL_MS,
        start_ms=START_MS,
    )
    tapes = []
    for symbol, one in zip(symbols, simulated, strict=True):
        rows = rows_of(one, catalog)
        warm = np.where(np.isfinite(rows).all(axis=1), rows[:, 0], np.nan)
        tapes.append(
            Tape(
                symbol=symbol,
                candles=one.candles,
                features=rows,
                volatility=warm,
                funding=one.funding,
            )
        )
    return Market(
        catalog=catalog,
        tapes=tuple(tapes),
        instruments={symbol: instrument(symbol) for symbol in symbols},
    )


def training_rows(market: Market, encoding: str) -> tuple[FloatArray, FloatArray]:
    """Return model inputs and returns over the next 16 bars of every signal."""
    symbols = tuple(tape.symbol for tape in market.tapes)
    index = {name: i for i, name in enumerate(market.catalog.names)}
    rows, outcomes = [], []
    for tape in market.tapes:
        for i in range(200, tape.candles.n - 17):
            signal = primary_signal(tape.features[i], index, SIGNAL)
            if signal.side:
                rows.append(model_row(tape.features[i], signal, tape.symbol, symbols, encoding))
                entry, exit_ = tape.candles.open[i + 1], tape.candles.open[i + 17]
                outcomes.append(signal.side * (exit_ / entry - 1.0))
    return np.array(rows), np.array(outcomes)


def manifest_of(
    market: Market, *, encoding: str = "one_hot", mode: str = "multi_symbol", **changes: Any
) -> dict[str, Any]:
    """Return a manifest without ``files``; ``changes`` replace whole keys."""
    symbols = tuple(sorted(tape.symbol for tape in market.tapes))
    names = market.catalog.names
    last = market.tapes[0].candles
    manifest: dict[str, Any] = {
        "format": 1,
        "feature_schema": market.catalog.schema_hash,
        "feature_names": list(names),
        "model_names": list(model_names(names, symbols, encoding)),
        "symbols": {symbol: {"history_days": 400.0, "coverage": 1.0} for symbol in symbols},
        "mode": mode,
        "encoding": encoding,
        "signal": asdict(SIGNAL),
        "barriers": {
            "profit": 0.02,
            "loss": 0.01,
            "horizon_bars": 48,
            "volatility_scaled": False,
        },
        "costs": asdict(Costs()),
        "ensemble_weight": 0.7,
        "calibrator": {"a": 1.0, "b": 0.0},
        "economics": {
            "groups": {
                "*|*": {"win_mean": 0.018, "loss_mean": 0.011, "second_moment": 2e-4, "n": 400.0}
            },
            "volatility_edges": [],
        },
        "kappa": 0.5,
        "buckets": [{"lo": 0.0, "hi": 1.01, "wins": 40.0, "n": 100.0}],
        "kelly": {"fraction": 0.25, "f_q90": 20.0},
        "training": {
            "interval_ms": INTERVAL_MS,
            "start_ms": START_MS,
            "end_ms": int(last.open_ms[0]),
            "days": 400.0,
        },
        "data": {"lake_version": 0, "content_sha256": ""},
        "metrics": {"train": {}, "validation": {}, "test": {}},
        "gate": {"verdict": "passed", "criteria": []},
        "adaptive_bounds": {
            name: [getattr(SIGNAL, name), low, high]
            for name, (_, low, high) in ADAPTIVE_BOUNDS.items()
        },
        "versions": {"xgboost": xgboost.__version__},
        "git_revision": "",
        "seeds": {"training": 7},
    }
    if mode != "multi_symbol":
        part = {"calibrator": {"a": 1.0, "b": 0.0}, "volatility_edges": [], "f_q90": 20.0}
        own = {**part, "buckets": manifest["buckets"]}
        manifest["parts"] = dict.fromkeys(symbols, own)
        manifest["recipe"] = {"booster": {}, "model": {}}
        manifest["training"] |= {"fit_end_ms": 0, "rows": 1, "rounds": 12, "history_days_min": 90.0}
        for shared in ("calibrator", "buckets"):
            del manifest[shared]
    return {**manifest, **changes}


def train_part(rows: FloatArray, outcomes: FloatArray, seed: int = 7) -> Part:
    """Return a booster of twelve small trees and a hand-made linear part."""
    data = xgboost.QuantileDMatrix(rows, (outcomes > 0.0).astype(np.float64), nthread=1)
    settings = {
        "objective": "binary:logistic",
        "max_depth": 3,
        "eta": 0.2,
        "seed": seed,
        "nthread": 1,
    }
    booster = xgboost.train(settings, data, num_boost_round=12)
    scale = rows.std(axis=0)
    coefficients = np.zeros(rows.shape[1])
    coefficients[rows.shape[1] // 2] = 0.1
    linear = Linear(
        mean=rows.mean(axis=0),
        scale=np.where(scale > 0.0, scale, 1.0),
        coefficients=coefficients,
        intercept=0.0,
    )
    return Part(booster=bytes(booster.save_raw("ubj")), linear=linear)


@cache
def small_bundle(bars: int = 1500, seed: int = 7, encoding: str = "one_hot") -> dict[str, bytes]:
    """Return the files of a multi-symbol bundle trained on :func:`small_market`."""
    market = small_market(bars, seed)
    rows, outcomes = training_rows(market, encoding)
    return pack(manifest_of(market, encoding=encoding), {"": train_part(rows, outcomes)})


def single_bundle(*symbols: str, gate: str = "passed") -> dict[str, bytes]:
    """Return the files of a bundle in which each of ``symbols`` has a model of its own."""
    market = small_market(900)
    rows, outcomes = training_rows(market, "none")
    named = replace(market, tapes=tuple(replace(market.tapes[0], symbol=s) for s in symbols))
    verdict = {"verdict": gate, "criteria": []}
    manifest = manifest_of(named, mode="single_symbol", encoding="none", gate=verdict)
    moved = {symbol: np.roll(outcomes, ord(symbol[0])) for symbol in symbols}
    return pack(manifest, {symbol: train_part(rows, one) for symbol, one in moved.items()})


def model_width(market: Market, encoding: str) -> int:
    """Return the number of inputs of the model on ``market``."""
    coded = {"one_hot": len(market.tapes), "index": 1, "none": 0}[encoding]
    return len(market.catalog.names) + len(META_NAMES) + coded
