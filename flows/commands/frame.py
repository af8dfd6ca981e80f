"""What every command has: the settings, a console, and the file for machines.

Decides how a result is written with `--json` and how tables look. Never decides an exit code:
`flows.cli` does. Rule: people read stderr and stdout, machines read the file.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from features.errors import InputError
from flows.settings_source import extend_environment, process_environment


def _takes_a_file(_hint: object, file: Path | None) -> None:
    """Refuse, before the work begins, a file that could not be written once it is done."""
    if file is None or file.is_fifo():  # who reads a pipe would take a trial for the end
        return
    is_new = not file.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("ab").close()
        if is_new:
            file.unlink()
    except OSError as error:
        raise ValueError(f"cannot write {file}: {error.strerror}") from None


JsonFile = Annotated[
    Path | None,
    Parameter(
        name="--json",
        help="Write what was found to this file, for machines.",
        validator=_takes_a_file,
    ),
]
Symbols = Annotated[
    tuple[str, ...] | None,
    Parameter(
        name=["--symbol", "--symbols"],
        help="Venue ids, separated by commas or given several times: BTCUSDT,ETHUSDT.",
        negative=(),
    ),
]


def console() -> Console:
    """Return the console for people."""
    return Console(highlight=False)


def split_symbols(given: Sequence[str] | None) -> list[str] | None:
    """Return the symbols of `--symbol A,B --symbol C` in capitals, or None where none is given.

    Raises
    ------
    InputError
        Where the option holds no name.
    """
    if given is None:
        return None
    symbols = [part.strip().upper() for text in given for part in text.split(",") if part.strip()]
    if not symbols:
        raise InputError("--symbol: name at least one, e.g. --symbol BTCUSDT")
    return list(dict.fromkeys(symbols))


def write_json(file: Path | None, result: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write the result for machines, where a file is given.

    Raises
    ------
    InputError
        Where the file cannot be written.
    """
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json: cannot write {file}: {error.strerror}") from None


WORD_MAX = 12  # characters: a longer word may be broken where the terminal is narrow


def table(title: str, columns: Iterable[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; numbers are right-aligned, and only cells of several words are wrapped."""
    rows, columns = list(rows), list(columns)
    shown = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows if row[index] not in {None, ""}]
        is_number = bool(cells) and all(isinstance(cell, int | float) for cell in cells)
        is_last = index == len(columns) - 1
        words = [len(word) for cell in cells for word in str(cell).split()]  # their lengths
        may_wrap = is_last or len(words) > len(cells)
        shown.add_column(
            column,
            justify="right" if is_number else "left",
            no_wrap=not may_wrap,
            overflow="fold" if may_wrap else "ellipsis",
            min_width=None if is_last else min(max(words, default=0), WORD_MAX),
        )
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    return shown


def instant(time_ms: int | None) -> str:
    """Return a UTC time for people."""
    if not time_ms:
        return "–"
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def use_environment(values: Mapping[str, str]) -> None:
    """Set variables for this command, where the person has not set them."""
    have = process_environment()
    extend_environment({name: value for name, value in values.items() if name not in have})


def _cell(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
