"""What a file's name says: symbol, interval and kind.

Decides which names are understood. Never opens a file. Understood are this project's own
(`BTCUSDT-15m.parquet`, `BTCUSDT-1h-mark.parquet`, `BTCUSDT-funding.parquet`), Binance's public
archive (`BTCUSDT-15m-2024-01.csv`) and freqtrade's (`BTC_USDT_USDT-15m-futures.feather`).
Rule: a name that is not understood is refused with an example, never guessed at.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from features.errors import InputError
from features.intervals import INTERVALS_MS

Kind = Literal["candles", "mark", "funding"]
SUFFIXES = (".parquet", ".csv", ".csv.gz", ".feather")
_INTERVAL = "|".join(INTERVALS_MS)
_NAME = re.compile(
    rf"(?P<symbol>[A-Za-z0-9_]+(?:-(?:PERP|SWAP))?)-(?P<interval>{_INTERVAL}|8h|funding)"
    r"(?P<rest>[-_][A-Za-z0-9_-]+)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What one file holds, by its name."""

    path: Path
    symbol: str
    interval: str | None  # None for funding
    kind: Kind


def read_name(path: Path) -> Named:
    """Return what the name of ``path`` says.

    Raises
    ------
    InputError
        Where the name is not understood.
    """
    stem = path.name
    for suffix in SUFFIXES:
        stem = stem.removesuffix(suffix)
    match = _NAME.fullmatch(stem)
    if match is None:
        raise InputError(
            f"{path.name}: the name does not say symbol and interval; call it like "
            "BTCUSDT-15m.parquet, BTCUSDT-1h-mark.parquet or BTCUSDT-funding.csv"
        )
    symbol, rest = _symbol(match["symbol"]), (match["rest"] or "").lower()
    if match["interval"] == "funding" or "funding" in rest:
        return Named(path=path, symbol=symbol, interval=None, kind="funding")
    if match["interval"] not in INTERVALS_MS:
        raise InputError(f"{path.name}: bars of {match['interval']} are not supported")
    kind: Kind = "mark" if "mark" in rest else "candles"
    return Named(path=path, symbol=symbol, interval=match["interval"], kind=kind)


def _symbol(name: str) -> str:
    """Return the venue id of a symbol; freqtrade's BTC_USDT_USDT is BTCUSDT."""
    parts = name.split("_")
    if len(parts) == 3 and parts[1] == parts[2]:
        return parts[0] + parts[1]
    return name.replace("_", "")


def data_files(folder: Path) -> list[Path]:
    """Return the data files in ``folder`` and below, by name.

    Raises
    ------
    InputError
        Where there is no such folder or no such file in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give one with files like BTCUSDT-15m.parquet")
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
    if not found:
        raise InputError(f"{folder} holds no {', '.join(SUFFIXES)} file")
    return found
