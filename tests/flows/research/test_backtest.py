"""Backtests: parts that sum to the gain, stress that costs, files that change what they name."""

from dataclasses import replace

import numpy as np
import pytest

from executor.core.bundle import unpack
from executor.core.params import LearnedRegime, Params, Tuning
from features.costs import Costs
from features.errors import InputError
from flows.backtests.setups import Wanted, fact_changes, make_setup, wanted
from flows.research.account import attribution, betas, holdings
from flows.research.backtest import (
    Setup,
    backtest,
    capacity,
    difference,
    setting_changes,
    trade_groups,
)
from flows.research.market import Market
from flows.research.portfolio_figures import can_compile, chosen, compared_figures, dearer
from flows.research.simulate import run, simulate
from tests.support.bundles import INTERVAL_MS, START_MS, small_bundle, small_market

STOP_MS = START_MS + 1_400 * INTERVAL_MS
QUIET = Tuning(enabled=False)


def markets() -> list[Market]:
    return [
        Market(
            symbol=tape.symbol,
            candles=tape.candles,
            funding=tape.funding,
            matrix=tape.features,
            volatility=tape.features[:, 0],
            first=200,
        )
        for tape in small_market().tapes
    ]


def params(**changes: object) -> Params:
    plain = Params(interval_ms=INTERVAL_MS, instruments=small_market().instruments, tuning=QUIET)
    return replace(plain, **changes)  # type: ignore[arg-type]  # any field of Params


def done_run(**changes: object):
    model = unpack(small_bundle())
    return run(model, markets(), params(**changes), start_ms=START_MS, stop_ms=STOP_MS)


def test_the_parts_of_the_gain_sum_to_it_and_nothing_is_left_over() -> None:
    done = done_run()
    assert len(done.trades) > 30
    held = holdings(done, markets())
    parts = attribution(done, held, 10_000.0)
    assert parts["net"] == done.equity[-1] - 10_000.0
    assert abs(parts["unexplained"]) < 1e-6
    total = sum(parts[name] for name in ("alpha", "beta", "fees", "slippage", "funding"))
    assert total == pytest.approx(parts["net"], abs=1e-6)
    assert parts["fees"] == pytest.approx(-sum(fill.fee for fill in done.fills))
    assert parts["slippage"] < 0.0


def test_without_costs_the_gain_is_alpha_and_beta_alone() -> None:
    free = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
    done = done_run(costs=free)
    parts = attribution(done, holdings(done, markets()), 10_000.0)
    assert parts["fees"] == 0.0
    # What is left of slippage is the rounding of fills to the tick, against us.
    assert -0.01 * sum(fill.quantity for fill in done.fills) <= parts["slippage"] <= 1e-9
    assert parts["alpha"] + parts["beta"] == pytest.approx(
        parts["net"] - parts["funding"] - parts["slippage"], abs=1e-6
    )


def test_positions_at_each_close_are_those_the_fills_left() -> None:
    done = done_run()
    held = holdings(done, markets())
    for place, close_ms in enumerate(done.close_ms):
        if place % 97:
            continue
        for s, symbol in enumerate(held.symbols):
            fills = [f for f in done.fills if f.symbol == symbol and f.time_ms < close_ms]
            wanted_quantity = sum(fill.side * fill.quantity for fill in fills)
            assert held.quantity[place, s] == pytest.approx(wanted_quantity, abs=1e-9)


def test_betas_weigh_to_one() -> None:
    rng = np.random.default_rng(3)
    price = np.exp(np.cumsum(rng.normal(0.0, 0.01, (500, 4)), axis=0))
    assert betas(price).mean() == pytest.approx(1.0)
    assert betas(price[:2]).tolist() == [1.0] * 4


def test_groups_hold_every_trade_once() -> None:
    trades = done_run().trades
    for rows in trade_groups(trades).values():
        assert sum(row["trades"] for row in rows.values()) == len(trades)
        assert sum(row["pnl"] for row in rows.values()) == pytest.approx(
            sum(trade.pnl for trade in trades)
        )


def test_capacity_falls_with_the_root_of_the_capital_and_says_where_it_ends() -> None:
    trades = done_run().trades
    found = capacity(trades, markets(), 10_000.0)
    rows = list(found["rows"].values())
    steps = [row["impact_share"] for row in rows]
    assert np.diff(np.log(steps)) == pytest.approx(np.full(len(steps) - 1, np.log(10.0) / 2.0))
    gained = sum(trade.pnl for trade in trades)
    if gained > 0.0:
        assert 0.0 < found["best_capital"] < found["zero_capital"]
    else:
        assert found["best_capital"] is found["zero_capital"] is None


def test_a_late_entry_fills_at_a_later_open() -> None:
    model, book = unpack(small_bundle()), markets()
    plain = run(model, book, params(), start_ms=START_MS, stop_ms=STOP_MS)
    late = run(model, book, params(), start_ms=START_MS, stop_ms=STOP_MS, entry_delay_bars=2)
    decided = {i.client_order_id: i.close_ms for i in (*plain.intents, *late.intents)}
    for done, bars in ((plain, 0), (late, 2)):
        entries = [f for f in done.fills if f.client_order_id.endswith("-e")]
        assert entries
        waits = {(f.time_ms - decided[f.client_order_id]) // INTERVAL_MS for f in entries}
        assert waits == {bars}


def test_dearer_costs_are_fees_and_slippage() -> None:
    costs = dearer(params(), 3.0).costs
    assert (costs.taker_fee, costs.slippage_base) == (pytest.approx(0.0015), pytest.approx(0.0003))
    assert costs.take_profit_is_market == Costs().take_profit_is_market


def test_a_difference_of_a_run_with_itself_is_nothing() -> None:
    model = unpack(small_bundle())
    one = simulate(model, markets(), params(), start_ms=START_MS, stop_ms=STOP_MS)
    found = difference(one, one)
    assert (found["mean"], found.get("low", 0.0)) == (0.0, 0.0)


@pytest.mark.slow
def test_a_backtest_answers_every_question() -> None:
    market = small_market()
    setup = Setup(name="small", model=unpack(small_bundle()), params=params())
    found = backtest(setup, markets(), market.catalog, start_ms=START_MS, stop_ms=STOP_MS)
    assert set(found.stress) == {"costs ×1", "costs ×2", "costs ×3"}
    returns = [row["return_total"] for row in found.stress.values()]
    assert returns[0] > returns[2]
    assert set(found.delays) == {"at the next open", "1 bar late", "2 bars late", "3 bars late"}
    figures = found.as_dict()["metrics"]
    for name in ("sortino", "calmar", "max_drawdown_days", "exposure_mean", "turnover_annual"):
        assert figures[name] is not None


def test_a_parameter_file_changes_what_it_names(tmp_path) -> None:
    file = tmp_path / "calm.toml"
    file.write_text(
        'profile = "moderate"\nkappa = 0.7\n[signal]\nmomentum_threshold = 0.01\n'
        "[selector]\npositions_max = 2\n[session]\nactive_hours = [[0, 24]]\n"
    )
    asked = wanted(str(file), "champion")
    assert (asked.name, asked.bundle, asked.profile) == ("calm", "champion", "moderate")
    bundle = unpack(small_bundle())
    setup = make_setup(asked, bundle, params())
    plain = make_setup(Wanted(name="plain", bundle="champion", changes={}), bundle, params())
    assert setup.model.info.signal.momentum_threshold == 0.01
    assert setup.params.session.active_hours == ((0, 24),)
    changed = setting_changes(plain.params, setup.params)
    assert changed["selector.positions_max"] == (5, 2)
    assert changed["limits.position_fraction_max"] == (0.10, 0.20)
    assert fact_changes(plain.model.info, setup.model.info)["kappa"][1] == 0.7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sizng]\n", "did you mean 'sizing'"),
        ("[sizing]\nrisk_per_trad = 0.1\n", "did you mean 'risk_per_trade'"),
        ('[sizing]\nrisk_per_trade = "much"\n', "give a value such as 0.005"),
        ("[sizing]\nrisk_per_trade = -1.0\n", "give a number of 0 or more"),
        ("sizing = 3\n", "give a table"),
        ('profile = "agressive"\n', "did you mean 'aggressive'"),
        ("kappa = \n", "is not TOML"),
    ],
)
def test_a_parameter_file_that_cannot_be_meant_is_one_line(tmp_path, text, message) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        make_setup(wanted(str(file), "champion"), unpack(small_bundle()), params())


def test_a_file_that_is_not_there_is_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match="name a parameter file"):
        wanted(str(tmp_path / "nothing.toml"), "champion")


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_compiled_loop_gives_the_figures_of_the_live_core(factor: float) -> None:
    model = unpack(small_bundle())
    rules = dearer(params(learned_regime=LearnedRegime(enabled=False)), factor)
    span = {"start_ms": START_MS, "stop_ms": STOP_MS}
    assert can_compile(model, rules)
    live = simulate(model, markets(), rules, **span)
    assert live.metrics["trades"] > 20
    found = compared_figures(model, markets(), rules, **span)
    assert found == pytest.approx(chosen(live.metrics), rel=1e-12)
    tuned = replace(rules, tuning=Tuning())
    assert not can_compile(model, tuned)
    assert compared_figures(model, markets(), tuned, **span) == chosen(
        simulate(model, markets(), tuned, **span).metrics
    )
