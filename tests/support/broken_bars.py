"""Breaks true candles on purpose, one kind at a time, at bars that a seeded generator chooses."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Columns = dict[str, np.ndarray]
NAMES = ("open_ms", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Injection:
    """One defect: its kind, the bar it begins at, and the flag that has to show it."""

    kind: str
    open_ms: int
    flag: str


def local_sigma(columns: Columns, at: int, bars: int = 96) -> float:
    """Standard deviation of the log returns of the bars before `at`: not our own estimator."""
    close = columns["close"][max(at - bars, 0) : at]
    return float(np.std(np.diff(np.log(close))))


def _jump(columns: Columns, at: int, rng: np.random.Generator) -> float:
    sigmas = rng.uniform(12, 40) * local_sigma(columns, at)
    return float(np.exp(rng.choice([-1, 1]) * sigmas))


def whole_bar_jump(columns: Columns, at: int, rng: np.random.Generator) -> str:
    """One to three bars at another price level."""
    factor, bars = _jump(columns, at, rng), int(rng.integers(1, 4))
    for name in ("open", "high", "low", "close"):
        columns[name][at : at + bars] *= factor
    return "torn"


def close_jump(columns: Columns, at: int, rng: np.random.Generator) -> str:
    """A wrong close, high and low widened to hold it; the next bar opens where it did."""
    columns["close"][at] = columns["close"][at - 1] * _jump(columns, at, rng)
    columns["high"][at] = max(columns["high"][at], columns["close"][at])
    columns["low"][at] = min(columns["low"][at], columns["close"][at])
    return "torn"


def travelled_jump(columns: Columns, at: int, rng: np.random.Generator) -> str:
    """A jump and its way back, opens following closes: only the missing volume gives it away."""
    factor = _jump(columns, at, rng)
    columns["close"][at] *= factor
    columns["open"][at + 1] *= factor
    for bar in (at, at + 1):
        body = columns["open"][bar], columns["close"][bar]
        columns["high"][bar] = max(columns["high"][bar], *body)
        columns["low"][bar] = min(columns["low"][bar], *body)
    return "spike"


def travelled_stretch(columns: Columns, at: int, rng: np.random.Generator) -> str:
    """The same over two or three bars: those between are moved whole."""
    factor, bars = _jump(columns, at, rng), int(rng.integers(2, 4))
    columns["close"][at] *= factor
    for name in ("open", "high", "low", "close"):
        columns[name][at + 1 : at + bars] *= factor
    columns["open"][at + bars] *= factor
    for bar in (at, at + bars):
        body = columns["open"][bar], columns["close"][bar]
        columns["high"][bar] = max(columns["high"][bar], *body)
        columns["low"][bar] = min(columns["low"][bar], *body)
    return "spike"


def ten_times(columns: Columns, at: int, rng: np.random.Generator) -> str:
    """The spike of the peers' probe: one close ten times too high."""
    columns["close"][at] *= 10
    columns["high"][at] = max(columns["high"][at], columns["close"][at])
    return "torn"


def frozen_untraded(columns: Columns, at: int, rng: np.random.Generator) -> str:
    bars = slice(at, at + int(rng.integers(4, 12)))
    for name in ("open", "high", "low", "close"):
        columns[name][bars] = columns["close"][at - 1]
    columns["volume"][bars] = 0.0
    return "frozen"


def frozen_repeated(columns: Columns, at: int, rng: np.random.Generator) -> str:
    bars = slice(at, at + int(rng.integers(4, 12)))
    for name in NAMES[1:]:
        columns[name][bars] = columns[name][at]
    return "frozen"


def frozen_price(columns: Columns, at: int, rng: np.random.Generator) -> str:
    bars = slice(at, at + int(rng.integers(4, 12)))
    for name in ("open", "high", "low", "close"):
        columns[name][bars] = columns["close"][at - 1]
    return "frozen"


def volume_outlier(columns: Columns, at: int, rng: np.random.Generator) -> str:
    day = columns["open_ms"] // 86_400_000
    median = np.median(columns["volume"][day == day[at]])
    columns["volume"][at] = median * rng.uniform(50, 500)
    return "volume"


def crossed(columns: Columns, at: int, rng: np.random.Generator) -> str:
    if rng.random() < 0.5:
        columns["low"][at], columns["high"][at] = columns["high"][at] * 1.001, columns["low"][at]
    else:
        columns["high"][at] = min(columns["open"][at], columns["close"][at]) * 0.9995
        columns["low"][at] = columns["high"][at] * 0.999
    return "crossed"


def not_a_price(columns: Columns, at: int, rng: np.random.Generator) -> str:
    name = str(rng.choice(["open", "high", "low", "close", "volume"]))
    columns[name][at] = rng.choice([np.nan, np.inf, -1.0] + ([] if name == "volume" else [0.0]))
    return "bad_price"


def missing(columns: Columns, at: int, rng: np.random.Generator) -> str:
    gone = slice(at, at + int(rng.integers(1, 30)))
    for name in NAMES:
        columns[name] = np.delete(columns[name], gone)
    return "missing"


def repeated_stamp(columns: Columns, at: int, rng: np.random.Generator) -> str:
    for name in NAMES:
        columns[name] = np.insert(columns[name], at, columns[name][at])
    return "duplicate"


def off_the_grid(columns: Columns, at: int, rng: np.random.Generator) -> str:
    columns["open_ms"][at] += int(rng.integers(1, 60_000))
    return "off_grid"


IN_PLACE: tuple[Callable[[Columns, int, np.random.Generator], str], ...] = (
    whole_bar_jump,
    close_jump,
    travelled_jump,
    travelled_stretch,
    ten_times,
    frozen_untraded,
    frozen_repeated,
    frozen_price,
    volume_outlier,
    crossed,
    not_a_price,
    off_the_grid,
    repeated_stamp,
    missing,
)


def inject(
    columns: Columns, count: int, rng: np.random.Generator, apart: int = 150
) -> list[Injection]:
    """Break `count` bars far apart from one another, in place, kinds in turn; return which."""
    size = columns["open_ms"].size
    slots = rng.permutation(np.arange(300, size - 300, apart))[:count]
    done = []
    for number, slot in enumerate(sorted(slots, reverse=True)):  # from the end: rows may move
        kind = IN_PLACE[number % len(IN_PLACE)]
        at = int(slot) + int(rng.integers(0, 20))
        open_ms = int(columns["open_ms"][at])
        done.append(Injection(kind.__name__, open_ms, kind(columns, at, rng)))
    return done
