"""What a person sees while something takes long: one line a stage, with its time.

Decides the look: a spinner, a bar where the length is known, a tick with the seconds at the end. On
a terminal the current line lives; in a log file each stage prints when it starts, now and then
while it works, and when it ends. Never decides what is done, and never swallows an error.
Rule: a stage that may take longer than two seconds says what it is doing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from flows.clock import monotonic_s

TITLE_WIDTH: Final = 16
TIME_WIDTH: Final = 9
BAR_WIDTH: Final = 24
LOG_EVERY_S: Final = 5.0


class Stage:
    """One thing being done; `say` and `advance` tell how far it is."""

    def __init__(self, title: str, console: Console) -> None:
        self.title = title
        self.detail = ""
        self.started_s = monotonic_s()
        self.seconds = 0.0
        self._console = console
        self._done: float | None = None
        self._total = 0.0
        self._printed_s = self.started_s
        self._spinner = Spinner("dots" if _is_unicode(console) else "line", style="cyan")

    def say(self, detail: str) -> None:
        """Say what is being done now, in a few words."""
        self.detail = " ".join(detail.split())
        now_s = monotonic_s()
        if not self._console.is_terminal and now_s - self._printed_s >= LOG_EVERY_S:
            self._printed_s = now_s
            elapsed = f"{now_s - self.started_s:.0f} s"
            line = f"  … {self.title}: {self.detail} ({elapsed})"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def advance(self, done: float, total: float, detail: str) -> None:
        """Say how much is done of how much."""
        self._done, self._total = done, total
        self.say(detail if self._console.is_terminal else f"{done / total:.0%} {detail}")

    def __rich__(self) -> RenderableType:
        """Return the living line."""
        grid = _line()
        detail: RenderableType = Text(self.detail, style="dim", no_wrap=True, overflow="ellipsis")
        if self._done is not None:
            bar = Table.grid(padding=(0, 1))
            bar.add_column(width=BAR_WIDTH)
            bar.add_column(no_wrap=True, overflow="ellipsis")
            bar.add_row(ProgressBar(total=max(self._total, 1.0), completed=self._done), detail)
            detail = bar
        elapsed = Text(_clock(monotonic_s() - self.started_s), style="dim")
        grid.add_row(self._spinner, Text(self.title, style="bold"), detail, elapsed)
        return grid


class Stages:
    """The stages of one command, in order; `seconds` has how long each took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """Show a stage while the block runs; its last `say` stays on the line."""
        stage = Stage(title, self.console)
        mark = "[red]✗[/]" if _is_unicode(self.console) else "[red]x[/]"
        if not self.console.is_terminal:
            self.console.print(f"  > {title}", highlight=False)
        try:
            with Live(stage, console=self.console, transient=True, refresh_per_second=8):
                yield stage
            mark = "[green]✓[/]" if _is_unicode(self.console) else "[green]ok[/]"
        finally:
            stage.seconds = monotonic_s() - stage.started_s
            self.seconds[title] = stage.seconds
            self._close(stage, mark)

    def _close(self, stage: Stage, mark: str) -> None:
        grid = _line()
        detail = Text(stage.detail, overflow="ellipsis")
        seconds = Text(_clock(stage.seconds), style="dim")
        grid.add_row(Text.from_markup(mark), Text(stage.title, style="bold"), detail, seconds)
        self.console.print(grid)


def _line() -> Table:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(width=2, justify="right")
    grid.add_column(width=TITLE_WIDTH, no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(width=TIME_WIDTH, justify="right", no_wrap=True)
    return grid


def _clock(seconds: float) -> str:
    """Return a duration as people read it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
