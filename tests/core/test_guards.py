"""Guards, regimes, coverage and the contract's words."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.core import contract, decide
from executor.core.contract import Keys, NoticeCode, Refusal
from executor.core.covariance import UNKNOWN_CORRELATION, RecentBars, comovement
from executor.core.coverage import coverage_table
from executor.core.guard import (
    GuardState,
    entries_this_minute,
    held_back,
    on_close,
    on_entry,
    on_trade,
    poor,
    reset,
)
from executor.core.params import DAY_MS, PROFILES, Guard, Limits, Params, Regime, with_profile
from executor.core.regime import regime_blocks, session_blocks, trend_state, volatility_state
from executor.core.types import Trade
from features.compiled import compile_plain, compiled
from features.errors import InputError
from tests.support.trading import model_info, parameters, trade

GUARD = Guard()


def trades(*pnl: float) -> list[Trade]:
    return [trade(value) for value in pnl]


# ---- guards ---


def test_the_daily_loss_counts_from_the_day_s_start_not_from_the_peak() -> None:
    state = GuardState()
    on_close(state, 1000.0, 0, GUARD)
    on_close(state, 1100.0, 1000, GUARD)
    assert on_close(state, 951.0, 2000, GUARD) == []
    (notice,) = on_close(state, 950.0, 3000, GUARD)
    assert notice.code == NoticeCode.DAILY_LOSS
    assert on_close(state, 990.0, 4000, GUARD) == []
    assert held_back(state, 4000) == Refusal.DAILY_LOSS
    on_close(state, 990.0, DAY_MS, GUARD)
    assert held_back(state, DAY_MS) is None


def test_the_drawdown_is_measured_from_the_peak_and_latches() -> None:
    state = GuardState()
    on_close(state, 1000.0, 0, replace(GUARD, daily_loss_max=0.9))
    codes = [n.code for n in on_close(state, 750.0, 1, replace(GUARD, daily_loss_max=0.9))]
    assert codes == [NoticeCode.DRAWDOWN]
    on_close(state, 2000.0, 9 * DAY_MS, GUARD)
    assert held_back(state, 9 * DAY_MS) == Refusal.HALTED
    reset(state, 2000.0)
    assert held_back(state, 9 * DAY_MS) is None
    assert state.drawdown(2000.0) == 0.0


def test_every_fourth_loss_in_a_row_cools_down() -> None:
    state, history = GuardState(), []
    codes = []
    for i in range(8):
        history.append(trade(-1.0))
        codes.append([n.code for n in on_trade(state, history, 100 + i, 10, GUARD)])
    assert codes[3] == codes[7] == [NoticeCode.COOL_DOWN]
    assert codes[2] == codes[4] == []
    assert state.cool_until_ms == 107 + 16 * 10
    history.append(trade(1.0))
    on_trade(state, history, 200, 10, GUARD)
    assert (state.losses_row, state.wins_row) == (0, 1)


def test_poor_is_a_low_win_rate_or_a_low_profit_factor() -> None:
    guard = Guard(
        performance_trades=10, performance_win_rate_min=0.3, performance_profit_factor_min=0.5
    )
    assert not poor(trades(*[-1.0] * 9), guard)  # not enough to say
    assert poor(trades(*[-1.0] * 8, 9.0, 9.0), guard)
    assert not poor(trades(*[-1.0] * 7, 9.0, 9.0, 9.0), guard)
    assert poor(trades(*[-9.0] * 5, *[1.0] * 5), guard)
    assert not poor(trades(*[1.0] * 10), guard)


def test_poor_performance_pauses_once_and_ends_by_itself() -> None:
    guard = Guard(performance_trades=3, performance_pause_bars=5, losses_cool_down=0)
    state = GuardState()
    history = trades(-1.0, -1.0, -1.0)
    (notice,) = on_trade(state, history, 1000, 10, guard)
    assert notice.code == NoticeCode.PERFORMANCE
    assert on_trade(state, [*history, trade(-1.0)], 1040, 10, guard) == []
    assert held_back(state, 1049) == Refusal.PERFORMANCE
    assert held_back(state, 1050) is None


def test_a_symbol_entered_too_often_waits_for_a_person() -> None:
    state = GuardState()
    on_close(state, 1.0, 0, GUARD)
    assert on_entry(state, "AUSDT", 1, 2) is None
    notice = on_entry(state, "AUSDT", 2, 2)
    assert notice is not None
    assert notice.symbol == "AUSDT"
    on_close(state, 1.0, DAY_MS, GUARD)
    assert "AUSDT" in state.repeated_latched
    reset(state, 1.0)
    assert state.repeated_latched == {}


def test_entries_are_counted_by_the_minute_and_by_the_day() -> None:
    state = GuardState()
    on_close(state, 1.0, 0, GUARD)
    for time_ms in (1, 2, 60_000):
        on_entry(state, "AUSDT", time_ms, 99)
    assert (entries_this_minute(state, 60_001), entries_this_minute(state, 120_000)) == (1, 0)
    assert state.entries_today == 3
    on_close(state, 1.0, DAY_MS, GUARD)
    assert state.entries_today == 0


# ---- regime and session ---


def test_trends_need_a_strong_adx() -> None:
    regime = Regime(adx_trend=20.0)
    states = [trend_state(a, d, regime) for a, d in ((30, 1), (30, -1), (10, 1), (None, 1))]
    assert states == ["up", "down", "flat", "flat"]


def test_quiet_and_wild_are_measured_against_the_barrier() -> None:
    regime = Regime(volatility_max=0.03, reach_min=0.25)
    # 0.0005·√96 = 0.0049, just under a quarter of 2 %.
    assert volatility_state(0.0005, 0.02, 96, regime) == "quiet"
    assert volatility_state(0.0006, 0.02, 96, regime) == "normal"
    assert volatility_state(0.031, 0.02, 96, regime) == "wild"
    assert volatility_state(float("nan"), 0.02, 96, regime) == "wild"


def test_counter_trend_entries_are_blocked_only_when_asked() -> None:
    assert not regime_blocks("up", "normal", -1, Regime())
    strict = Regime(block_counter_trend=True)
    assert regime_blocks("up", "normal", -1, strict)
    assert regime_blocks("down", "normal", 1, strict)
    assert not regime_blocks("flat", "normal", 1, strict)


@pytest.mark.parametrize(
    ("hour", "factor"),
    [(0, 1), (7, 1), (8, 1.5), (12, 1.5), (13, 1), (19, 1), (20, 1.5), (23, 1.5)],
)
def test_the_session_asks_for_more_volume_outside_its_hours(hour: int, factor: float) -> None:
    session = Params(interval_ms=1, instruments={}).session
    needed = session.volume_min * factor
    at = 5 * DAY_MS + hour * 3_600_000
    assert not session_blocks(at, needed, session)
    assert session_blocks(at, needed * 0.999, session)
    assert not session_blocks(at, None, session)


# ---- comovement ---


def test_correlation_is_learned_from_returns_and_shrunk() -> None:
    rng = np.random.default_rng(5)
    common = rng.normal(0, 0.01, 200)
    a = 100 * np.cumprod(1 + common + rng.normal(0, 0.001, 200))
    b = 100 * np.cumprod(1 + common + rng.normal(0, 0.001, 200))
    c = 100 * np.cumprod(1 - common)
    recent = RecentBars(200)
    for i in range(200):
        closes = {"A": float(a[i]), "B": float(b[i]), "C": float(c[i])}
        recent.push((i, closes, closes))
    sigma = dict.fromkeys("ABC", 0.01)
    pure = comovement(recent, ["A", "B", "C"], sigma, 0.0, 32)
    returns = np.array([np.diff(x) / x[:-1] for x in (a, b, c)])
    assert np.allclose(pure.correlation, np.corrcoef(returns), atol=1e-12)
    half = comovement(recent, ["A", "B", "C"], sigma, 0.5, 32)
    expected = 0.5 * pure.between("A", "C") + 0.5 * UNKNOWN_CORRELATION
    assert half.between("A", "C") == pytest.approx(expected)
    assert np.linalg.eigvalsh(half.correlation).min() > 0.0


def test_what_is_unknown_counts_as_moving_together() -> None:
    recent = RecentBars(97)
    for i in range(10):
        recent.push((i, {"A": 100.0 + i % 2, "B": 100.0 - i % 2}, {}))
    found = comovement(recent, ["A", "B"], {"A": 0.01, "B": 0.01}, 0.5, 32)
    assert found.between("A", "B") == UNKNOWN_CORRELATION
    assert found.beta_of("A") == pytest.approx(1.0)


def test_beta_of_the_more_volatile_symbol_is_larger() -> None:
    found = comovement(RecentBars(97), ["A", "B"], {"A": 0.01, "B": 0.03}, 0.5, 32)
    assert found.beta_of("B") > 1.0 > found.beta_of("A")
    assert found.beta_of("A") + found.beta_of("B") == pytest.approx(2.0)


def test_the_usual_volume_is_known_only_after_enough_bars() -> None:
    recent = RecentBars(97)
    for i in range(31):
        recent.push((i, {}, {"A": 10.0}))
    assert recent.volume_ratio("A") is None
    recent.push((31, {}, {"A": 20.0}))
    assert recent.volume_ratio("A") == pytest.approx(20.0 / (330.0 / 32.0))
    assert recent.volume_ratio("B") is None


# ---- parameters, coverage, contract ---


def test_profiles_order_from_careful_to_bold() -> None:
    found = [with_profile(parameters(["AUSDT"]), name) for name in PROFILES]
    for pick in (
        lambda p: p.sizing.risk_per_trade,
        lambda p: p.limits.position_fraction_max,
        lambda p: p.selector.positions_max,
        lambda p: p.sizing.volatility_target,
    ):
        values = [pick(p) for p in found]
        assert values == sorted(values)
        assert len(set(values)) == 3
    assert found[0].sizing.risk_per_trade == 0.005
    assert found[2].sizing.risk_per_trade == 0.02
    assert all(p.limits.leverage_max <= 3.0 for p in found)


def test_a_wrong_profile_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'moderate'"):
        with_profile(parameters(["AUSDT"]), "modrate")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_a_limit_that_cannot_be_meant_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="leverage_max"):
        Limits(leverage_max=value)


def test_coverage_names_every_symbol() -> None:
    info = model_info(["AUSDT"])
    found = coverage_table(info, ["BUSDT", "AUSDT"], Limits())
    assert found["AUSDT"] == {"tradable": True, "reason": "", "history_days": 400.0}
    assert found["BUSDT"]["reason"] == Refusal.UNTRAINED_SYMBOL
    assert not coverage_table(None, ["AUSDT"], Limits())["AUSDT"]["tradable"]


def test_every_code_has_one_meaning_and_every_key_the_prefix() -> None:
    for words in (contract.Refusal, contract.NoticeCode, contract.ExitReason, contract.Table):
        assert len({str(word) for word in words}) == len(list(words))
        assert all(str(word) == word.name.lower() for word in words)
    keys = vars(Keys("x:"))
    assert all(value.startswith("x:") for value in keys.values())
    assert len(set(keys.values())) == len(keys)
    for name in ("heartbeat", "status", "adaptive_params", "trade_history", "metrics", "lease"):
        assert keys[name] == f"x:{name}"


# ---- one source, two speeds ---

anything = st.floats(allow_nan=True, allow_infinity=True, width=64)
compile_plain(decide.expected_net)
COMPILED = {
    name: compiled(function)
    for name, function in vars(decide).items()
    if inspect.isfunction(function) and name != "time_is_up"
}


@pytest.mark.parametrize("name", sorted(COMPILED))
@given(values=st.lists(st.one_of(anything, st.floats(-2, 2)), min_size=7, max_size=7))
def test_compiled_decisions_equal_interpreted_ones(name: str, values: list[float]) -> None:
    plain = getattr(decide, name)
    arguments = values[: len(inspect.signature(plain).parameters)]
    try:
        wanted = plain(*arguments)
    except ZeroDivisionError:
        pytest.fail(f"{name} divides by zero when interpreted: {arguments}")
    assert np.array_equal(COMPILED[name](*arguments), wanted, equal_nan=True)
