"""How a suite runs its contenders and judges them: same data, same run, turn by turn.

Decides nothing about what is measured. Rule: contenders take turns for some rounds and the least
CPU time of each counts, so that a busy minute hits none of them alone.
"""

import json
import math
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.environments import ROOT, NoPeersError, python

SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


@dataclass(frozen=True)
class Contender:
    """One program that prints JSON lines: a module of ours, or a script in a peer's environment."""

    environment: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    goal: str = ""
    met: bool | None = None


@dataclass
class Report:
    """What a suite found; ``absent`` says which peers are missing, ``broken`` what of ours is."""

    title: str
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    cases: dict[str, dict] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def measure(self, contenders: list[Contender], rounds: int) -> None:
        """Run every contender ``rounds`` times in turn and keep each case's least time."""
        for _ in range(rounds):
            for contender in contenders:
                self._take(contender)

    def per_unit(self, case: str) -> float:
        """Return the CPU seconds of one unit (event, row, bar); NaN where the case is absent."""
        found = self.cases.get(case)
        return found["seconds"] / found["units"] if found else float("nan")

    def time(self, what: str, case: str, unit: str, goal: str = "", most: float = 0.0) -> None:
        """Add a line with the time per unit, against ``most`` seconds."""
        seconds = self.per_unit(case)
        if math.isnan(seconds):
            self.rows.append(Row(what, "not measured"))
            return
        scale, name = next(pair for pair in SCALES if seconds >= pair[0] or pair is SCALES[-1])
        met = seconds <= most if most else None
        self.rows.append(Row(what, f"{seconds / scale:,.1f} {name}/{unit}", goal, met))

    def ratio(
        self,
        what: str,
        over: str,
        under: str,
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        """Add a line with the ratio of two cases' time per unit and whether it meets its goal."""
        ratio = self.per_unit(over) / self.per_unit(under)
        if math.isnan(ratio):
            self.rows.append(Row(what, "not measured"))
            return
        met, goal = None, ""
        if least is not None:
            met, goal = ratio >= least, f"≥ {least:g}×"
        elif most is not None:
            met, goal = ratio <= most, f"≤ {most:g}×"
        self.rows.append(Row(what, f"{ratio:,.2f}×", goal, met))

    def _take(self, contender: Contender) -> None:
        try:
            interpreter = python(contender.environment)
        except NoPeersError as missing:
            self._miss(str(missing), self.absent)
            return
        command = [str(interpreter), "-W", "ignore", *contender.command]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1_800
        )
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            reason = f"{' '.join(contender.command[:3])}: {last}"
            self._miss(reason, self.broken if contender.environment == "ours" else self.absent)
            return
        for line in done.stdout.splitlines():
            if not line.startswith("{"):
                continue
            found = json.loads(line)
            self.versions |= found.pop("versions", {})
            best = self.cases.get(found["case"])
            if best is None or found["seconds"] < best["seconds"]:
                self.cases[found["case"]] = found

    @staticmethod
    def _miss(reason: str, reasons: list[str]) -> None:
        if reason not in reasons:
            reasons.append(reason)


def script(name: str) -> str:
    """Return the path of a peer's script, relative to the root."""
    return str(Path("tests") / "benchmarks" / name)
