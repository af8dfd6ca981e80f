"""The measure of the simulator: bugs planted in the executor, and how many it sees."""

from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.bugs import HIDDEN, PAIRS
from tests.simulation.runner import BUGS, first_seed_that_sees, run

SEEDS = 200
CAUGHT_LEAST = 0.95
SINGLES = sorted(BUGS.keys() - HIDDEN)
PAIRED = ["+".join(pair) for pair in PAIRS]
# Seen within the first seeds: cheap enough for every run of the tests.
SAMPLE = (
    "gate_open",
    "intents_not_written",
    "kill_does_nothing",
    "size_tripled+gate_ignores_limits",
    "stop_not_sent",
)


def test_there_are_enough_of_them() -> None:
    assert len(SINGLES) >= 30
    assert len(PAIRED) >= 10
    assert all(name in BUGS for pair in PAIRS for name in pair)
    assert len({bug.line for bug in BUGS.values()}) == len(BUGS)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_is_seen_at_once(name: str) -> None:
    assert first_seed_that_sees(name, 3) is not None


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_stays_planted() -> None:
    before = run(1, hours=0.5).sha256
    run(1, hours=0.5, bug="gate_open+kill_does_nothing")
    assert run(1, hours=0.5).sha256 == before


def _seen(name: str) -> tuple[str, int | None]:
    result = first_seed_that_sees(name, SEEDS)
    return name, None if result is None else result.seed


@pytest.mark.soak
def test_nearly_all_are_seen() -> None:
    with ProcessPoolExecutor() as pool:
        found = dict(pool.map(_seen, SINGLES + PAIRED))
    missed = sorted(name for name, seed in found.items() if seed is None)
    assert len(missed) <= (1.0 - CAUGHT_LEAST) * len(found), missed
