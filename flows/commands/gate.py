"""The commands on the gate: `tribar gate calibrate`, `tribar gate ledger`.

Decides how counts and uses are shown; `flows.calibration` counts, `flows.ledger` remembers.
Rule: a rate is never shown without its markets and its bound.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console

from features.errors import InputError
from flows.calibration.many_markets import (
    Count,
    all_nulls,
    counts,
    plan_markets,
    refusals,
    run_markets,
)
from flows.calibration.one_market import EDGES, Terms
from flows.commands.frame import JsonFile, console, instant, table, write_json
from flows.research.figures_gate import calibration_run_figure
from flows.settings import load_settings
from flows.shown.terminal import Stages
from flows.training.plan import ledger as gate_ledger
from flows.training.shelf import write_bytes

SPA = "superior predictive ability"

app = App(name="gate", help="Measure the gate itself.", help_format="markdown")


@app.command
def calibrate(
    *,
    nulls: int = 400,
    planted: int = 100,
    sharpe: float = 3.0,
    curve: int = 20,
    harder: int = 20,
    trials: int = 30,
    sobol: int = 16,
    days: int = 730,
    symbols: int = 3,
    workers: int = 1,
    seed: int = 1,
    data: Path | None = None,
    file: Annotated[Path | None, Parameter(name="--file")] = None,
    json: JsonFile = None,
) -> int:
    """Count how often the gate promotes where there is nothing to find, and where there is.

    Every market goes through the whole pipeline: search, training, judging. Nulls have no costs at
    all, because costs alone make refusal easy. Stopped and started again, it goes on.

    Parameters
    ----------
    nulls
        Markets with nothing to find: fair ones with jumps, tides of 100 % a year up and down, and
        real candles with a random sign a bar where --data is given.
    planted
        Markets with an edge; who knows it earns a Sharpe ratio of --sharpe after costs.
    sharpe
        Of the planted edge, a year, over the judged days.
    curve
        Markets at each other Sharpe ratio from 0 to 4, for the curve of power.
    harder
        Markets of two kinds whose edge of --sharpe the written recipe does not fit: one goes on
        longer than a position is held, one follows another signal.
    trials
        Trials of each search.
    sobol
        How many of them are drawn before anything is known.
    days
        Days judged out of sample in each market; history to learn from comes before.
    symbols
        Markets have as many symbols.
    workers
        Processes.
    seed
        Of the first market; the others count on from it.
    data
        Folder of real hourly candles, such as BTCUSDT-1h.parquet.
    file
        Where verdicts are kept, a JSON line each; data/reports/gate-calibration.jsonl.
    json
        Write the counts to this file, for machines.
    """
    sizes = (nulls, planted, curve, harder)
    if min(sizes) < 0 or max(sizes) < 1:
        raise InputError(
            "--nulls, --planted, --curve, --harder: give counts of 0 or more, one above 0"
        )
    if workers < 1:
        raise InputError(f"--workers: {workers} is too few; give 1 or more")
    kept = file or load_settings().paths.reports / "gate-calibration.jsonl"
    terms = Terms(kind="driftless", symbols=symbols, days=days, trials=trials, sobol=sobol)
    markets = plan_markets(
        terms,
        nulls=nulls,
        planted=planted,
        sharpe=sharpe,
        curve=curve,
        harder=harder,
        seed=seed,
        folder=data,
    )
    out = console()
    with Stages(out).stage("Markets") as stage:

        def tell(row: dict[str, Any], done: int, total: int) -> None:
            word = "promoted" if row["promoted"] else "refused"
            stage.advance(done, total, f"{done} of {total}: {row['kind']} {row['seed']} {word}")

        rows = run_markets(markets, kept, workers=workers, on_row=tell)
        stage.say(f"{len(rows)} judged, kept in {kept}")
    found = counts(rows)
    plot = kept.with_suffix(".png")
    write_bytes(plot, calibration_run_figure(found, _null_values(rows)))
    _show(out, found, rows)
    out.print(f"The figure: {plot}")
    write_json(json, _plain(found, rows, terms))
    return 0


@app.command
def ledger(*, json: JsonFile = None) -> int:
    """List every use of the gate, and check that none was changed or taken out.

    Parameters
    ----------
    json
        Write the uses to this file, for machines.
    """
    book = gate_ledger(load_settings())
    entries = book.entries()
    write_json(json, entries)
    out = console()
    if not entries:
        out.print("The gate was not used yet.")
        return 0
    columns = ("number", "time (UTC)", "recipe", "tier", "use", "model", "what")
    rows = [
        (
            e["number"],
            instant(e["time_ms"]),
            e["recipe"][:8],
            e["tier"],
            e["attempt"],
            e["model_key"],
            e.get("verdict", "begun"),
        )
        for e in entries
    ]
    out.print(table("", columns, rows))
    out.print(f"{len(entries)} lines, the chain is whole: {book.path}")
    return 0


def _show(out: Console, found: Sequence[Count], rows: Sequence[dict[str, Any]]) -> None:
    lines = [*found]
    whole = all_nulls(found)
    if whole.markets:
        lines.append(whole)
    shown = [
        (
            c.kind,
            c.sharpe if c.kind in EDGES else None,
            c.markets,
            c.promoted,
            f"{c.lower:.1%}",
            f"{c.upper:.1%}",
        )
        for c in lines
    ]
    columns = ("market", "oracle's Sharpe", "markets", "promoted", "at least", "at most")
    out.print(table("Promoted, with 95 % bounds of the rate", columns, shown))
    tally = refusals(row for row in rows if row["kind"] not in EDGES)
    if tally:
        out.print(
            "Nulls were refused for: " + ", ".join(f"{name} {n}" for name, n in tally.items())
        )
    cpu = float(np.mean([row["cpu_s"] for row in rows])) if rows else 0.0
    out.print(f"{cpu:.1f} s of a core a market.")


def _null_values(rows: Sequence[dict[str, Any]]) -> list[float]:
    return [
        row["values"][SPA]
        for row in rows
        if row["kind"] not in EDGES and SPA in row.get("values", {})
    ]


def _plain(found: Sequence[Count], rows: Sequence[dict[str, Any]], sizes: Terms) -> dict[str, Any]:
    return {
        "counts": [
            {**asdict(c), "lower": c.lower, "upper": c.upper} for c in (*found, all_nulls(found))
        ],
        "refusals": {
            "nulls": refusals(row for row in rows if row["kind"] not in EDGES),
            "planted": refusals(row for row in rows if row["kind"] in EDGES),
        },
        "cpu_s_mean": float(np.mean([row["cpu_s"] for row in rows])) if rows else None,
        "sizes": {name: value for name, value in asdict(sizes).items() if name != "kind"},
    }
