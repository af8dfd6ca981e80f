"""What the research flows say and show while Prefect runs them.

Decides where words and pages go: to the run in the Prefect UI, or, outside a run (tests, scripts),
to the program's log only. Never decides what is shown. Rule: showing never fails a flow's work for
want of a server, because outside a run none is asked.
"""

import logging
from collections.abc import Sequence
from typing import Any

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


def run_log() -> Log:
    """Return the flow run's log, or the program's."""
    return get_run_logger() if _running() else logging.getLogger("tribar")


def show_page(key: str, markdown: str, description: str = "") -> None:
    """Show a page of markdown."""
    if _running():
        create_markdown_artifact(markdown, key=key, description=description or None)


def show_table(key: str, rows: Sequence[dict[str, Any]], description: str = "") -> None:
    """Show a table."""
    if _running():
        create_table_artifact(list(rows), key=key, description=description or None)


def show_link(key: str, link: str, text: str) -> None:
    """Show a link."""
    if _running():
        create_link_artifact(link, link_text=text, key=key)


class Progress:
    """A bar in the UI that a flow moves."""

    def __init__(self, key: str, description: str) -> None:
        self._id: Any = None
        if _running():
            self._id = create_progress_artifact(0.0, key=key, description=description)

    def set(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is done."""
        if self._id is not None:
            update_progress_artifact(self._id, min(100.0, 100.0 * done / max(1, total)))


def _running() -> bool:
    return FlowRunContext.get() is not None
