"""Where results lie between the flows: datasets, drafts, evidence, bundles, as files by key.

Decides the names and layout, and that a file is either whole or absent. Never computes a result.
Rule: a key is the hash of everything the result depends on (data, features, parameters, code), so
that a change of any of them never finds an older result; wall time is in no key.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.catalog import Catalog
from features.costs import FlatFunding
from features.errors import InputError
from features.types import Candles, Funding
from flows.research.market import Dataset, Market
from flows.research.table import Room
from flows.versions import ROOT, read_files, write_files

# What results come of; not what shows them, stores candles or starts programs.
CODE = (
    "features",
    "executor/core",
    "flows/research",
    "flows/training",
    "flows/calibration",
    "flows/dataset.py",
)
COLUMNS = ("open_ms", "open", "high", "low", "close", "volume")
KEY_LENGTH = 16


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the key of everything in ``parts``; equal parts, equal key."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def code_version() -> str:
    """Return a hash of the source that results depend on."""
    digest = hashlib.sha256()
    for name in CODE:
        place = ROOT / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Two folders: ``datasets`` may be deleted at any time, ``models`` are what people look at."""

    datasets: Path
    models: Path

    def dataset(self, key: str) -> Path:
        """Return the folder of a dataset."""
        return self.datasets / key

    def model(self, key: str) -> Path:
        """Return the folder of a model, made where it is missing."""
        folder = self.models / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def drafts(self) -> list[dict[str, Any]]:
        """Return what is told of every trained model, in order of their keys."""
        return [dict(read_json(path)) for path in sorted(self.models.glob("*/draft.json"))]

    def found(self, key: str) -> Path:
        """Return the folder of a model that was trained.

        Raises
        ------
        InputError
            Where there is none.
        """
        folder = self.models / key
        if not (folder / "draft.json").is_file():
            raise InputError(f"no trained model {key} under {self.models}; run train first")
        return folder


class DatasetWriter:
    """Writes a dataset symbol by symbol, so that one at a time is in memory.

    A dataset is there whole or not at all; one that is there already stays as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._building = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        self._rows: list[dict[str, Any]] = []
        shutil.rmtree(self._building, ignore_errors=True)
        self._building.mkdir(parents=True)

    def add(self, market: Market) -> Market:
        """Write a market and return it, its arrays mapped from disk."""
        place = self._building / market.symbol
        place.mkdir()
        for name in COLUMNS:
            np.save(place / f"{name}.npy", getattr(market.candles, name))
        np.save(place / "matrix.npy", market.matrix)
        np.save(place / "volatility.npy", market.volatility)
        row = {
            "symbol": market.symbol,
            "first": market.first,
            "interval_ms": market.candles.interval_ms,
            "funding": _save_funding(place, market.funding),
        }
        self._rows.append(row)
        return _load_market(self._building, row)

    def finish(self, dataset: Dataset, facts: Mapping[str, Any]) -> None:
        """Write what the markets have in common; the dataset is there from now on."""
        index = {
            "facts": dict(facts),
            "schema": dataset.catalog.schema_hash,
            "encoding": dataset.encoding,
            "apart": dataset.apart,
            "correlation": dataset.correlation.tolist(),
            "markets": sorted(self._rows, key=lambda row: str(row["symbol"])),
        }
        write_json(self._building / "index.json", index)
        if self._folder.exists():
            self.drop()
        else:
            self._building.rename(self._folder)

    def drop(self) -> None:
        """Take away what was written."""
        shutil.rmtree(self._building, ignore_errors=True)


def load_dataset(
    folder: Path, catalog: Catalog, room: Room | None = None
) -> tuple[Dataset, dict[str, Any]]:
    """Return a dataset, its arrays mapped from disk, and the facts saved with it."""
    if not (folder / "index.json").is_file():
        raise InputError(f"no dataset {folder.name}; run the dataset flow first")
    index = read_json(folder / "index.json")
    if index["schema"] != catalog.schema_hash:
        raise InputError(f"dataset {folder.name} has other features; run the dataset flow again")
    dataset = Dataset(
        catalog=catalog,
        markets=tuple(_load_market(folder, row) for row in index["markets"]),
        encoding=index["encoding"],
        apart=index["apart"],
        correlation=np.array(index["correlation"]),
        room=room,
    )
    return dataset, dict(index["facts"])


def write_json(path: Path, value: object) -> None:
    """Write JSON in one atomic step, keys in the order in which they were put."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one atomic step."""
    building = path.with_name(f"{path.name}.{os.getpid()}.part")
    building.write_bytes(content)
    building.replace(path)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace a folder by ``files``; a reader sees all of them or none."""
    building = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(building, ignore_errors=True)
    write_files(building, files)
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name; none where there is no folder."""
    return read_files(folder) if folder.is_dir() else {}


def _load_market(folder: Path, row: Mapping[str, Any]) -> Market:
    place = folder / row["symbol"]
    columns = {name: _mapped(place / f"{name}.npy") for name in COLUMNS}
    return Market(
        symbol=row["symbol"],
        candles=Candles(interval_ms=row["interval_ms"], **columns),
        funding=_load_funding(place, row["funding"]),
        matrix=_mapped(place / "matrix.npy"),
        volatility=_mapped(place / "volatility.npy"),
        first=row["first"],
    )


def _mapped(path: Path) -> Any:
    """Return an array that is read from disk as it is used; a plain one, for speed."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _save_funding(place: Path, funding: Funding | FlatFunding) -> dict[str, float] | None:
    if isinstance(funding, FlatFunding):
        return {"rate": funding.rate, "interval_ms": funding.interval_ms}
    np.save(place / "funding_ms.npy", funding.time_ms)
    np.save(place / "funding_rate.npy", funding.rate)
    return None


def _load_funding(place: Path, flat: Mapping[str, float] | None) -> Funding | FlatFunding:
    if flat is not None:
        return FlatFunding(rate=float(flat["rate"]), interval_ms=int(flat["interval_ms"]))
    return Funding(
        time_ms=np.load(place / "funding_ms.npy"), rate=np.load(place / "funding_rate.npy")
    )
