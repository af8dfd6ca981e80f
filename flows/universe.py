"""The symbols that a flow works on where its caller names none.

Decides between the configured list and the venue's most liquid perpetuals, and, for a training,
adds those that were members in its time. Never chooses a symbol itself: ``flows.lake.universe``
does, and remembers each choice. Rule: only flows and commands call this; a choice is made at most
once per refresh time.
"""

import asyncio
from dataclasses import dataclass

from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES
from flows.lake.universe import Selection, ever_members, refresh
from flows.lake.venue import Access, VenueClient
from flows.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSymbols:
    """Whose candles a training brings up to date, and which symbols it may learn from.

    ``delisted`` were members in the training's time and are not at the venue any more: what is
    stored of them is used, nothing is fetched.
    """

    fetched: list[str]
    delisted: list[str]

    @property
    def all(self) -> list[str]:
        """Every symbol of the training, once."""
        return [*self.fetched, *self.delisted]


def access_to(settings: Settings, venue: str | None = None) -> Access:
    """Return how to reach ``venue``; the configured URL belongs to the configured venue only."""
    name = venue or settings.venue.id
    return Access(id=name, url=settings.venue.url if name == settings.venue.id else None)


def chosen_symbols(settings: Settings, venue: str | None = None) -> list[str]:
    """Return the symbols of `configs/flows.toml`, or those that the venue's volume chooses now.

    Raises
    ------
    InputError
        Where the automatic choice is empty, or the venue cannot be asked.
    """
    if settings.universe.mode == "fixed":
        return list(settings.data.symbols)
    return asyncio.run(_ask(settings, venue))[0]


def training_symbols(
    settings: Settings, start_ms: int, end_ms: int, venue: str | None = None
) -> TrainingSymbols:
    """Return the symbols of a training over ``[start_ms, end_ms)``.

    In the automatic universe those are its members of today and of any time in the range: a symbol
    that fell out of it is learned from as well, or what is left would be the survivors only.

    Raises
    ------
    InputError
        Where the automatic choice is empty, or the venue cannot be asked.
    """
    if settings.universe.mode == "fixed":
        return TrainingSymbols(fetched=list(settings.data.symbols), delisted=[])
    chosen, listed = asyncio.run(_ask(settings, venue))
    name, lake = venue or settings.venue.id, Lake(settings.paths.lake)
    past = [s for s in ever_members(lake, name, start_ms, end_ms) if s not in chosen]
    step = settings.data.interval
    return TrainingSymbols(
        fetched=[*chosen, *(s for s in past if s in listed)],
        delisted=[
            s
            for s in past
            if s not in listed and lake.span(CANDLES, series_of(name, s, step)) is not None
        ],
    )


async def _ask(settings: Settings, venue: str | None) -> tuple[list[str], set[str]]:
    """Return the members of today, and every symbol that the venue lists."""
    selection = Selection(symbols=settings.data.symbols, **settings.universe.model_dump())
    async with VenueClient(access_to(settings, venue)) as client:
        members = await refresh(client, Lake(settings.paths.lake), selection)
        listed = {str(market["id"]) for market in client.markets}
    return [member.symbol for member in members], listed
