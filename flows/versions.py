"""What a registered version is made of, and how it reads.

Decides the content of a package (bundle, tags, figures, files) and the code that travels with it.
Never talks to a server: ``flows.registry`` does. Rule: what is missing is absent, never zero.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("features", "executor/__init__.py", "executor/core", "flows/__init__.py", "flows/served.py")
REQUIREMENTS = ("numpy", "pandas", "xgboost")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Package:
    """All that registering a model writes."""

    bundle: Mapping[str, bytes]
    bundle_sha256: str
    input_names: tuple[str, ...]
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, bytes]
    now_ms: int
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version as a person sees it; a missing tag or metric is absent, never zero."""

    version: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    created_ms: int = 0
    run_id: str = ""
    source: str = ""

    @property
    def gate(self) -> str:
        """Verdict of the gate, or ``unknown``."""
        return self.tags.get("gate", "unknown")

    @property
    def bundle_sha256(self) -> str:
        """Identity of the bundle, or an empty string."""
        return self.tags.get("bundle_sha256", "")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their names below ``folder``."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_files(folder: Path) -> dict[str, bytes]:
    """Return all files below ``folder`` by their names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def copy_code(folder: Path) -> None:
    """Copy the modules that :mod:`flows.served` needs, so that a model loads without Tribar."""
    for name in CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
