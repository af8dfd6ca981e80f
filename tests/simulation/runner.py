"""Runs seeds, alone or with planted bugs, and says what came of it.

Decides how a run is set up and torn down. Rule: one seed, one loop, one world; nothing is left
behind, and the same seed gives the same trace whatever ran before it.
"""

import asyncio

from tests.simulation import bugs_core, bugs_order
from tests.simulation.bugs import BUGS, BrokenPlantError, planted
from tests.simulation.faults import Faults
from tests.simulation.instance import installed
from tests.simulation.loop import VirtualLoop
from tests.simulation.world import Result, World

HOURS = 3.0
OWN_ERRORS = ("TypeError(", "AttributeError(", "NameError(")
"""Of what a planted bug dies that does not fit the code any more."""


CATALOGUES = (bugs_core, bugs_order)
"""Importing these fills :data:`BUGS`."""


def run(
    seed: int,
    *,
    hours: float = HOURS,
    quiet: bool = False,
    trace: bool = False,
    bug: str = "",
    until_seen: bool = False,
) -> Result:
    """Return what came of one seed; ``bug`` names planted bugs, joined by +.

    With ``until_seen`` the market stops at the first violation.
    """
    faults = Faults(seed, quiet=quiet)
    loop = VirtualLoop(faults.rng)
    try:
        world = World(seed, loop, faults, hours=hours, trace=trace, until_seen=until_seen)
        with planted(bug), installed(world):
            return loop.run_until_complete(world.run())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def first_seed_that_sees(bug: str, seeds: int, first: int = 0) -> Result | None:
    """Return the first run in which a monitor sees ``bug``, None where no seed shows it."""
    for seed in range(first, first + seeds):
        result = run(seed, bug=bug, until_seen=True)
        for line in result.violations:
            if any(error in line for error in OWN_ERRORS):
                raise BrokenPlantError(f"{bug}, seed {seed}: {line}")
        if result.violations:
            return result
    return None


__all__ = ["BUGS", "HOURS", "first_seed_that_sees", "run"]
