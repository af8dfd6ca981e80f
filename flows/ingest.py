"""Flow: candles, funding and mark price of the venue into the lake.

Wires only: what is fetched, and when a bar is closed, ``flows.lake`` decides. Killed and started
again, it goes on where it was.
"""

from typing import Any

from prefect import flow
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from features.errors import InputError
from flows.lake.candles import Request
from flows.lake.download import download, failures, plain
from flows.lake.store import Lake
from flows.settings import load_settings
from flows.shown.artifacts import progress_page
from flows.universe import access_to, chosen_symbols


@flow(name="ingest", persist_result=True, result_serializer="json")
def ingest(
    symbols: list[str] | None = None,
    interval: str | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    venue: str | None = None,
) -> dict[str, Any]:
    """Bring the symbols' candles, funding and mark prices up to date.

    Parameters
    ----------
    symbols
        Venue ids such as BTCUSDT; the configured universe where not given.
    interval
        Bar length, such as 15m or 1h.
    start_ms
        First open time (UTC milliseconds); the whole history where not given.
    end_ms
        Time up to which bars count as closed; the newest closed bar where not given.
    venue
        A venue's id in ccxt.

    Returns
    -------
    dict
        By symbol: ``inserted``, ``restated``, ``rows``, ``first_ms``, ``last_ms``,
        ``funding_inserted``, ``mark_inserted``, ``error`` (null where it went well) and ``note``
        (where only the mark price failed).

    Raises
    ------
    InputError
        Where venue, symbol or interval is unknown, the lake cannot be written, or no symbol could
        be fetched.
    """
    settings = load_settings()
    lake = Lake(settings.paths.lake)
    wanted = symbols or chosen_symbols(settings, venue)
    request = Request(
        symbols=wanted,
        interval=interval or settings.data.interval,
        start_ms=start_ms,
        end_ms=end_ms,
        mark=settings.data.mark,
    )
    with progress_page("ingest", wanted) as on_progress:
        reports = download(lake, access_to(settings, venue), request, on_progress)
    lake.tidy()
    failed = failures(reports)
    if FlowRunContext.get() is not None:
        for line in failed:
            get_run_logger().warning("not fetched: %s", line)
    if len(failed) == len(reports):
        raise InputError("no symbol could be fetched: " + "; ".join(failed))
    return plain(reports)
