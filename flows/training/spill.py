"""Rows that memory cannot hold, in Parquet files that last as long as somebody uses them.

Decides where they lie and when they go. Never looks at a value. Rule: one file a part, written once
and read as often as asked; whatever a killed process left is taken away by the next.
"""

import os
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import polars as pl
import psutil

from features.types import FloatArray
from flows.research.table import BATCH

GIB = 1024.0**3


class Parquet:
    """Rows in files of ``folder``; it goes when nobody refers to this any more."""

    def __init__(self, folder: Path, parts: Iterator[FloatArray], names: tuple[str, ...]) -> None:
        self._folder, self._width = folder, len(names)
        self._rows = 0
        self._pages = count()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for number, rows in enumerate(parts):
            pl.DataFrame(rows, schema=list(names)).write_parquet(
                self._file(number), compression="lz4", statistics=False
            )
            self._rows = number * BATCH + rows.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._rows, self._width

    def part(self, number: int) -> FloatArray:
        """Return a part's rows."""
        return np.ascontiguousarray(pl.read_parquet(self._file(number)).to_numpy())

    def scratch(self) -> str:
        """Return the beginning of a path that nobody else uses."""
        return str(self._folder / f"pages-{next(self._pages)}")

    def _file(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spill:
    """Keeps tables above ``bytes_max`` in folders below ``path``."""

    path: Path
    bytes_max: float

    def keep(self, parts: Iterator[FloatArray], names: tuple[str, ...]) -> Parquet:
        """Store parts as they come; they last as long as what is returned."""
        self.path.mkdir(parents=True, exist_ok=True)
        _sweep(self.path)
        return Parquet(Path(mkdtemp(prefix=f"{os.getpid()}-", dir=self.path)), parts, names)


def _sweep(path: Path) -> None:
    """Take away what processes left that are gone."""
    for folder in path.iterdir():
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
