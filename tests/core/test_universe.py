"""The choice of symbols: the most liquid, allowed and traded, and no taking turns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from executor.core.universe import Liquidity, Selection, choose
from tests.support.trading import instrument

NAMES = tuple(f"{letter}USDT" for letter in "ABCDEFGH")
INSTRUMENTS = {name: instrument(name) for name in NAMES}
ALL = Selection(turnover_min=0.0, price_min=0.0, count_max=100)
volumes = st.dictionaries(
    st.sampled_from((*NAMES, "UNLISTEDUSDT")), st.floats(0.0, 1e9), max_size=9
)


def tickers(turnovers: Mapping[str, float], price: float = 10.0) -> list[Liquidity]:
    return [Liquidity(symbol=s, turnover_24h=t, price=price) for s, t in turnovers.items()]


def chosen(
    turnovers: Mapping[str, float], selection: Selection, members: Sequence[str] = ()
) -> tuple[str, ...]:
    return choose(tickers(turnovers), INSTRUMENTS, members, selection)


def test_by_falling_turnover_within_the_limits() -> None:
    turnovers = {"AUSDT": 5.0, "BUSDT": 50.0, "CUSDT": 20.0, "DUSDT": 20.0}
    assert chosen(turnovers, ALL) == ("BUSDT", "CUSDT", "DUSDT", "AUSDT")
    assert chosen(turnovers, replace(ALL, count_max=2)) == ("BUSDT", "CUSDT")
    assert chosen(turnovers, replace(ALL, turnover_min=20.0)) == ("BUSDT", "CUSDT", "DUSDT")
    assert chosen(turnovers, replace(ALL, deny=frozenset({"BUSDT"})))[0] == "CUSDT"
    assert chosen(turnovers, replace(ALL, allow=frozenset({"AUSDT"}))) == ("AUSDT",)
    assert chosen(turnovers, replace(ALL, price_min=11.0)) == ()


def test_what_is_not_traded_or_has_no_price_is_not_chosen() -> None:
    halted = INSTRUMENTS | {"BUSDT": instrument("BUSDT", trading=False)}
    found = choose(tickers({"AUSDT": 1.0, "BUSDT": 2.0}), halted, (), ALL)
    assert found == ("AUSDT",)
    assert choose(tickers({"AUSDT": 1.0}, price=0.0), INSTRUMENTS, (), ALL) == ()


def test_a_member_gives_way_only_to_what_is_clearly_more_liquid() -> None:
    selection = replace(ALL, count_max=1, stay_fraction=0.1)
    assert chosen({"AUSDT": 100.0, "BUSDT": 109.0}, selection, ("AUSDT",)) == ("AUSDT",)
    assert chosen({"AUSDT": 100.0, "BUSDT": 111.0}, selection, ("AUSDT",)) == ("BUSDT",)
    assert chosen({"AUSDT": 100.0, "BUSDT": 109.0}, selection) == ("BUSDT",)


@given(volumes, st.integers(1, 9), st.floats(0.0, 1e9), st.sets(st.sampled_from(NAMES)))
def test_every_chosen_symbol_earned_it(
    turnovers: dict[str, float], most: int, least: float, members: set[str]
) -> None:
    selection = replace(ALL, count_max=most, turnover_min=least, stay_fraction=0.1)
    found = chosen(turnovers, selection, sorted(members))
    worth = {s: t * (1.1 if s in members else 1.0) for s, t in turnovers.items() if s in NAMES}
    assert len(found) == len(set(found)) <= most
    assert all(worth[s] >= least for s in found)
    outside = [worth[s] for s in worth if s not in found and worth[s] >= least]
    if found and outside:
        assert min(worth[s] for s in found) >= max(outside)
        assert len(found) == most
    backwards = choose(tickers(turnovers)[::-1], INSTRUMENTS, sorted(members), selection)
    assert found == backwards, "the order of the tickers changes nothing"


@given(volumes, st.integers(1, 9))
def test_choosing_twice_from_the_same_changes_nothing(
    turnovers: dict[str, float], most: int
) -> None:
    selection = replace(ALL, count_max=most, stay_fraction=0.1)
    first = chosen(turnovers, selection)
    assert set(chosen(turnovers, selection, first)) == set(first)
