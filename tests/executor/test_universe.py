"""Symbols join and leave while the executor runs, and what is held is never let go of."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from executor.core.contract import NoticeCode
from executor.core.types import Instrument
from executor.core.universe import Liquidity
from executor.errors import RetryableError
from executor.market.universe import JOIN_AT_ONCE, Universe
from executor.settings.sections import Trading
from executor.settings.sections import Universe as UniverseSettings
from features.errors import InputError
from features.suggest import unknown_name
from tests.support.clocks import FakeClock
from tests.support.trading import instrument

NAMES = tuple(f"{letter}USDT" for letter in "ABCDEF")


@dataclass
class Listed:
    """A venue that lists symbols and says how liquid they are."""

    turnovers: dict[str, float] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(
        default_factory=lambda: {name: instrument(name) for name in NAMES}
    )
    is_down: bool = False

    async def liquidity(self) -> list[Liquidity]:
        if self.is_down:
            raise RetryableError("tickers: no answer")
        return [Liquidity(symbol=s, turnover_24h=t, price=1.0) for s, t in self.turnovers.items()]

    def check_symbols(self, symbols: Sequence[str]) -> None:
        for symbol in symbols:
            if symbol not in self.instruments:
                raise InputError(unknown_name("symbol", symbol, self.instruments))


@dataclass
class Followed:
    """A feed that says what it follows; a symbol of ``without_history`` cannot join."""

    symbols: set[str] = field(default_factory=set)
    only_followed: frozenset[str] = frozenset()
    without_history: set[str] = field(default_factory=set)
    during_join: Any = None

    async def join(self, symbols: Sequence[str]) -> list[str]:
        await asyncio.sleep(0)
        if self.during_join is not None:
            self.during_join()
        joined = [s for s in symbols if s not in self.without_history]
        self.symbols |= set(joined)
        return joined

    async def leave(self, symbols: Sequence[str]) -> None:
        self.symbols -= set(symbols)


class Running:
    """A universe that was started, with everything around it to play with."""

    def __init__(self, turnovers: Mapping[str, float], **changes: object) -> None:
        values = {"mode": "auto", "count_max": 2, "quote_volume_min": 1.0, "refresh_ms": 60_000}
        self.venue = Listed(dict(turnovers))
        self.clock = FakeClock()
        self.feed = Followed()
        self.holding: set[str] = set()
        self.said: list[dict[str, Any]] = []
        self.prepared: list[str] = []
        self.universe = Universe(
            UniverseSettings.model_validate({**values, **changes}),
            Trading(symbols=("AUSDT", "BUSDT")),
            self.venue,  # type: ignore[arg-type]  # a port
            self.clock,
        )
        self.universe.held = lambda: set(self.holding)
        self.universe.prepare = self._prepare
        self.universe.say = self._say

    async def _prepare(self, symbols: Sequence[str]) -> None:
        self.prepared += symbols

    def _say(self, code: NoticeCode, text: str) -> None:
        assert code is NoticeCode.UNIVERSE_CHANGED
        self.said.append(json.loads(text))

    async def begin(self) -> "Running":
        await self.universe.choose()
        self.feed.symbols = set(self.universe.start_with(self.holding))
        self.feed.only_followed = frozenset(self.universe.leaving)
        return self

    async def look(self, after_s: float = 61.0) -> None:
        self.clock.pass_s(after_s)
        await self.universe.look(self.feed)  # type: ignore[arg-type]  # a port
        assert set(self.universe.followed) == self.feed.symbols
        assert self.feed.only_followed == frozenset(self.universe.leaving)
        assert self.holding & set(NAMES) <= self.feed.symbols, "what is held is followed"


async def test_pairs_are_switched_when_their_time_has_come() -> None:
    running = await Running({"AUSDT": 9.0, "BUSDT": 8.0, "CUSDT": 7.0}).begin()
    assert running.feed.symbols == {"AUSDT", "BUSDT"}
    running.venue.turnovers["CUSDT"] = 90.0
    await running.look(after_s=5.0)
    assert running.said == [], "it is not chosen anew at every look"
    await running.look()
    assert running.feed.symbols == {"AUSDT", "CUSDT"}
    assert running.prepared == ["CUSDT"]
    assert running.said == [{"members": 2, "joined": ["CUSDT"], "left": ["BUSDT"], "leaving": []}]
    await running.look()
    assert len(running.said) == 1, "what did not change is not said"


async def test_what_is_held_is_followed_until_it_is_flat_and_not_entered_again() -> None:
    running = await Running({"AUSDT": 9.0, "BUSDT": 8.0, "CUSDT": 7.0}).begin()
    running.holding = {"BUSDT"}
    running.venue.turnovers["CUSDT"] = 90.0
    await running.look()
    assert running.feed.symbols == {"AUSDT", "BUSDT", "CUSDT"}
    assert running.feed.only_followed == {"BUSDT"}
    assert running.said[-1]["leaving"] == ["BUSDT"]
    running.holding = set()
    await running.look(after_s=5.0)
    assert running.feed.symbols == {"AUSDT", "CUSDT"}
    assert running.said[-1]["left"] == ["BUSDT"]


async def test_an_entry_that_is_made_while_others_join_is_not_let_go_of() -> None:
    """Joining downloads history for minutes; meanwhile an order of a leaving symbol may fill."""
    running = await Running({"AUSDT": 9.0, "BUSDT": 8.0, "CUSDT": 7.0}).begin()
    running.venue.turnovers["CUSDT"] = 90.0

    def enter() -> None:
        assert running.feed.only_followed == {"BUSDT"}, "from here on nothing more is entered"
        running.holding = {"BUSDT"}

    running.feed.during_join = enter
    await running.look()
    assert "BUSDT" in running.feed.symbols


async def test_a_position_that_was_found_is_followed_in_a_fixed_universe_too() -> None:
    running = await Running({}, mode="fixed").begin()
    assert running.feed.symbols == {"AUSDT", "BUSDT"}
    running.holding = {"DUSDT", "NOWHEREUSDT"}
    await running.look(after_s=5.0)
    assert running.feed.symbols == {"AUSDT", "BUSDT", "DUSDT"}
    assert running.feed.only_followed == {"DUSDT"}


async def test_a_start_with_a_position_outside_of_the_universe_follows_it() -> None:
    running = Running({"AUSDT": 9.0, "BUSDT": 8.0})
    running.holding = {"FUSDT"}
    await running.begin()
    assert running.feed.symbols == {"AUSDT", "BUSDT", "FUSDT"}
    assert running.universe.leaving == ["FUSDT"]


async def test_what_fails_leaves_everything_as_it_was_and_is_tried_again() -> None:
    running = await Running({"AUSDT": 9.0, "BUSDT": 8.0, "CUSDT": 7.0}).begin()
    running.venue.is_down = True
    await running.look()
    assert running.feed.symbols == {"AUSDT", "BUSDT"}
    assert "no answer" in running.universe.problem
    running.venue.is_down = False
    running.venue.turnovers["CUSDT"] = 90.0
    running.feed.without_history = {"CUSDT"}
    await running.look(after_s=5.0)
    assert "CUSDT" not in running.feed.symbols
    assert "no history yet of CUSDT" in running.universe.problem
    running.feed.without_history = set()
    await running.look(after_s=5.0)
    assert running.feed.symbols == {"AUSDT", "CUSDT"}
    assert running.universe.problem == ""
    running.venue.turnovers = dict.fromkeys(NAMES, 0.0)
    await running.look()
    assert running.feed.symbols == {"AUSDT", "CUSDT"}, "an empty market empties nothing"
    assert "liquid enough" in running.universe.problem


async def test_many_join_in_portions_and_all_in_the_end() -> None:
    many = {f"S{n:02d}USDT": 100.0 - n for n in range(40)}
    running = Running({"AUSDT": 9.0}, count_max=40)
    running.venue.instruments |= {name: instrument(name) for name in many}
    await running.begin()
    running.venue.turnovers = many
    await running.look()
    assert len(running.feed.symbols) == JOIN_AT_ONCE
    for _ in range(3):
        await running.look(after_s=5.0)
    assert running.feed.symbols == set(many)


async def test_an_empty_choice_or_an_unknown_name_is_refused_at_the_start() -> None:
    with pytest.raises(InputError, match="lower the minimum"):
        await Running({"AUSDT": 0.5}).begin()
    with pytest.raises(InputError, match="did you mean"):
        await Running({}, deny=("AUSD",)).begin()


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(NAMES), st.floats(0.0, 100.0), max_size=6),
            st.sets(st.sampled_from(NAMES), max_size=3),
            st.sets(st.sampled_from(NAMES), max_size=2),
            st.booleans(),
            st.sampled_from([5.0, 61.0]),
        ),
        max_size=12,
    )
)
@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_what_is_held_is_followed_and_nothing_else_lingers(
    steps: Iterable[tuple[dict[str, float], set[str], set[str], bool, float]],
) -> None:
    async def live() -> None:
        running = await Running({"AUSDT": 9.0, "BUSDT": 8.0}).begin()
        for turnovers, holding, without_history, is_down, after_s in steps:
            running.venue.turnovers, running.venue.is_down = dict(turnovers), is_down
            # What is held was followed when it was entered.
            running.holding = holding & running.feed.symbols
            running.feed.without_history = without_history - running.feed.symbols
            await running.look(after_s)
            allowed = set(running.universe.members) | running.holding
            assert running.feed.symbols <= allowed
            assert len(running.universe.members) <= 2

    asyncio.run(live())
