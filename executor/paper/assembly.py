"""The paper exchange put together from its settings.

Decides which part gets which. Never serves. Rule: everything that settings, files and a journal can
have wrong is raised here as an ``InputError``, before a port is opened.
"""

from dataclasses import dataclass
from typing import Any

from executor.paper.clock import Clock
from executor.paper.commands import Commands
from executor.paper.conductor import Conductor
from executor.paper.exchange import Exchange
from executor.paper.journal import Journal
from executor.paper.mischief import Mischief
from executor.paper.mover import Mover
from executor.paper.settings import Settings
from executor.paper.sources import load, planned_faults, standing_at
from features.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """All parts of one running exchange."""

    exchange: Exchange
    mover: Mover
    conductor: Conductor
    commands: Commands
    journal: Journal


def assemble(settings: Settings, clock: Clock) -> Assembly:
    """Return an exchange that stands where its journal left it, or at its beginning."""
    journal = Journal(settings.journal)
    now_ms = (journal.header or {}).get("now_ms", standing_at(settings, clock))
    market, own_faults = load(settings, now_ms)
    journal.begin(_header(settings, market.now_ms))
    exchange = Exchange(settings, market, clock)
    mischief = Mischief(exchange)
    for fault in own_faults:
        mischief.plan(fault)
    for fault in planned_faults(settings.faults):
        try:
            mischief.plan(fault)
        except InputError as error:
            raise InputError(f"--faults: {error}") from error
    mover = Mover(exchange, mischief, journal)
    commands = Commands(exchange, mover, mischief, journal)
    exchange.disconnection.on_expiry(commands.expire)
    commands.replay(journal.past)
    return Assembly(
        exchange=exchange,
        mover=mover,
        conductor=Conductor(exchange, mover),
        commands=commands,
        journal=journal,
    )


def _header(settings: Settings, now_ms: int) -> dict[str, Any]:
    """Return what must be the same for a journal to mean the same."""
    return {
        "now_ms": now_ms,
        "market": (settings.recordings or "simulated").rstrip("/").rsplit("/", 1)[-1],
        "symbols": sorted(settings.symbols),
        "interval": settings.interval,
        "bars": settings.bars,
        "history": settings.history,
        "seed": settings.seed,
        "lockstep": settings.speed == 0.0,
        "costs": [
            settings.taker_fee,
            settings.maker_fee,
            settings.slippage_base,
            settings.slippage_volatility,
            settings.participation,
        ],
        "scenarios": [[one.name, one.symbol, one.bar] for one in settings.scenarios],
        "accounts": [[one.name, f"{one.balance:f}"] for one in settings.accounts],
    }
