"""Runs seeds, alone or with planted bugs, and says what came of it.

Decides how a run is set up and torn down. Rule: one seed, one loop, one world; nothing is left
behind, and the same seed gives the same trace whatever ran before it.
"""

import asyncio

from tests.simulation.faults import Faults
from tests.simulation.instance import installed
from tests.simulation.loop import VirtualLoop
from tests.simulation.world import Result, World

HOURS = 3.0


def run(seed: int, *, hours: float = HOURS, quiet: bool = False, trace: bool = False) -> Result:
    """Return what came of one seed."""
    faults = Faults(seed, quiet=quiet)
    loop = VirtualLoop(faults.rng)
    try:
        world = World(seed, loop, faults, hours=hours, trace=trace)
        with installed(world):
            return loop.run_until_complete(world.run())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
