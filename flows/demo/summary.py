"""What came out of a demo: for machines as JSON, for people as the last lines on the terminal.

Decides the names of the figures. Never estimates one: each was measured or counted in this run.
Rule: a name is never given another meaning; scripts read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flows.demo.plan import Plan
from flows.demo.trading import Traded
from flows.system.runs import Outcome

Summary = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that a demo has found."""

    plan: Plan
    training: Outcome
    version: Mapping[str, Any]  # what `tribar promote` wrote
    traded: Traded
    seconds: Mapping[str, float]
    report: Path


def summarise(run: Run, pages: Mapping[str, str]) -> Summary:
    """Return the summary for machines.

    Parameters
    ----------
    run
        What was found.
    pages
        Addresses of the servers by name.
    """
    plan, result = run.plan, run.training.result
    start, end = equity_ends(run.traded.journal.equity)
    return {
        "market": plan.market,
        "symbols": list(plan.symbols),
        "interval": plan.interval,
        "seed": plan.seed,
        "window": {"from_ms": plan.from_ms, "until_ms": plan.until_ms, "bars": plan.bars},
        "model": {
            "name": result["register"]["name"],
            "version": run.version["version"],
            "alias": "champion",
            "gate": run.version["gate"],
            "bundle_sha256": run.version["bundle_sha256"],
        },
        "quality": {symbol: found["verdict"] for symbol, found in result["quality"].items()},
        "stages": dict(run.seconds),
        "executor": _executor(run.traded),
        "equity": {"start": start, "end": end},
        "report": str(run.report),
        "urls": {
            **pages,
            "prefect_run": run.training.page,
            "mlflow_version": run.version["page"],
        },
    }


def _executor(traded: Traded) -> dict[str, Any]:
    journal, vitals = traded.journal, traded.vitals
    return {
        "cold_start_s": round(vitals.cold_start_s, 3),
        "rss_mb": round(vitals.rss_mb, 1),
        "bars": journal.bars,
        "decisions": journal.decisions,
        "approved": journal.approved,
        "refused": dict(journal.refused),
        "orders": journal.orders,
        "fills": journal.fills,
        "trades": len(journal.trades),
        "heartbeats": vitals.heartbeats,
        "max_heartbeat_gap_s": round(vitals.heartbeat_gap_s_max, 3),
        "model_version": journal.model_version,
        "restarts": vitals.restarts,
        "lean": traded.is_lean,
    }


def closing(summary: Summary, home: Path) -> Panel:
    """Return the last lines for people."""
    executor, equity, model = summary["executor"], summary["equity"], summary["model"]
    gain = equity["end"] / equity["start"] - 1 if equity["start"] else 0.0
    gap = executor["max_heartbeat_gap_s"]
    rows = {
        "model": f"{model['name']} version {model['version']}, gate: {model['gate']}",
        "trading": f"{executor['bars']:,} bars, {executor['decisions']:,} decisions, "
        f"{executor['orders']:,} orders, {executor['trades']:,} trades",
        "equity": f"{equity['start']:,.2f} → {equity['end']:,.2f} USDT ({gain:+.2%})",
        "executor": f"cold start {executor['cold_start_s']:.1f} s, {executor['rss_mb']:.0f} MB, "
        f"{executor['heartbeats']} heartbeats, longest gap {gap:.1f} s",
        "report": short_path(Path(summary["report"]), home),
        "Prefect run": summary["urls"]["prefect_run"],
        "MLflow version": summary["urls"]["mlflow_version"],
    }
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in rows.items():
        grid.add_row(name, Text(str(value), overflow="fold"))
    return Panel(grid, title="Done", title_align="left", box=box.ROUNDED)


def equity_ends(equity: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return the first and the last equity; zeros where there is none."""
    return (equity[0][1], equity[-1][1]) if equity else (0.0, 0.0)


def short_path(path: Path, home: Path) -> str:
    """Return a path from the project's root on, where it lies under it."""
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)
