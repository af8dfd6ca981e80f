"""Flow: from the lake's pinned candles to features of every symbol, kept for all trials.

Wires only: what a market is and why one is left out, ``flows.research.market`` decides.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from prefect import flow

from features.catalog import Catalog
from features.costs import FlatFunding
from features.errors import InputError
from features.types import Funding
from flows.lake.store import Lake
from flows.live_catalog import live_catalog
from flows.plan import shelf
from flows.research.market import Market, build_market, make_dataset
from flows.settings import Settings, load_settings
from flows.shelf import code_version, key_of, save_dataset
from flows.showing import run_log, show_table


@flow(name="dataset")
def dataset(
    symbols: list[str] | None = None,
    interval: str | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    venue: str | None = None,
) -> dict[str, Any]:
    """Compute the features of every symbol and keep them under a key.

    Returns
    -------
    dict
        ``key``, ``symbols``, ``left_out`` {symbol: reason}, ``data_version``, ``content_sha256``,
        ``bars`` {symbol: count}, ``start_ms``, ``end_ms``.
    """
    settings = load_settings()
    log = run_log()
    wanted = sorted(symbols or settings.data.symbols)
    step, where = interval or settings.data.interval, venue or settings.venue.id
    catalog = live_catalog()
    lake = Lake(settings.paths.lake)
    pin = lake.pin(where, wanted, step, start_ms, end_ms)
    key = key_of(
        {
            "content": pin.content_sha256,
            "schema": catalog.schema_hash,
            "symbols": wanted,
            "interval": step,
            "encoding": settings.model.encoding,
            "days_min": settings.model.history_days_min,
            "flat_funding": settings.model.flat_funding,
            "code": code_version(),
        }
    )
    fixed = lake.at(pin.version)
    markets, left_out = [], {}
    for symbol in wanted:
        log.info("features of %s", symbol)
        try:
            markets.append(
                _market(fixed, settings, catalog, _Wanted(where, symbol, step, start_ms, end_ms))
            )
        except InputError as error:
            left_out[symbol] = str(error)
            log.warning("left out: %s", error)
    if not markets:
        raise InputError("no symbol can be trained on: " + "; ".join(left_out.values()))
    found = make_dataset(catalog, markets, settings.model.encoding)
    facts = {
        "key": key,
        "venue": where,
        "interval": step,
        "symbols": list(found.symbols),
        "left_out": left_out,
        "data_version": pin.version,
        "content_sha256": pin.content_sha256,
        "bars": {m.symbol: m.candles.n for m in markets},
        "start_ms": min(int(m.candles.open_ms[0]) for m in markets),
        "end_ms": max(int(m.candles.close_ms[-1]) for m in markets),
    }
    save_dataset(shelf(settings).dataset(key), found, facts)
    _show(markets, left_out)
    return facts


class _Wanted(NamedTuple):
    """One symbol's series and span."""

    venue: str
    symbol: str
    interval: str
    start_ms: int | None
    end_ms: int | None


def _market(lake: Lake, settings: Settings, catalog: Catalog, wanted: _Wanted) -> Market:
    venue, symbol, interval, *span = wanted
    funding: Funding | FlatFunding = lake.funding(venue, symbol, *span)
    flat = settings.model.flat_funding
    if isinstance(funding, Funding) and funding.time_ms.size == 0:
        if flat is None:
            raise InputError(
                f"{symbol}: no funding history; ingest it, or ask for a constant rate by name "
                "(model.flat_funding)"
            )
        funding = FlatFunding(rate=flat)
    candles = lake.candles(venue, symbol, interval, *span)
    return build_market(symbol, candles, funding, catalog, days_min=settings.model.history_days_min)


def _show(markets: Sequence[Market], left_out: dict[str, str]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "symbol": m.symbol,
            "bars": m.candles.n,
            "days": round(m.history_days, 1),
            "coverage": round(m.coverage, 4),
            "features": m.matrix.shape[1],
            "left out": "",
        }
        for m in markets
    ]
    rows += [
        {"symbol": s, "bars": 0, "days": 0, "coverage": 0, "features": 0, "left out": why}
        for s, why in left_out.items()
    ]
    show_table("dataset", rows, "Markets with features")
