"""Progress of long work, as one narrow port.

Decides what a step of progress is. Never knows who watches: the terminal (rich, here), the Prefect
page (``flows.ingest``) or nobody. Rule: work reports fractions that only grow.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class OnProgress(Protocol):
    """Told how far the work on one name is."""

    def __call__(self, name: str, fraction: float, note: str) -> None:
        """``fraction`` of the work on ``name`` is done; ``note`` says what is under way."""


def silent(name: str, fraction: float, note: str) -> None:
    """Tell nobody."""


def together(*watchers: OnProgress) -> OnProgress:
    """Return one watcher that tells all."""

    def tell(name: str, fraction: float, note: str) -> None:
        for watcher in watchers:
            watcher(name, fraction, note)

    return tell


@contextmanager
def in_terminal(title: str, console: Console | None = None) -> Iterator[OnProgress]:
    """Show one bar a name on standard error while the block runs."""
    bars = Progress(
        TextColumn("[bold]{task.fields[name]:<12}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console or Console(stderr=True),
        transient=False,
    )
    tasks: dict[str, TaskID] = {}

    def show(name: str, fraction: float, note: str) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(title, total=1.0, name=name, note=note)
        bars.update(tasks[name], completed=fraction, note=note)

    with bars:
        yield show
