"""Flow: from the lake's pinned candles to features of every symbol, kept for all trials.

Wires only: what a market is and why one is left out, ``flows.research.market`` decides; what may
not be trained on, ``flows.quality``; what is masked, ``flows.lake.quarantine``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from prefect import flow

from executor.core.manifest import SINGLE
from features.catalog import Catalog
from features.costs import FlatFunding
from features.errors import InputError
from features.types import Funding
from flows.lake.assess import verdicts
from flows.lake.quarantine import outside
from flows.lake.store import Lake
from flows.lake.universe import memberships
from flows.research.market import Market, build_market, make_dataset
from flows.settings import Settings, load_settings
from flows.shown.showing import run_log, show_table
from flows.training.catalog import training_catalog
from flows.training.plan import shelf
from flows.training.shelf import DatasetWriter, code_version, key_of
from flows.universe import chosen_symbols


@flow(name="dataset")
def dataset(
    symbols: list[str] | None = None,
    interval: str | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
    venue: str | None = None,
) -> dict[str, Any]:
    """Compute the features of every symbol and keep them under a key.

    A symbol that `quality` failed is left out with its reasons; bars that it put aside are gaps.

    Returns
    -------
    dict
        ``key``, ``symbols``, ``left_out`` {symbol: reason}, ``notes`` {symbol: [line]} (what was
        masked and what is to be known), ``data_version``, ``content_sha256``,
        ``bars`` {symbol: count}, ``start_ms``, ``end_ms``.
    """
    settings = load_settings()
    step, where = interval or settings.data.interval, venue or settings.venue.id
    wanted = sorted(symbols or chosen_symbols(settings, where))
    catalog = training_catalog(settings)
    lake = Lake(settings.paths.lake)
    allowed, left_out, notes = _judged(lake, where, step, wanted)
    pin = lake.pin(where, allowed, step, start_ms, end_ms)
    ask = _Ask(where, step, start_ms, end_ms, *_members(lake, settings, where))
    key = key_of(
        {
            "content": pin.content_sha256,
            "schema": catalog.schema_hash,
            "symbols": allowed,
            "interval": step,
            "encoding": settings.model.encoding,
            "mode": settings.model.mode,
            "days_min": settings.model.history_days_min,
            "flat_funding": settings.model.flat_funding,
            "universe": [ask.since_ms, ask.spans],
            "code": code_version(),
        }
    )
    writer = DatasetWriter(shelf(settings).dataset(key))
    source = _Source(lake.at(pin.version), settings, catalog, ask)
    markets = _markets(source, allowed, writer, left_out, notes)
    apart = settings.model.mode == SINGLE
    found = make_dataset(catalog, markets, settings.model.encoding, apart=apart)
    facts = {
        "key": key,
        "venue": where,
        "interval": step,
        "symbols": list(found.symbols),
        "left_out": left_out,
        "notes": {symbol: notes[symbol] for symbol in found.symbols if notes.get(symbol)},
        "data_version": pin.version,
        "content_sha256": pin.content_sha256,
        "bars": {m.symbol: m.candles.n for m in markets},
        "start_ms": min(int(m.candles.open_ms[0]) for m in markets),
        "end_ms": max(int(m.candles.close_ms[-1]) for m in markets),
    }
    _show(markets, left_out, notes)
    writer.finish(found, facts)
    return facts


class _Ask(NamedTuple):
    """The span of every symbol's series, and when each was in the universe."""

    venue: str
    interval: str
    start_ms: int | None
    end_ms: int | None
    since_ms: int | None
    spans: dict[str, list[tuple[int, int]]]


def _judged(
    lake: Lake, venue: str, interval: str, symbols: Sequence[str]
) -> tuple[list[str], dict[str, str], dict[str, list[str]]]:
    """Return who may be trained on, why the others may not, and what quality noted."""
    allowed, left_out, notes = [], {}, {}
    judged = verdicts(lake, venue, interval)
    for symbol in symbols:
        verdict = judged.get(symbol)
        if verdict is None:
            notes[symbol] = ["was not judged: run tribar quality"]
            allowed.append(symbol)
        elif verdict.verdict == "fail":
            left_out[symbol] = f"{symbol}: quality failed it: {'; '.join(verdict.reasons)}"
        else:
            notes[symbol] = list(verdict.reasons)
            allowed.append(symbol)
    if not allowed:
        raise InputError("no symbol can be trained on: " + "; ".join(left_out.values()))
    return allowed, left_out, notes


def _members(
    lake: Lake, settings: Settings, venue: str
) -> tuple[int | None, dict[str, list[tuple[int, int]]]]:
    """Return when each symbol was in the automatic universe; a fixed list has no history."""
    if settings.universe.mode == "fixed":
        return None, {}
    return memberships(lake, venue)


class _Source(NamedTuple):
    """Where a market comes from."""

    lake: Lake
    settings: Settings
    catalog: Catalog
    ask: _Ask


def _markets(
    source: _Source,
    symbols: Sequence[str],
    writer: DatasetWriter,
    left_out: dict[str, str],
    notes: dict[str, list[str]],
) -> list[Market]:
    """Return the markets with features, written already; adds to ``left_out`` and ``notes``."""
    log = run_log()
    markets = []
    for symbol in symbols:
        log.info("features of %s", symbol)
        try:
            markets.append(writer.add(_market(source, symbol, notes)))
        except InputError as error:
            left_out[symbol] = str(error)
    for line in left_out.values():
        log.warning("left out: %s", line)
    for market in markets:
        for line in notes.get(market.symbol, ()):
            log.info("%s: %s", market.symbol, line)
    if not markets:
        writer.drop()
        raise InputError("no symbol can be trained on: " + "; ".join(left_out.values()))
    return markets


def _market(source: _Source, symbol: str, notes: dict[str, list[str]]) -> Market:
    lake, settings, catalog, ask = source
    span = ask.start_ms, ask.end_ms
    funding: Funding | FlatFunding = lake.funding(ask.venue, symbol, *span)
    flat = settings.model.flat_funding
    if isinstance(funding, Funding) and funding.time_ms.size == 0:
        if flat is None:
            raise InputError(
                f"{symbol}: no funding history; ingest it, or ask for a constant rate by name "
                "(model.flat_funding)"
            )
        funding = FlatFunding(rate=flat)
    candles = lake.candles(ask.venue, symbol, ask.interval, *span)
    without = None
    if ask.since_ms is not None and symbol in ask.spans:
        without = outside(candles.close_ms, ask.since_ms, ask.spans[symbol])
        if without.any():
            share = f"{without.mean():.1%} of the bars are not decided on"
            notes.setdefault(symbol, []).append(f"{share}: it was not in the universe then")
    return build_market(
        symbol,
        candles,
        funding,
        catalog,
        days_min=settings.model.history_days_min,
        without=without,
    )


def _show(markets: Sequence[Market], left_out: dict[str, str], notes: dict[str, list[str]]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "symbol": m.symbol,
            "bars": m.candles.n,
            "days": round(m.history_days, 1),
            "coverage": round(m.coverage, 4),
            "features": m.matrix.shape[1],
            "notes": "; ".join(notes.get(m.symbol, ())),
        }
        for m in markets
    ]
    rows += [
        {"symbol": s, "bars": 0, "days": 0, "coverage": 0, "features": 0, "notes": f"LEFT OUT: {y}"}
        for s, y in left_out.items()
    ]
    show_table("dataset", rows, "Markets with features")
