"""What one demo run does: which market, which bars train, which are traded, and where it lies.

Decides the time windows and that a demo touches nothing of a real system: its own lake, its own
registered model, its own Redis names, all under `data/demo`. Never starts anything.
Rule: bad options are refused here, before a server is started.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Final

import polars as pl

from features.catalog import default_catalog
from features.errors import InputError
from features.intervals import interval_ms
from features.suggest import unknown_name
from flows.settings import Settings

SIMULATED: Final = "simulated"
REPLAY: Final = "replay:"
COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume")
DAY_MS: Final = 86_400_000
SIMULATED_UNTIL_MS: Final = 1_735_689_600_000  # 2025-01-01
SIMULATED_DAYS: Final = 365
TRADED_SHARE: Final = 8  # without --train-until, the last eighth of a replay is for trading
SIMULATED_BARS: Final = 3_000
MODEL_NAME: Final = "tribar-demo"
DEPLOYMENT: Final = "demo"
REDIS_PREFIX: Final = "demo:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One demo run."""

    market: str  # as the paper exchange wants it
    symbols: tuple[str, ...]
    interval: str
    from_ms: int
    until_ms: int
    bars: int
    seed: int
    trials: int
    folder: Path  # of this run
    lake: Path  # shared by runs on the same market

    @property
    def days(self) -> int:
        """Length of the training window."""
        return (self.until_ms - self.from_ms) // DAY_MS

    @property
    def history(self) -> int:
        """Bars before the traded ones."""
        return (self.until_ms - self.from_ms) // interval_ms(self.interval)

    @property
    def title(self) -> str:
        """The run in a few words."""
        kind = "simulated market" if self.market == SIMULATED else "real candles"
        return f"{kind} · {', '.join(self.symbols)} · {self.interval} bars · seed {self.seed}"

    @property
    def windows(self) -> str:
        """The training and the trading window, for people."""
        end_ms = self.until_ms + self.bars * interval_ms(self.interval)
        trained = f"trains on {day(self.from_ms)} … {day(self.until_ms - 1)} ({self.days} days)"
        return f"{trained}, trades {self.bars:,} bars … {day(end_ms - 1)}"

    def environment(self, paper_url: str, paper_ws_url: str) -> dict[str, str]:
        """Return the variables that make the flows work on this run's own lake and names."""
        return {
            "TRIBAR_PATHS__LAKE": str(self.lake),
            "TRIBAR_PATHS__DATASETS": str(self.lake.with_name("datasets")),
            "TRIBAR_PATHS__REPORTS": str(self.folder / "reports"),
            # Demos are counted together, and never as attempts of the person's own recipe.
            "TRIBAR_PATHS__LEDGER": str(self.folder.with_name("gate.jsonl")),
            "TRIBAR_DATA__MARKET": self.lake.parent.name,
            "TRIBAR_VENUE__ID": "bybit",
            "TRIBAR_VENUE__URL": paper_url,
            "TRIBAR_VENUE__WS_URL": paper_ws_url,
            "TRIBAR_DATA__SYMBOLS": ",".join(self.symbols),
            "TRIBAR_DATA__INTERVAL": self.interval,
            "TRIBAR_DATA__DAYS": str(self.days),
            "TRIBAR_MODEL__SEED": str(self.seed),
            "TRIBAR_SEARCH__TRIALS": str(self.trials),
            "TRIBAR_REGISTRY__MODEL_NAME": MODEL_NAME,
            "TRIBAR_SCHEDULE__DEPLOYMENT": DEPLOYMENT,
            "TRIBAR_SCHEDULE__CRON": "",
        }


def make_plan(
    settings: Settings,
    *,
    market: str,
    symbols: Sequence[str],
    interval: str,
    train_until: str | None,
    days: int | None,
    bars: int | None,
    seed: int,
    trials: int,
    now_ms: int,
) -> Plan:
    """Return the plan for the options of the command line.

    Raises
    ------
    InputError
        Where the market, a symbol, the interval, a date or a number cannot be used.
    """
    length_ms = interval_ms(interval)
    if not symbols or len(set(symbols)) != len(symbols):
        raise InputError("--symbols: name each symbol once, e.g. --symbols BTCUSDT,ETHUSDT")
    for name, value in (("--days", days), ("--bars", bars), ("--trials", trials)):
        if value is not None and value < 1:
            raise InputError(f"{name}: {value} is too few; give 1 or more")
    if market == SIMULATED:
        first_ms, last_ms = None, None
    elif market.startswith(REPLAY) and market != REPLAY:
        folder = Path(market.removeprefix(REPLAY)).expanduser().resolve()
        first_ms, last_ms = common_range(folder, symbols, interval)
        last_ms += length_ms
        market = f"{REPLAY}{folder}"
    else:
        known = f"{unknown_name('market', market, [SIMULATED])}; or replay:FOLDER"
        raise InputError(f"--market: {known}")
    until_ms = _until_ms(train_until, first_ms, last_ms)
    from_ms = until_ms - (days or SIMULATED_DAYS) * DAY_MS
    if first_ms is not None and (days is None or from_ms < first_ms):
        from_ms = -(-first_ms // DAY_MS) * DAY_MS
    bars = _bars(bars, until_ms, last_ms, length_ms)
    warmup_days = default_catalog().warmup_bars * length_ms / DAY_MS
    needed_days = ceil(warmup_days + settings.model.history_days_min)
    if until_ms - from_ms < needed_days * DAY_MS:
        raise InputError(
            f"{(until_ms - from_ms) // DAY_MS} days before {day(until_ms)} are too few: a model of "
            f"{interval} bars needs {needed_days}; give a later --train-until or more --days"
        )
    about = [market, sorted(symbols), interval, from_ms, until_ms, bars, seed]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:10]
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%d-%H%M%S")
    return Plan(
        market=market,
        symbols=tuple(symbols),
        interval=interval,
        from_ms=from_ms,
        until_ms=until_ms,
        bars=bars,
        seed=seed,
        trials=trials,
        folder=settings.paths.demo / stamp,
        lake=settings.paths.demo / "lakes" / key / "lake",
    )


def common_range(folder: Path, symbols: Sequence[str], interval: str) -> tuple[int, int]:
    """Return the opening times of the first and the last bar that all ``symbols`` have.

    Raises
    ------
    InputError
        Where the folder has no such files, or a file is not a table of candles.
    """
    if not folder.is_dir():
        raise InputError(f"--market: {folder} is not a folder of SYMBOL-{interval}.parquet files")
    suffix = f"-{interval}.parquet"
    found = sorted(path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}"))
    if not found:
        raise InputError(f"--market: {folder} holds no file *{suffix}; is --interval right?")
    ranges = []
    for symbol in symbols:
        if symbol not in found:
            raise InputError(f"--symbols: {unknown_name('symbol', symbol, found)}")
        ranges.append(_range(folder / f"{symbol}{suffix}"))
    first_ms, last_ms = max(r[0] for r in ranges), min(r[1] for r in ranges)
    if first_ms >= last_ms:
        raise InputError(f"--symbols: the files of {', '.join(symbols)} have no time in common")
    return first_ms, last_ms


def day(time_ms: int) -> str:
    """Return the UTC date of ``time_ms``."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")


def instant(time_ms: int) -> str:
    """Return the UTC minute of ``time_ms``."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def parse_until(text: str) -> int:
    """Return the end of training in UTC ms: a bare date is included whole.

    Raises
    ------
    InputError
        Where the text is no ISO date or time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--train-until: {text!r} is no date such as 2025-09-30") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    is_date = len(text) <= len("2025-09-30")
    return int(moment.timestamp() * 1000) + (DAY_MS if is_date else 0)


def _until_ms(train_until: str | None, first_ms: int | None, last_ms: int | None) -> int:
    """Return where training ends and trading begins."""
    if train_until is not None:
        until_ms = parse_until(train_until)
    elif first_ms is None or last_ms is None:
        until_ms = SIMULATED_UNTIL_MS
    else:
        until_ms = (last_ms - (last_ms - first_ms) // TRADED_SHARE) // DAY_MS * DAY_MS
    if last_ms is not None and first_ms is not None and not first_ms < until_ms < last_ms:
        raise InputError(
            f"--train-until: {day(until_ms - 1)} leaves nothing to trade; the candles reach from "
            f"{day(first_ms)} to {day(last_ms - 1)}"
        )
    return until_ms


def _bars(bars: int | None, until_ms: int, last_ms: int | None, length_ms: int) -> int:
    """Return how many bars are traded."""
    if last_ms is None:
        return bars or SIMULATED_BARS
    available = (last_ms - until_ms) // length_ms - 1  # the last opening tick needs a bar too
    if available < 1 or (bars is not None and bars > available):
        raise InputError(f"--bars: only {max(available, 0)} bars lie after {day(until_ms - 1)}")
    return bars or available


def _range(path: Path) -> tuple[int, int]:
    """Return the first and the last opening time of a file of candles."""
    try:
        table = pl.scan_parquet(path)
        names = table.collect_schema().names()
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise InputError(f"{path}: column {missing[0]!r} is missing (has: {', '.join(names)})")
        time = pl.col("timestamp")
        first, last = (
            table.select(time.min().alias("first"), time.max().alias("last")).collect().row(0)
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({str(error)[:80]})") from None
    if not isinstance(first, int) or not isinstance(last, int):
        raise InputError(f"{path}: column 'timestamp' must hold int64 milliseconds")
    return first, last
