"""The stopwatch that every contender uses, ours and the peers alike.

Runs in any environment with numpy: peers import it by path. Prints one JSON line a case.
Rule: process CPU time, the minimum of the repetitions, the first call (compilation) left out.
"""

import gc
import importlib.metadata
import json
import platform
import resource
import sys
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], reps: int) -> float:
    """Return the least process CPU time of ``reps`` calls after one that is not counted.

    The last result is kept, as a user keeps it: otherwise the allocator hands its pages back to
    the system after every call, and the next call pays for getting them again.
    """
    kept = work()
    best = float("inf")
    for _ in range(reps):
        gc.collect()
        begun = time.process_time()
        result = work()
        best = min(best, time.process_time() - begun)
        kept = result
    del kept
    return best


def peak_bytes() -> int:
    """Return the largest resident memory this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def report(case: str, seconds: float, *, units: int, reps: int, **extra: object) -> None:
    """Print what was measured; ``units`` is how many events, rows or bars the work handled."""
    line = {"case": case, "seconds": seconds, "units": units, "reps": reps, **extra}
    print(json.dumps(line), flush=True)


def versions(*names: str) -> dict[str, str]:
    """Return the versions that matter to a figure."""
    found = {"python": platform.python_version()}
    for name in names:
        found[name] = importlib.metadata.version(name)
    return found
