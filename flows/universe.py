"""The symbols that a flow works on where its caller names none.

Decides between the configured list and the venue's most liquid perpetuals. Never chooses a symbol
itself: ``flows.lake.universe`` does, and remembers each choice. Rule: only flows and commands call
this; a choice is made at most once per refresh time.
"""

import asyncio

from flows.lake.store import Lake
from flows.lake.universe import Selection, refresh
from flows.lake.venue import Access, VenueClient
from flows.settings import Settings


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
    selection = Selection(symbols=settings.data.symbols, **settings.universe.model_dump())

    async def ask() -> list[str]:
        async with VenueClient(access_to(settings, venue)) as client:
            members = await refresh(client, Lake(settings.paths.lake), selection)
        return [member.symbol for member in members]

    return asyncio.run(ask())
