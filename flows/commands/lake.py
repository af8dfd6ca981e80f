"""The commands on the lake's files: `tribar lake export`, `tribar lake optimize`.

Decides how their outcome is shown; the lake does the work.
Rule: nothing here deletes a row.
"""

from pathlib import Path

from cyclopts import App

from flows.commands.frame import JsonFile, Symbols, console, split_symbols, table, write_json
from flows.lake.files import export_files
from flows.lake.store import Lake
from flows.settings import load_settings
from flows.shown.terminal import Stages

app = App(
    name="lake",
    help="Work on the lake's files. Candles come in with `tribar ingest` (also from files).",
    help_format="markdown",
)


@app.command
def export(
    folder: Path,
    /,
    *,
    symbol: Symbols = None,
    interval: tuple[str, ...] = (),
    venue: str | None = None,
    json: JsonFile = None,
) -> int:
    """Write stored series as FOLDER/VENUE/SYMBOL-INTERVAL.parquet, for pandas, polars or DuckDB.

    Parameters
    ----------
    folder
        Where to write; made where it is missing.
    symbol
        Venue ids; all that are stored where not given.
    interval
        Bar lengths; all that are stored where not given.
    venue
        Only this venue's.
    json
        Write what was found to this file, for machines.
    """
    lake = Lake(load_settings().paths.lake)
    symbols = split_symbols(symbol) or []
    with Stages(console()).stage("Export") as stage:
        stage.say(f"writing to {folder}")
        files = export_files(lake, folder, venue=venue, symbols=symbols, intervals=interval)
        stage.say(f"{len(files)} files in {folder}")
    write_json(json, {"files": [str(file) for file in files]})
    return 0


@app.command
def optimize(*, vacuum_hours: int | None = None, json: JsonFile = None) -> int:
    """Compact small files, and delete files that no kept version needs.

    Parameters
    ----------
    vacuum_hours
        Delete what no version of the last so many hours needs; Delta's own retention where not
        given. A training pinned to an older version cannot be repeated then.
    json
        Write what was found to this file, for machines.
    """
    lake = Lake(load_settings().paths.lake)
    with Stages(console()).stage("Optimize") as stage:
        stage.say("compacting")
        counts = lake.optimize(vacuum_hours=vacuum_hours)
        stage.say(f"{sum(c['compacted'] for c in counts.values())} files compacted")
    write_json(json, counts)
    rows = [(name, count["compacted"], count["vacuumed"]) for name, count in counts.items()]
    console().print(table("", ("table", "files compacted", "files deleted"), rows))
    return 0
