"""The market, the models and the settings of every run.

Decides what is traded and how much of it may be held: small limits, so that one entry too many is
seen, short barriers, so that positions come and go. Never draws a fault. Rule: the market is a
function of the seed; two bundles differ in where they put the stop, so that an order at the venue
tells by itself which of them decided it.
"""

import random
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from executor.core.bundle import Linear, Part, pack
from executor.paper.settings import AccountSettings
from executor.paper.settings import Settings as PaperSettings
from executor.settings.settings import Settings
from features.catalog import Catalog, default_catalog
from features.meta import model_names
from features.signals import ADAPTIVE_BOUNDS
from tests.support import bundles

SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")
INTERVAL = "5m"
INTERVAL_MS = 300_000
START_MS = 1_735_713_000_000  # 2025-01-01 06:30 UTC: a funding settlement lies within three hours
HISTORY = 150
BALANCE = 10_000
COLUMNS = (
    "volatility_96",
    "ema_z_12",
    "ema_z_48",
    "volume_z_96",
    "return_1",
    "adx_14",
    "atr_14",
)
LOSS, BAD_LOSS, PROFIT = 0.004, 0.009, 0.006
HORIZON_BARS = 4
TAKER_FEE = 0.0005


class Limits(NamedTuple):
    """How much may be held in a symbol and in all (fractions of equity), and in how many."""

    position_fraction: float
    gross_fraction: float
    positions: int


LIMITS = (Limits(0.10, 0.22, 3), Limits(0.10, 0.50, 2), Limits(0.06, 0.14, 4))
"""In each of them another one binds first."""


def limits(seed: int) -> Limits:
    """Return the limits of a run."""
    return LIMITS[random.Random(seed).randrange(len(LIMITS))]


@cache
def catalog() -> Catalog:
    """Return the few features of these runs: a start must cost milliseconds here."""
    return default_catalog().subset(COLUMNS)


@cache
def bundle(loss: float = LOSS) -> dict[str, bytes]:
    """Return the files of a bundle that likes nearly every signal."""
    names = model_names(COLUMNS, tuple(sorted(SYMBOLS)), "one_hot")
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, len(names)))
    booster = bundles.train_part(rows, rng.standard_normal(200)).booster
    width = len(names)
    linear = Linear(
        mean=np.zeros(width), scale=np.ones(width), coefficients=np.zeros(width), intercept=0.0
    )
    return pack(_manifest(names, loss), {"": Part(booster=booster, linear=linear)})


def _manifest(names: tuple[str, ...], loss: float) -> dict[str, Any]:
    signal = {
        "momentum_threshold": 0.002,
        "min_confidence_threshold": 0.05,
        "rule": "momentum",
        "confidence_multiplier": 50.0,
        "volume_weight": 0.2,
        "short_ma_weight": 0.5,
        "med_ma_weight": 0.3,
        "higher_weight": 0.0,
    }
    economics = {"win_mean": 0.006, "loss_mean": 0.002, "second_moment": 2e-5, "n": 400.0}
    return {
        "format": 1,
        "feature_schema": catalog().schema_hash,
        "feature_names": list(COLUMNS),
        "model_names": list(names),
        "symbols": {symbol: {"history_days": 400.0, "coverage": 1.0} for symbol in SYMBOLS},
        "mode": "multi_symbol",
        "encoding": "one_hot",
        "signal": signal,
        "barriers": {
            "profit": PROFIT,
            "loss": loss,
            "horizon_bars": HORIZON_BARS,
            "volatility_scaled": False,
        },
        "exit_plan": {
            "partial_fraction": 0.4,
            "partial_at": 0.5,
            "break_even": True,
            "trail": 1.0,
            "trail_from": 0.75,
        },
        "costs": {
            "taker_fee": TAKER_FEE,
            "maker_fee": 0.0002,
            "slippage_base": 0.0001,
            "slippage_volatility": 0.1,
            "take_profit_is_market": True,
        },
        "ensemble_weight": 0.5,
        "calibrator": {"a": 0.0, "b": 0.6},
        "economics": {"groups": {"*|*": economics}, "volatility_edges": []},
        "kappa": 0.5,
        "buckets": [{"lo": 0.0, "hi": 1.01, "wins": 64.0, "n": 100.0}],
        "kelly": {"fraction": 0.25, "f_q90": 20.0},
        "training": {
            "interval_ms": INTERVAL_MS,
            "start_ms": START_MS - 400 * 86_400_000,
            "end_ms": START_MS - 86_400_000,
            "days": 399.0,
        },
        "data": {"lake_version": 0, "content_sha256": ""},
        "metrics": {"train": {}, "validation": {}, "test": {}},
        "gate": {"verdict": "passed", "criteria": []},
        "adaptive_bounds": {k: list(v) for k, v in ADAPTIVE_BOUNDS.items()},
        "versions": {},
        "git_revision": "",
        "seeds": {"training": 1},
    }


def paper_settings(seed: int, bars: int) -> PaperSettings:
    """Return the settings of the venue core: a made-up market, one account."""
    account = AccountSettings(name="main", api_key="key", secret="secret", balance=Decimal(BALANCE))
    return PaperSettings(
        recordings=None,
        venue="",
        symbols=SYMBOLS,
        interval=INTERVAL,
        interval_ms=INTERVAL_MS,
        now_ms=START_MS,
        bars=bars,
        history=HISTORY,
        seed=seed,
        host="",
        port=0,
        speed=1.0,
        clients=1,
        taker_fee=TAKER_FEE,
        maker_fee=0.0002,
        slippage_base=0.0001,
        slippage_volatility=0.1,
        participation=0.0,
        limited=False,
        fault_seed=0,
        fault_rate=0.0,
        faults=None,
        scenarios=(),
        accounts=(account,),
        event_log=None,
        journal=None,
    )


def executor_settings(journal: Path, store: Path, most: Limits) -> Settings:
    """Return the settings of one host: defaults but for idle beats, limits and guards."""
    values: dict[str, Any] = {
        "trading": {"symbols": SYMBOLS, "interval": INTERVAL},
        "venue": {
            "url": "http://venue",
            "ws_url": "ws://venue",
            "api_key": "key",
            "api_secret": "secret",
        },
        "redis": {"heartbeat_interval_ms": 300_000},
        "reconciler": {"interval_ms": 15_000},
        "model": {"poll_interval_ms": 60_000, "store": store},
        "journal": {"path": journal},
        "overrides": {
            "limits": {
                "position_fraction_max": most.position_fraction,
                "gross_fraction_max": most.gross_fraction,
                "net_fraction_max": 1.0,
                "repeated_entries_max": 1_000,
            },
            "sizing": {
                "risk_per_trade": 0.02,
                "kelly_fraction_max": 1.0,
                "volume_share_max": 1.0,
                "volatility_target": 10.0,
                "beta_fraction_max": 10.0,
                "losses_halving": 1_000,
            },
            "selector": {"positions_max": most.positions, "correlation_max": 1.0},
            "regime": {"reach_min": 0.0, "volatility_max": 1.0},
            "session": {"volume_min": 0.0},
            "guard": {
                "daily_loss_max": 0.9,
                "drawdown_halt": 0.9,
                "losses_cool_down": 0,
                "performance_trades": 0,
            },
            "tuning": {"enabled": False},
        },
    }
    return Settings.model_validate(values)
