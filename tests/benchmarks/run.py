"""``make bench``: every suite, ours beside the peers, as ratios of one run with its conditions.

``python -m tests.benchmarks.run [SUITE…] [--json FILE] [--rounds N] [--reps N]``. Exits 1 where a
measured goal is missed or ours does not run; a peer that cannot be installed misses no goal.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks import (
    bench_executor,
    bench_features,
    bench_gate,
    bench_indicators,
    bench_labels,
    bench_lake,
    bench_paper,
    bench_simulation,
    bench_training,
)
from tests.benchmarks.suite import Report

SUITES = {
    "labels": bench_labels.run,
    "indicators": bench_indicators.run,
    "features": bench_features.run,
    "lake": bench_lake.run,
    "simulation": bench_simulation.run,
    "training": bench_training.run,
    "gate": bench_gate.run,
    "paper": bench_paper.run,
    "executor": bench_executor.run,
}
VERDICT = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}


def processor() -> str:
    """Return the processor's name as the machine tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def conditions(rounds: int, reps: int) -> dict[str, object]:
    """Return what a figure needs beside it to mean anything."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "system": platform.platform(),
        "measure": f"least process CPU time, {rounds} rounds × {reps} calls, first left out",
    }


def show(console: Console, report: Report) -> None:
    """Print one suite's table."""
    table = Table(title=report.title, title_justify="left", title_style="bold")
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("")
    for row in report.rows:
        table.add_row(row.what, row.value, row.goal, VERDICT[row.met])
    console.print(table)
    console.print("  " + ", ".join(f"{k} {v}" for k, v in sorted(report.versions.items())))
    for reason in report.absent:
        console.print("  [yellow]absent[/]", Text(reason))
    for reason in report.broken:
        console.print("  [red]broken[/]", Text(reason))


def main() -> int:
    """Run the suites asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--reps", type=int, default=5)
    asked = parser.parse_args()
    unknown = [name for name in asked.suites if name not in SUITES]
    if unknown:
        parser.error(f"unknown suite {unknown[0]!r}; known: {', '.join(SUITES)}")
    console = Console(width=None if sys.stdout.isatty() else 110)
    stated = conditions(asked.rounds, asked.reps)
    for name, value in stated.items():
        console.print(f"{name}: {value}")
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="tribar-bench-") as folder:
        for name in asked.suites or SUITES:
            reports[name] = SUITES[name](Path(folder), asked.rounds, asked.reps)
            show(console, reports[name])
    if asked.json:
        figures = {name: asdict(report) for name, report in reports.items()}
        asked.json.write_text(json.dumps({"conditions": stated, "suites": figures}, indent=1))
    missed = [row.what for report in reports.values() for row in report.rows if row.met is False]
    if missed:
        console.print(f"[red]missed:[/] {'; '.join(missed)}")
    broken = any(report.broken for report in reports.values())
    return 1 if missed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
