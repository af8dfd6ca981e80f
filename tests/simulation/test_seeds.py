"""Many seeds, each a day's worth of trouble in three hours: no monitor may see anything.

To see one again: `python -m tests.simulation --seed N --trace`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.many import over_seeds, processes
from tests.simulation.runner import run

SEEDS = range(25)  # the other half of the fifty is in test_seeds_later: a file is a worker's
SOAK_SEEDS = 5_000
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_violated(seed: int) -> None:
    assert run(seed).violations == []


@pytest.mark.soak
@pytest.mark.timeout(12 * 3600)
def test_nothing_is_violated_in_five_thousand() -> None:
    seen = over_seeds(range(SOAK_SEEDS), processes(), None, print)
    assert {seed: one.violations for seed, one in seen.items() if one.violations} == {}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_seed_is_a_run() -> None:
    """The same seed gives the same trace, here and under any hash seed."""
    here = run(3, hours=0.25).sha256
    assert run(3, hours=0.25).sha256 == here
    assert run(4, hours=0.25).sha256 != here
    program = "from tests.simulation.runner import run; print(run(3, hours=0.25).sha256)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == here
