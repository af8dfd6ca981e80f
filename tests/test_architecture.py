"""The import contracts hold, name every module, and catch what they promise to catch."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]

PLANTED = {
    "features imports flows": ("features/types.py", "import flows.settings"),
    "features logs": ("features/costs.py", "import logging"),
    "features draws": ("features/labels.py", "import random"),
    "the stream reaches numba": ("features/stream.py", "import features.compiled"),
    "core reads the clock": ("executor/core/risk.py", "import time"),
    "core opens a database": ("executor/core/ledger.py", "import sqlite3"),
    "core reaches the shell": ("executor/core/step.py", "import executor.journal.store"),
    "core imports xgboost": ("executor/core/trees.py", "import xgboost"),
    "the executor imports xgboost": ("executor/models/loader.py", "import xgboost"),
    "the executor takes pandas": ("executor/market/feed.py", "import pandas"),
    "the executor takes mlflow": ("executor/models/loader.py", "import mlflow"),
    "the executor compiles": ("executor/trader.py", "import features.batch"),
    "the executor imports flows": ("executor/app.py", "import flows.settings"),
    "flows imports the shell": ("flows/system/services.py", "import executor.journal.store"),
    "flows imports the paper exchange": ("flows/retrain.py", "import executor.paper.server"),
    "paper imports the shell": ("executor/paper/server.py", "import executor.venue.adapter"),
    "a second module takes mlflow": ("flows/train.py", "import mlflow"),
    "research reads files": ("flows/research/splits.py", "import pathlib"),
    "a cycle": ("executor/core/types.py", "import executor.core.step"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=55, check=False
    )


def test_the_contract_of_the_shell_names_each_of_its_modules() -> None:
    (shell,) = [c for c in CONTRACTS if "shell is its own" in c["name"]]
    beside = {"core", "paper", "dashboard", "__init__"}
    found = (
        p
        for p in (ROOT / "executor").iterdir()
        if p.suffix == ".py" or (p / "__init__.py").exists()
    )
    modules = {f"executor.{p.stem}" for p in found if p.stem not in beside}
    assert set(shell["protected_modules"]) == modules
    (inside,) = [c for c in CONTRACTS if c["name"].startswith("inside the executor")]
    layer = {f"executor.{name}" for name in inside["layers"][0].split(" : ")}
    assert layer == modules


@pytest.mark.slow
@pytest.mark.parametrize("plant", sorted(PLANTED))
def test_a_planted_violation_is_caught(plant: str, tmp_path: Path) -> None:
    file, line = PLANTED[plant]
    for package in ("features", "executor", "flows"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    victim = tmp_path / file
    victim.write_text(victim.read_text() + f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout
