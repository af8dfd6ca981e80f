"""One model a symbol: each learns from its own rows, and who joins changes nothing for others."""

import json
from math import inf

import numpy as np
import pytest

from executor.core.bundle import MANIFEST, bundle_sha256, pack, unpack
from executor.core.manifest import canonical, sha256
from executor.core.model import Request
from features.catalog import default_catalog
from features.errors import InputError
from features.signals import Signal
from flows.calibration.one_market import BARRIERS, FREE, START_MS
from flows.research.bundling import Origin, draft_manifest, judged_bundle, parts
from flows.research.criteria import Criterion, Verdict
from flows.research.evaluation import evaluate_model
from flows.research.fitting import groups
from flows.research.market import build_market, make_dataset
from flows.research.merging import lineage, merge, recipe_of
from flows.research.models import Machine
from flows.research.nulls import driftless
from flows.research.objective import Trial, evaluate
from flows.research.recipe import ModelParams, Recipe
from flows.research.training import cuts, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
NAMES = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
CATALOG = default_catalog().subset(
    ("volatility_96", "ema_z_12", "ema_z_48", "volume_z_96", "return_1", "adx_14", "trend_z_96")
)
RECIPE = Recipe(barriers=BARRIERS, costs=FREE, model=ModelParams(kappa=0.0))
MACHINE = Machine(threads=1)
ORIGIN = Origin(lake_version="1", content_sha256="aa", git_revision="tested", seed=7)
SIGNAL = Signal(side=1, score=0.01, confidence=0.7, rule=1)


@pytest.fixture(scope="module")
def markets():
    made = driftless(
        np.random.default_rng(3), symbols=3, bars=9_000, interval_ms=3_600_000, start_ms=START_MS
    )
    return {
        name: build_market(name, candles, funding, CATALOG, days_min=-inf)
        for name, (candles, funding) in zip(NAMES, made, strict=True)
    }


def terms_of(data):
    borders = cuts(data)
    return Trial(
        first_ms=borders.first_ms, test_ms=borders.test_ms, last_ms=borders.last_ms, trades_min=5
    )


def made(markets, names, word="passed", recipe=RECIPE):
    """Train ``names`` apart; return the dataset, what was trained and the judged bundle."""
    data = make_dataset(CATALOG, [markets[name] for name in names], "one_hot", apart=True)
    trained = train(data, recipe, terms_of(data), MACHINE)
    evidence = evaluate_model(trained, data, terms_of(data).judged_ms)
    draft = pack(draft_manifest(data, trained, evidence, ORIGIN), parts(trained))
    line = Criterion(
        name="made up", value=1.0, threshold=1.0, passed=word == "passed", reason="made up"
    )
    return data, trained, judged_bundle(draft, Verdict(criteria=(line,)))


@pytest.fixture(scope="module")
def pair(markets):
    return made(markets, NAMES[:2])


@pytest.fixture(scope="module")
def third(markets):
    return made(markets, NAMES[2:])[2]


def answers(files, markets, names):
    """Return what the executor's core answers to 50 rows of each symbol."""
    model = unpack(files)
    requests = [
        Request(symbol=n, close_ms=bar, features=markets[n].matrix[bar], signal=SIGNAL)
        for n in names
        for bar in range(6_000, 6_050)
    ]
    return model.predict_many(requests)


def test_a_bundle_holds_a_model_a_symbol_and_answers_as_it_was_trained(markets, pair):
    data, trained, files = pair
    assert sorted(files) == [
        "manifest.json",
        *(f"symbols/{s}/{n}" for s in NAMES[:2] for n in ("booster.ubj", "linear.json")),
    ]
    model, samples, x = unpack(files), trained.samples, trained.samples.x.whole()
    for key, rows in groups(samples, trained.test.rows):
        market = data.markets[key]
        for row, p in zip(
            rows[:40], trained.test.probability[np.isin(trained.test.rows, rows)], strict=False
        ):
            bar = int(samples.entry_index[row]) - 1
            signal = Signal(
                side=int(samples.side[row]),
                score=float(x[row, len(CATALOG.names) + 1]),
                confidence=float(x[row, len(CATALOG.names) + 2]),
                rule=int(x[row, len(CATALOG.names) + 3]),
            )
            found = model.predict(market.symbol, market.matrix[bar], signal)
            assert found.probability == pytest.approx(float(p), rel=1e-5)
    assert len({s.kelly_q90 for s in (model.info.bets_of(n) for n in NAMES[:2])}) == 2


def test_a_symbols_rows_teach_its_own_model_alone(markets, pair):
    """The other symbol's features are replaced by noise: trees and scaler stay as they are."""
    _, trained, _ = pair
    other = make_dataset(
        CATALOG,
        [markets[NAMES[0]], noisy(markets[NAMES[1]])],
        "one_hot",
        apart=True,
    )
    again = train(other, RECIPE, terms_of(other), MACHINE)
    one, two = trained.fitted.parts[0], again.fitted.parts[0]
    assert one.linear.coefficients.tolist() == two.linear.coefficients.tolist()
    assert one.calibrator == two.calibrator
    assert bytes(one.booster.save_raw("ubj")) == bytes(two.booster.save_raw("ubj"))
    assert trained.fitted.parts[1].linear.coefficients.tolist() != (
        again.fitted.parts[1].linear.coefficients.tolist()
    )


def noisy(market):
    """Return a market whose features lie: all but the volatility are shuffled in time."""
    matrix = market.matrix.copy()
    order = np.random.default_rng(1).permutation(np.arange(market.first, len(matrix)))
    column = CATALOG.names.index("adx_14")
    matrix[market.first :, column] = matrix[order, column]
    return type(market)(
        symbol=market.symbol,
        candles=market.candles,
        funding=market.funding,
        matrix=matrix,
        volatility=market.volatility,
        first=market.first,
    )


def test_onboarding_leaves_the_others_as_they_are_byte_for_byte(markets, pair, third):
    files = pair[2]
    joined = merge(files, third)
    for name, data in files.items():
        if name != MANIFEST:
            assert joined[name] == data
    assert answers(joined, markets, NAMES[:2]) == answers(files, markets, NAMES[:2])
    assert answers(joined, markets, NAMES[2:]) == answers(third, markets, NAMES[2:])
    one, two = unpack(files).info, unpack(joined).info
    assert all(one.bets_of(name) == two.bets_of(name) for name in NAMES[:2])
    assert set(two.symbols) == set(NAMES)
    again = merge(joined, third)  # trained anew: it takes the place of the older one
    assert {n: d for n, d in again.items() if n != MANIFEST} == {
        n: d for n, d in joined.items() if n != MANIFEST
    }
    assert lineage(again) == lineage(joined) == bundle_sha256(files)


def test_coverage_is_the_union_the_longest_the_shortest_and_the_newest(pair, third):
    ours = changed(pair[2], days=300.0, history_days_min=90.0, end_ms=1_000, start_ms=10)
    theirs = changed(third, days=500.0, history_days_min=200.0, end_ms=900, start_ms=5)
    training = json.loads(merge(ours, theirs)[MANIFEST])["training"]
    wanted = {"days": 500.0, "history_days_min": 90.0, "end_ms": 1_000, "start_ms": 5}
    assert {name: training[name] for name in wanted} == wanted
    training = json.loads(merge(theirs, ours)[MANIFEST])["training"]
    assert {name: training[name] for name in wanted} == wanted


def changed(files, **training):
    raw = json.loads(files[MANIFEST])
    raw["training"] |= training
    return {**files, MANIFEST: canonical(raw)}


def test_a_joined_version_has_passed_where_both_have(markets, pair, third):
    refused = made(markets, NAMES[2:], word="refused")[2]
    assert json.loads(merge(pair[2], third)[MANIFEST])["gate"]["verdict"] == "passed"
    assert json.loads(merge(pair[2], refused)[MANIFEST])["gate"]["verdict"] == "refused"
    gate = json.loads(merge(refused, pair[2])[MANIFEST])["gate"]
    assert gate["verdict"] == "refused"
    assert [c["name"] for c in gate["criteria"] if not c["passed"]] == ["version joined"]


def test_who_was_made_by_another_recipe_does_not_join(markets, pair):
    moved = RECIPE.with_point({"model.kappa": 0.6})
    other = made(markets, NAMES[2:], recipe=moved)[2]
    with pytest.raises(InputError, match="differs in kappa"):
        merge(pair[2], other)


def test_the_recipe_is_read_back_from_the_bundle(pair):
    assert recipe_of(unpack(pair[2])) == RECIPE


def test_a_symbol_with_too_little_history_is_left_out_and_the_others_go_on(markets):
    short = markets[NAMES[1]]
    matrix = short.matrix.copy()
    matrix[:8_500] = np.nan
    cut = type(short)(
        symbol=short.symbol,
        candles=short.candles,
        funding=short.funding,
        matrix=matrix,
        volatility=short.volatility,
        first=8_500,
    )
    data = make_dataset(CATALOG, [markets[NAMES[0]], cut], "one_hot", apart=True)
    trained = train(data, RECIPE, terms_of(data), MACHINE)
    assert "labelled signals" in trained.left_out[NAMES[1]]
    evidence = evaluate_model(trained, data, terms_of(data).judged_ms)
    files = pack(draft_manifest(data, trained, evidence, ORIGIN), parts(trained))
    assert list(unpack(files).info.symbols) == [NAMES[0]]


def test_a_trial_is_judged_with_a_model_a_symbol(markets):
    data = make_dataset(CATALOG, [markets[name] for name in NAMES], "one_hot", apart=True)
    found = evaluate({}, base=RECIPE, dataset=data, trial=terms_of(data), machine=MACHINE)
    assert found.reason == ""
    assert found.trades > 0
    assert sha256(canonical(found.as_dict())) == sha256(
        canonical(
            evaluate({}, base=RECIPE, dataset=data, trial=terms_of(data), machine=MACHINE).as_dict()
        )
    )
