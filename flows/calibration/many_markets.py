"""Many markets of known truth through the gate, and what the counts say.

Decides which markets are judged, keeps each verdict as a line of a file as soon as it is there, and
counts with exact binomial bounds. Never judges. Rule: a line is keyed by terms, seed and code, so a
run that was stopped goes on, and verdicts of other code are never counted.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from scipy.stats import beta

from features.errors import InputError
from features.types import Candles
from flows.calibration.one_market import EDGES, HARDER, Terms, judge_market
from flows.lake.filenames import data_files, read_name
from flows.lake.fileread import Reading, read_rows
from flows.research.nulls import Histories, idle_funding
from flows.settings_source import extend_environment
from flows.training.shelf import code_version, key_of, write_bytes

SYNTHETIC_NULLS = ("driftless", "tide up", "tide down")
REAL_SYMBOLS = 3
CONFIDENCE = 0.95
OnRow = Callable[[dict[str, Any], int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One market to judge; ``folder`` of real candles where its kind needs them."""

    terms: Terms
    seed: int
    folder: Path | None = None

    def key(self, code: str) -> str:
        """Return the key of the verdict on this market by this code."""
        parts = {"terms": asdict(self.terms), "seed": self.seed, "code": code}
        return key_of(parts | {"folder": str(self.folder.name) if self.folder else None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Markets of one kind: how many were promoted, and exact one-sided 95 % bounds of the rate."""

    kind: str
    sharpe: float
    markets: int
    promoted: int

    @property
    def lower(self) -> float:
        """Lower bound of the rate of promotion (Clopper-Pearson)."""
        if self.promoted == 0:
            return 0.0
        return float(beta.ppf(1.0 - CONFIDENCE, self.promoted, self.markets - self.promoted + 1))

    @property
    def upper(self) -> float:
        """Upper bound of the rate of promotion."""
        if self.promoted == self.markets:
            return 1.0
        return float(beta.ppf(CONFIDENCE, self.promoted + 1, self.markets - self.promoted))


def plan_markets(
    sizes: Terms,
    *,
    nulls: int,
    planted: int,
    sharpe: float,
    curve: int,
    harder: int,
    seed: int,
    folder: Path | None,
) -> list[Market]:
    """Return the markets to judge, kinds mixed so that a part of a run says something of each.

    Parameters
    ----------
    sizes
        Size of the markets and of the searches; its kind is not looked at.
    nulls
        Markets with nothing to find, in equal parts of each kind.
    planted
        Markets with an edge whose oracle has ``sharpe``.
    curve
        Markets at each other whole Sharpe ratio from 0 to 4.
    harder
        Markets of each kind whose edge, of ``sharpe`` too, the written recipe does not fit.
    folder
        Real hourly candles for the sign-flipped nulls; without it that kind is left out.
    """
    kinds = SYNTHETIC_NULLS if folder is None else ("flipped", *SYNTHETIC_NULLS)
    lines = [_market(sizes, kinds[n % len(kinds)], 0.0, seed + n, folder) for n in range(nulls)]
    edges = [_market(sizes, "planted", sharpe, seed + n, None) for n in range(planted)]
    others = [
        _market(sizes, "planted", float(level), seed + n, None)
        for n in range(curve)
        for level in range(5)
        if float(level) != sharpe
    ]
    unfit = [_market(sizes, kind, sharpe, seed + n, None) for n in range(harder) for kind in HARDER]
    return _mixed(lines, edges, others, unfit)


def run_markets(
    markets: Sequence[Market], file: Path, *, workers: int, on_row: OnRow
) -> list[dict[str, Any]]:
    """Judge the markets that the file does not hold yet; return the rows of all.

    Raises
    ------
    InputError
        Where the file cannot be read.
    """
    code = code_version()
    wanted = {market.key(code): market for market in markets}
    rows = {row["key"]: row for row in read_rows_of(file) if row["key"] in wanted}
    left = [market for key, market in wanted.items() if key not in rows]
    extend_environment({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    file.parent.mkdir(parents=True, exist_ok=True)
    _mend(file)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        running = {pool.submit(_judged, market): market for market in left}
        for done in as_completed(running):
            row = {"key": running[done].key(code), **done.result()}
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row, sort_keys=True) + "\n")
            rows[row["key"]] = row
            on_row(row, len(rows), len(wanted))
    finally:
        pool.shutdown(cancel_futures=True)
    return [rows[key] for key in wanted if key in rows]


def read_rows_of(file: Path) -> list[dict[str, Any]]:
    """Return the verdicts in a file; a last line that was cut short is left out."""
    if not file.is_file():
        return []
    rows = []
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise InputError(
                    f"{file}: line {number} is no JSON; name another file with --file"
                ) from None
    return rows


def _mend(file: Path) -> None:
    """Take a last line that was cut short out of the file, so that the next one stands alone."""
    if file.is_file():
        whole, _, _ = file.read_bytes().rpartition(b"\n")
        write_bytes(file, whole + b"\n" if whole else b"")


def counts(rows: Iterable[dict[str, Any]]) -> list[Count]:
    """Return counts by kind and Sharpe ratio, nulls first."""
    groups: dict[tuple[str, float], list[bool]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["terms"]["sharpe"]), []).append(row["promoted"])
    return [
        Count(kind=kind, sharpe=sharpe, markets=len(found), promoted=sum(found))
        for (kind, sharpe), found in sorted(
            groups.items(), key=lambda one: (one[0][0] in EDGES, one[0])
        )
    ]


def all_nulls(found: Sequence[Count]) -> Count:
    """Return one count of all markets with nothing to find."""
    nulls = [count for count in found if count.kind not in EDGES]
    return Count(
        kind="all nulls",
        sharpe=0.0,
        markets=sum(count.markets for count in nulls),
        promoted=sum(count.promoted for count in nulls),
    )


def refusals(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return how often each criterion did not hold, most often first."""
    tally: dict[str, int] = {}
    for row in rows:
        for name in row["failed"]:
            tally[name] = tally.get(name, 0) + 1
    return dict(sorted(tally.items(), key=lambda one: -one[1]))


def real_histories(folder: Path, interval: str = "1h") -> Histories:
    """Return real candles of the symbols with the longest common history, on their common bars.

    Raises
    ------
    InputError
        Where the folder has no candle file of the interval.
    """
    found = []
    for path in data_files(folder):
        try:
            named = read_name(path)
        except InputError:
            continue
        if named.kind == "candles" and named.interval == interval:
            found.append(read_rows(path, "candles", Reading(naive_is_utc=True)))
    if not found:
        raise InputError(f"{folder}: no candle file such as BTCUSDT-{interval}.parquet")
    found = sorted(found, key=lambda frame: -frame.height)[:REAL_SYMBOLS]
    common = found[0]["open_ms"].to_numpy()
    for frame in found[1:]:
        common = np.intersect1d(common, frame["open_ms"].to_numpy(), assume_unique=True)
    histories = []
    for frame in found:
        kept = frame.filter(frame["open_ms"].is_in(common.tolist())).sort("open_ms")
        columns = {n: kept[n].to_numpy() for n in ("open", "high", "low", "close", "volume")}
        candles = Candles(interval_ms=3_600_000, open_ms=common.astype(np.int64), **columns)
        histories.append((candles, idle_funding(candles)))
    return histories


def _market(sizes: Terms, kind: str, sharpe: float, seed: int, folder: Path | None) -> Market:
    terms = Terms(**{**asdict(sizes), "kind": kind, "sharpe": sharpe})
    return Market(terms=terms, seed=seed, folder=folder if kind == "flipped" else None)


def _mixed(*parts: Sequence[Market]) -> list[Market]:
    """Return all in proportion to their lengths."""
    placed = [((n + 0.5) / len(part), m) for part in parts for n, m in enumerate(part)]
    return [market for _, market in sorted(placed, key=lambda one: one[0])]


def _judged(market: Market) -> dict[str, Any]:
    """Judge one market in a process of its own."""
    began = process_time()
    real = real_histories(market.folder) if market.folder is not None else None
    row = judge_market(market.terms, market.seed, real)
    return {**row, "cpu_s": process_time() - began}
