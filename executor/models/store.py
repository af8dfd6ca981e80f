"""Verified bundles on the local disk, named by their content.

Decides where a bundle lies (`<store>/<sha256>/…`), that it appears whole or not at all, and which
one was in use last, so that a start without MLflow is possible. Never decides whether a model may
be traded. Rule: what is read is verified again by `core.bundle.unpack`; a disk is not trusted.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from executor.errors import BundleRefused

CURRENT: Final = "current.json"


class ModelStore:
    """A folder of bundles."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, sha256: str, files: Mapping[str, bytes]) -> None:
        """Keep a bundle; one that is there already stays as it is."""
        target = self._folder / sha256
        if target.is_dir():
            return
        part = self._folder / f".{sha256}.part"
        try:
            shutil.rmtree(part, ignore_errors=True)
            for name, data in files.items():
                path = part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, data)
            part.rename(target)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise BundleRefused(f"the model store cannot keep it: {error}") from error

    def get(self, sha256: str) -> dict[str, bytes] | None:
        """Return the files of a bundle, None where it is not kept."""
        target = self._folder / sha256
        if not sha256 or not target.is_dir():
            return None
        paths = [path for path in target.rglob("*") if path.is_file()]
        return {path.relative_to(target).as_posix(): path.read_bytes() for path in paths}

    def drop(self, sha256: str) -> None:
        """Forget a bundle that turned out damaged, so that it is downloaded again."""
        shutil.rmtree(self._folder / sha256, ignore_errors=True)

    def set_current(self, record: Mapping[str, Any]) -> None:
        """Remember what is in use."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f".{CURRENT}.part"
            _write(part, orjson.dumps(record))
            part.rename(self._folder / CURRENT)
        except OSError as error:
            raise BundleRefused(f"the model store cannot be written: {error}") from error

    def current(self) -> dict[str, Any] | None:
        """Return what was in use last, None where nothing readable says so."""
        try:
            found = orjson.loads((self._folder / CURRENT).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        return found if isinstance(found, dict) else None


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
