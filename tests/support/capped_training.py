"""Trains a whole model with as little memory as it is told, for the tests of spilled rows.

``python -m tests.support.capped_training FOLDER make BARS`` stores a small dataset and a large one;
``… FOLDER train BYTES_MAX SPARE_MIB`` trains on the large one with rows beyond BYTES_MAX stored and
at most SPARE_MIB more memory than the process has when that begins (0: no limit). Prints JSON.
"""

import json
import resource
import sys
from pathlib import Path

from flows.research import table

table.BATCH = 4_096  # before anyone takes its value: many batches of few rows

import numpy as np  # noqa: E402

from executor.core.bundle import bundle_sha256, pack  # noqa: E402
from features.catalog import default_catalog  # noqa: E402
from features.signals import SignalParams  # noqa: E402
from features.synthetic import simulate_market  # noqa: E402
from flows.research.bundling import Origin, draft_manifest, parts  # noqa: E402
from flows.research.evaluation import evaluate_model  # noqa: E402
from flows.research.market import build_market, make_dataset  # noqa: E402
from flows.research.models import Machine  # noqa: E402
from flows.research.objective import Trial  # noqa: E402
from flows.research.recipe import BarrierParams, BoosterParams, Recipe  # noqa: E402
from flows.research.table import Table  # noqa: E402
from flows.research.training import cuts, train  # noqa: E402
from flows.training.shelf import DatasetWriter, load_dataset  # noqa: E402
from flows.training.spill import Spill  # noqa: E402

MIB = 1024.0**2
START_MS = 1_704_067_200_000
RECIPE = Recipe(
    signal=SignalParams(momentum_threshold=0.002, min_confidence_threshold=0.2),
    barriers=BarrierParams(horizon_hours=4.0),
    booster=BoosterParams(rounds_max=10),
)


def make(folder: Path, name: str, bars: int) -> None:
    """Store a dataset of two symbols that signal on most bars."""
    catalog = default_catalog()
    made = simulate_market(
        np.random.default_rng(5), symbols=2, bars=bars, interval_ms=900_000, start_ms=START_MS
    )
    writer = DatasetWriter(folder / name)
    markets = [
        writer.add(build_market(f"S{n}USDT", one.candles, one.funding, catalog, days_min=1.0))
        for n, one in enumerate(made)
    ]
    writer.finish(make_dataset(catalog, markets, "one_hot"), {})


def trained(folder: Path, name: str, bytes_max: float) -> tuple[str, Table]:
    """Train and measure a model; return its sha256 and its rows."""
    room = Spill(path=folder / "spill", bytes_max=bytes_max)
    data, _ = load_dataset(folder / name, default_catalog(), room)
    borders = cuts(data)
    trial = Trial(
        first_ms=borders.first_ms, test_ms=borders.test_ms, last_ms=borders.last_ms, folds=2
    )
    found = train(data, RECIPE, trial, Machine(threads=1))
    evidence = evaluate_model(found, data, trial.judged_ms, parity_symbols=1)
    origin = Origin(lake_version="1", content_sha256="", git_revision="", seed=7)
    files = pack(draft_manifest(data, found, evidence, origin), parts(found))
    return bundle_sha256(files), found.samples.x


def run(folder: Path, bytes_max: float, spare_mib: float) -> dict[str, object]:
    """Train on the large dataset; the libraries have taken what they take before it is limited."""
    trained(folder, "small", 1e5)
    before = in_use()
    if spare_mib:
        resource.setrlimit(resource.RLIMIT_DATA, (int(before + spare_mib * MIB),) * 2)
    sha, table = trained(folder, "large", bytes_max)
    return {
        "sha": sha,
        "rows_mib": table.shape[0] * table.shape[1] * 8 / MIB,
        "spilled": table.scratch() is not None,
    }


def in_use() -> float:
    """Return the bytes of private memory that count against the limit."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(row for row in status.splitlines() if row.startswith("VmData"))
    return float(line.split()[1]) * 1024.0


if __name__ == "__main__":
    where, what = Path(sys.argv[1]), sys.argv[2]
    if what == "make":
        make(where, "small", 12_000)
        make(where, "large", int(sys.argv[3]))
    else:
        done = run(where, float(sys.argv[3]), float(sys.argv[4]))
        sys.stdout.write(json.dumps(done))
