"""Flow: choose the universe anew where the last choice is too old, and keep the choice.

Wires only: the rule is ``flows.lake.universe``'s. Run by schedule while `tribar up` runs with an
automatic universe, so that the history of choices has no holes; a fixed list is only shown.
"""

from typing import Any

from prefect import flow

from flows.settings import load_settings
from flows.shown.showing import show_table
from flows.universe import chosen_symbols

HOUR_MINUTES = 60
DAY_HOURS = 24


@flow(name="universe", persist_result=True, result_serializer="json")
def universe(venue: str | None = None) -> dict[str, Any]:
    """Choose the symbols, at most once per refresh time.

    Returns
    -------
    dict
        ``mode`` and ``symbols``, by falling volume.
    """
    settings = load_settings()
    symbols = chosen_symbols(settings, venue)
    rows = [{"rank": rank, "symbol": symbol} for rank, symbol in enumerate(symbols, start=1)]
    show_table("universe", rows, f"Symbols of today ({settings.universe.mode})")
    return {"mode": settings.universe.mode, "symbols": symbols}


def refresh_cron(minutes: int) -> str:
    """Return the schedule that comes round at least every ``minutes``: cron knows whole parts."""
    if minutes < HOUR_MINUTES:
        every = max(n for n in (1, 2, 3, 5, 10, 15, 20, 30) if n <= minutes)
        return f"*/{every} * * * *"
    hours = min(minutes // HOUR_MINUTES, DAY_HOURS)
    every = max(n for n in (1, 2, 3, 4, 6, 8, 12, 24) if n <= hours)
    return "0 * * * *" if every == 1 else f"0 */{every} * * *" if every < DAY_HOURS else "0 0 * * *"
