"""Markets from the lake as a model needs them, without a dataset being made.

Decides how much is read before the first bar that is traded (the features' warm-up), and that the
universe recorded for its time counts. Never trains. Rule: the features are those that the model
names, by this code's schema; a model of other features is refused.
"""

from collections.abc import Callable, Sequence

from executor.core.model import ModelInfo
from features.catalog import Catalog, default_catalog
from features.costs import FlatFunding
from features.errors import InputError
from features.types import Funding
from flows.lake.quarantine import outside
from flows.lake.store import Lake
from flows.lake.universe import memberships
from flows.research.market import Market, build_market
from flows.settings import Settings

SPARE_BARS = 10


def catalog_of(info: ModelInfo) -> Catalog:
    """Return the features of a model.

    Raises
    ------
    InputError
        Where this code computes other features than the model was trained on.
    """
    whole = default_catalog()
    missing = [name for name in info.feature_names if name not in whole.names]
    if not missing:
        found = whole.subset(info.feature_names)
        if found.schema_hash == info.feature_schema:
            return found
    what = f"the feature {missing[0]!r}, which" if missing else "features that"
    raise InputError(f"the model was trained on {what} this code does not compute; train again")


def load_markets(
    settings: Settings,
    symbols: Sequence[str],
    interval: str,
    interval_ms: int,
    catalog: Catalog,
    *,
    start_ms: int,
    stop_ms: int | None,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[list[Market], dict[str, str]]:
    """Return the markets with features from ``start_ms`` on, and why others are left out.

    Raises
    ------
    InputError
        Where no symbol has candles.
    """
    lake, venue = Lake(settings.paths.lake), settings.venue.id
    first_ms = start_ms - (catalog.warmup_bars + SPARE_BARS) * interval_ms
    since_ms, spans = memberships(lake, venue) if settings.universe.mode == "auto" else (None, {})
    markets: list[Market] = []
    left_out: dict[str, str] = {}
    for symbol in symbols:
        tell(f"features of {symbol}")
        try:
            candles = lake.candles(venue, symbol, interval, first_ms, stop_ms)
            if candles.n == 0:
                left_out[symbol] = f"{symbol}: no {interval} candles in this range; ingest them"
                continue
            recorded = lake.funding(venue, symbol, first_ms, stop_ms)
            funding = _settled(symbol, recorded, settings.model.flat_funding)
            without = None
            if since_ms is not None and symbol in spans:
                without = outside(candles.close_ms, since_ms, spans[symbol])
            markets.append(
                build_market(symbol, candles, funding, catalog, days_min=0.0, without=without)
            )
        except InputError as error:
            left_out[symbol] = str(error)
    if not markets:
        raise InputError("no symbol can be traded: " + "; ".join(left_out.values()))
    return markets, left_out


def _settled(symbol: str, recorded: Funding, flat: float | None) -> Funding | FlatFunding:
    """Return the recorded settlements, or the constant rate that was asked for by name."""
    if recorded.time_ms.size:
        return recorded
    if flat is None:
        raise InputError(
            f"{symbol}: no funding history; ingest it, or ask for a constant rate by name "
            "(model.flat_funding)"
        )
    return FlatFunding(rate=flat)
