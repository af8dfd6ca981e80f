"""The commands around candles: `ingest`, `quality`, `coverage`.

Decides how their outcome is shown. Never fetches or judges a candle itself: the flows and the lake
do.
Rule: a symbol that cannot be used comes with the reason.
"""

from typing import Any

from features.errors import InputError
from flows.clock import now_ms
from flows.commands.frame import JsonFile, Symbols, console, split_symbols, table, write_json
from flows.commands.serving import run_served
from flows.settings import load_settings

DAY_MS = 86_400_000


def ingest(
    *,
    symbol: Symbols = None,
    days: int | None = None,
    interval: str | None = None,
    json: JsonFile = None,
) -> int:
    """Fetch candles and funding of the venue into the lake.

    Only closed bars are stored. Stopped or killed at any time, it goes on where it was.

    Parameters
    ----------
    symbol
        Venue ids; those of configs/flows.toml where not given.
    days
        How far back, in days.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    if days is not None and days < 1:
        raise InputError(f"--days: {days} is too few; give 1 or more")
    parameters: dict[str, Any] = {
        "symbols": split_symbols(symbol) or list(settings.data.symbols),
        "interval": interval or settings.data.interval,
        "start_ms": now_ms() - (days or settings.data.days) * DAY_MS,
    }
    outcome = run_served(settings, "ingest", parameters)
    write_json(json, {"page": outcome.page, **outcome.result})
    _show(outcome.result)
    return 0


def quality(*, symbol: Symbols = None, interval: str | None = None, json: JsonFile = None) -> int:
    """Judge the lake's candles, symbol by symbol: pass, warn or fail, with reasons.

    Exit code 0 where at least one symbol may be trained on, 1 where none may.

    Parameters
    ----------
    symbol
        Venue ids; those of configs/flows.toml where not given.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    parameters = {
        "symbols": split_symbols(symbol) or list(settings.data.symbols),
        "interval": interval or settings.data.interval,
    }
    outcome = run_served(settings, "quality", parameters)
    write_json(json, {"page": outcome.page, **outcome.result})
    _show(outcome.result)
    return 0 if any(found["verdict"] != "fail" for found in outcome.result.values()) else 1


def _show(result: Any) -> None:
    """Print one row a symbol, with the columns that the flow returned."""
    names = list(dict.fromkeys(name for found in result.values() for name in found))
    rows = [
        (symbol, *("; ".join(v) if isinstance(v := found.get(n), list) else v for n in names))
        for symbol, found in result.items()
    ]
    console().print(table("", ("symbol", *names), rows))
