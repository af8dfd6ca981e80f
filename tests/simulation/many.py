"""Many seeds and many bugs, over processes, with progress, and resumed where they were stopped.

Decides which seeds are still to be run and how what came of them is kept and told. Never judges a
run (`monitors` do). Rule: results are kept only with the sources that they belong to; each failure
is told with the one command that shows it again.
"""

import gc
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from tests.simulation.runner import first_seed_that_sees, run

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("executor", "features", "tests/simulation", "tests/support")
TOLD_EACH_S = 20.0
RUNS_A_PROCESS = 200

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of one run."""

    seed: int
    violations: list[str]
    entries: int
    faults: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Caught:
    """By which seed a bug was seen, None where by none of the first ``tried``, and by whom."""

    bug: str
    seed: int | None
    tried: int
    monitors: list[str]
    cpu_s: float


def see(seed: int) -> Seen:
    """Run one seed."""
    began = time.process_time()
    result = run(seed)
    return Seen(
        seed=seed,
        violations=result.violations,
        entries=result.entries,
        faults=sum(result.faults.values()),
        cpu_s=round(time.process_time() - began, 2),
    )


def catch(bug: str, seeds: int, first: int = 0) -> Caught:
    """Plant a bug and run the seeds from ``first`` on until a monitor sees it."""
    began = time.process_time()
    result = first_seed_that_sees(bug, seeds - first, first)
    cpu_s = round(time.process_time() - began, 1)
    if result is None:
        return Caught(bug=bug, seed=None, tried=seeds, monitors=[], cpu_s=cpu_s)
    kinds = sorted({line.split(" ", 1)[0] for line in result.violations})
    seed = result.seed
    return Caught(bug=bug, seed=seed, tried=seed + 1, monitors=kinds, cpu_s=cpu_s)


def command(seed: int | None, bug: str = "") -> str:
    """Return the command line that shows a run again."""
    planted = f" --bug {bug}" if bug else ""
    return f"python -m tests.simulation --seed {seed}{planted} --trace"


def over_seeds(seeds: Iterable[int], jobs: int, kept: Path | None, say: Say) -> dict[int, Seen]:
    """Run seeds in ``jobs`` processes; what ``kept`` holds of these sources is not run again."""
    wanted = list(seeds)
    found = {one.seed: one for row in _kept(kept) if (one := Seen(**row)).seed in set(wanted)}
    left = [seed for seed in wanted if seed not in found]
    told = began = time.monotonic()
    for one in _spread(see, [(seed,) for seed in left], jobs):
        found[one.seed] = one
        _keep(kept, asdict(one))
        for line in one.violations:
            say(f"seed {one.seed}: {line}")
        if one.violations:
            say(f"seed {one.seed}: {command(one.seed)}")
        now = time.monotonic()
        if now - told > TOLD_EACH_S or len(found) == len(wanted):
            told = now
            done = len(found) - (len(wanted) - len(left))
            to_go_s = (now - began) / done * (len(left) - done)
            say(f"{_summary(found)}, {to_go_s / 60:.0f} min to go")
    return found


def over_bugs(names: Sequence[str], seeds: int, jobs: int, kept: Path | None, say: Say) -> bool:
    """Catch bugs in ``jobs`` processes and say the table; say whether enough were caught."""
    found = {one.bug: one for row in _kept(kept) if (one := Caught(**row)).bug in set(names)}
    tried = {name: one.tried for name, one in found.items()}
    done = {name for name, one in found.items() if one.seed is not None or one.tried >= seeds}
    left = [(name, seeds, tried.get(name, 0)) for name in names if name not in done]
    for one in _spread(catch, left, jobs):
        found[one.bug] = one
        _keep(kept, asdict(one))
        say(_row(one))
    say(f"{'bug':45} seed  monitors")
    for name in names:
        say(_row(found[name]))
    caught = sum(one.seed is not None for one in found.values())
    say(f"{caught} of {len(found)} caught within {seeds} seeds each")
    return caught >= 0.95 * len(found)


def _row(one: Caught) -> str:
    seed = "-" if one.seed is None else str(one.seed)
    return f"{one.bug:45} {seed:>4}  {' '.join(one.monitors) or 'NOT CAUGHT'}"


def _summary(found: dict[int, Seen]) -> str:
    bad = sum(bool(one.violations) for one in found.values())
    cpu_s = sum(one.cpu_s for one in found.values()) / len(found)
    entries = sum(one.entries for one in found.values())
    faults = sum(one.faults for one in found.values())
    return (
        f"{len(found)} seeds, {bad} with violations, {entries} entries, {faults} faults, "
        f"{cpu_s:.2f} CPU s each"
    )


def _spread(
    work: Callable[..., T], arguments: Sequence[tuple[object, ...]], jobs: int
) -> Iterator[T]:
    """Yield what came of each call, as it comes; no more than a few are handed out ahead."""
    if jobs <= 1:
        leave_loaded_alone()
        for given in arguments:
            yield work(*given)
        return
    pending: set[Future[T]] = set()
    queue = iter(arguments)
    context = get_context("spawn")  # forked after its libraries' threads began, a child can hang
    with ProcessPoolExecutor(
        jobs,
        mp_context=context,
        initializer=leave_loaded_alone,
        max_tasks_per_child=RUNS_A_PROCESS,
    ) as pool:
        while True:
            while len(pending) < 2 * jobs and (given := next(queue, None)) is not None:
                pending.add(pool.submit(work, *given))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def leave_loaded_alone() -> None:
    """Keep the garbage collector from what is loaded by now; a run takes a tenth less time."""
    gc.collect()
    gc.freeze()


def _digest() -> str:
    """Return a hash of the sources that a run depends on."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _kept(path: Path | None) -> list[dict[str, object]]:
    """Return the rows of a file, if it is of these sources; else begin it anew."""
    if path is None:
        return []
    head = json.dumps({"sources": _digest()})
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines or lines[0] != head:
        path.write_text(head + "\n")
        return []
    return [json.loads(line) for line in lines[1:]]


def _keep(path: Path | None, row: dict[str, object]) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def processes() -> int:
    """Return how many processes the machine has cores for."""
    return len(os.sched_getaffinity(0))
