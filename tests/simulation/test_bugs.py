"""The measure of the simulator: bugs planted in the executor, and how many it sees."""

from typing import Any

import pytest

from executor.venue.adapter import Venue
from tests.simulation.bugs import HIDDEN, PAIRS, BrokenPlantError, Bug, Patches, names, planted
from tests.simulation.many import over_bugs, processes
from tests.simulation.runner import BUGS, first_seed_that_sees, run

SEEDS = 200
SINGLES = sorted(BUGS.keys() - HIDDEN)
# Cheap enough for every run of the tests: the bug, and a seed from which on it is seen at once. A
# bug of the kill needs a seed with a kill in it.
SAMPLE = {
    "gate_open": 0,
    "intents_not_written": 0,
    "kill_does_nothing": 22,
    "size_tripled+gate_ignores_limits": 0,
    "stop_not_sent": 0,
}


def test_there_are_enough_of_them() -> None:
    assert len(SINGLES) >= 30
    assert len(PAIRS) >= 10
    assert all(name in BUGS for pair in PAIRS for name in pair)
    assert len({bug.line for bug in BUGS.values()}) == len(BUGS)


@pytest.mark.parametrize("name", sorted(BUGS))
def test_every_bug_fits_the_code(name: str) -> None:
    with planted(name):
        pass


def test_a_bug_that_dies_of_its_own_arguments_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that did was counted as seen, for it died at once."""

    def plant(patches: Patches) -> None:
        async def snapshot(self: Any, time_ms: int) -> None: ...

        patches.set(Venue, "snapshot", snapshot)

    before = Venue.snapshot
    monkeypatch.setitem(BUGS, "stale", Bug("stale", "does not fit", plant))
    with pytest.raises(BrokenPlantError, match="snapshot: got an unexpected keyword argument"):
        run(0, bug="stale")
    assert Venue.snapshot is before


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_is_seen_at_once(name: str) -> None:
    assert first_seed_that_sees(name, 3, SAMPLE[name]) is not None


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_nothing_stays_planted() -> None:
    before = run(1, hours=0.5).sha256
    run(1, hours=0.5, bug="gate_open+kill_does_nothing")
    assert run(1, hours=0.5).sha256 == before


@pytest.mark.soak
@pytest.mark.timeout(12 * 3600)
def test_nearly_all_are_seen() -> None:
    assert over_bugs(names(), SEEDS, processes(), None, print)
