"""The second half of the fifty seeds of every test run: a file of its own for a second worker."""

import pytest

from tests.simulation.runner import run

SEEDS = range(25, 50)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_violated(seed: int) -> None:
    assert run(seed).violations == []
