"""Recorded candles and funding from a folder of Parquet files.

Decides how ``SYMBOL-INTERVAL.parquet`` and ``SYMBOL-funding.parquet`` are read and what is wrong
with them. Never repairs a gap and never invents a bar. Rule: every defect is one line that names
the file; a folder is read whole before anything is served.
"""

from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from features.errors import InputError
from features.funding import check_funding
from features.suggest import unknown_name
from features.types import Candles, Funding

CANDLE_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
FUNDING_COLUMNS = ("timestamp", "funding_rate")


def read_candles(folder: Path, symbol: str, interval: str, interval_ms: int) -> Candles:
    """Return the candles of one symbol.

    Raises
    ------
    InputError
        Where the folder, the file or a column is missing or unusable.
    """
    path = _find(folder, symbol, interval)
    return checked_candles(path.name, _read(path, CANDLE_COLUMNS), interval, interval_ms)


def read_funding(folder: Path, symbol: str) -> Funding:
    """Return the settlements of one symbol; none where the folder has no funding file for it."""
    path = folder / f"{symbol}-funding.parquet"
    if not path.is_file():
        return Funding(time_ms=np.empty(0, np.int64), rate=np.empty(0, np.float64))
    return checked_funding(path.name, _read(path, FUNDING_COLUMNS))


def checked_funding(name: str, frame: pl.DataFrame) -> Funding:
    """Return the settlements of ``frame``, or refuse them by ``name``."""
    _demand_whole(name, frame)
    funding = Funding(
        time_ms=frame["timestamp"].to_numpy().astype(np.int64),
        rate=frame["funding_rate"].to_numpy().astype(np.float64),
    )
    try:
        check_funding(funding)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return funding


def _find(folder: Path, symbol: str, interval: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"market folder {str(folder)!r} does not exist")
    names = sorted(path.name.removesuffix(".parquet") for path in folder.glob("*.parquet"))
    if not names:
        raise InputError(f"market folder {str(folder)!r} holds no parquet file")
    path = folder / f"{symbol}-{interval}.parquet"
    if path.is_file():
        return path
    pairs = [name.rsplit("-", 1) for name in names if "-" in name]
    here = sorted({part[1] for part in pairs if part[0] == symbol and part[1] != "funding"})
    if here:
        raise InputError(f"{symbol} has no {interval} candles here; it has {', '.join(here)}")
    symbols = {part[0] for part in pairs if part[1] == interval}
    raise InputError(unknown_name("symbol", symbol, symbols))


def _read(path: Path, wanted: tuple[str, ...]) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except (PolarsError, OSError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path.name} cannot be read as Parquet: {line}") from error
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise InputError(f"{path.name} has no column {missing[0]!r}; it needs {', '.join(wanted)}")
    frame = frame.select(wanted)
    for name, kind in frame.schema.items():
        if not kind.is_numeric():
            raise InputError(f"{path.name}: column {name!r} is {kind}, not a number")
    return frame.sort("timestamp")


def _demand_whole(name: str, frame: pl.DataFrame) -> None:
    if frame.height and frame.null_count().sum_horizontal()[0]:
        raise InputError(f"{name} holds empty cells; fill or drop those rows")


def checked_candles(name: str, frame: pl.DataFrame, interval: str, interval_ms: int) -> Candles:
    """Return the candles of ``frame``, sorted by time, or refuse them by ``name``."""
    _demand_whole(name, frame)
    open_ms = frame["timestamp"].to_numpy().astype(np.int64)
    if not open_ms.size:
        raise InputError(f"{name} holds no bar")
    if np.any(np.diff(open_ms) <= 0):
        raise InputError(f"{name} holds a bar twice; keep one row a timestamp")
    if np.any(open_ms % interval_ms):
        raise InputError(f"{name}: timestamps are not multiples of {interval} (bar open, ms)")
    columns = {key: frame[key].to_numpy().astype(np.float64) for key in CANDLE_COLUMNS[1:]}
    values = np.stack(list(columns.values()))
    if not np.all(np.isfinite(values)) or np.any(values[:4] <= 0) or np.any(values[4] < 0):
        raise InputError(f"{name} holds prices that are not above zero or not finite")
    bad = (columns["high"] < np.maximum(columns["open"], columns["close"])) | (
        columns["low"] > np.minimum(columns["open"], columns["close"])
    )
    if np.any(bad):
        row = int(np.flatnonzero(bad)[0])
        raise InputError(f"{name}: row {row} has a high or low inside its open and close")
    return Candles(interval_ms=interval_ms, open_ms=open_ms, **columns)
