"""What the search remembers and chooses: origins in order, several aims, warm points, plots."""

import json

import pytest

from flows.research.objective import TrialResult
from flows.research.recipe import Recipe
from flows.research.space import search_space, sobol_points, start_point
from flows.training import study
from flows.training.plan import space_key
from flows.training.searching import warm_points
from flows.training.shelf import Shelf
from flows.training.study_plots import study_plots

SPACE = search_space(Recipe())


def result(score, gained=0.1, fallen=0.1, turned=10.0, short=0.0):
    return TrialResult(
        score=score,
        fold_sharpes=(score,),
        trades=100,
        events=200,
        metrics={"return_total": gained, "max_drawdown": fallen, "turnover": turned},
        daily=(0.0, 0.01),
        trades_short=short,
    )


def searched(sampler, judge, total=24):
    found = study.open_study(None, "s", sampler)
    study.prepare(found, SPACE, [start_point(SPACE)], study.START)
    study.prepare(found, SPACE, sobol_points(SPACE, 8, 1), study.SOBOL)
    study.run_trials(found, SPACE, judge, total=total, seed=3, on_trial=lambda _: None)
    return found


def test_points_come_in_the_order_written_warm_sobol_adaptive():
    found = study.open_study(None, "s")
    warm = [{**start_point(SPACE), "booster.depth": 3.0}]
    study.prepare(found, SPACE, [start_point(SPACE)], study.START)
    study.prepare(found, SPACE, warm, study.WARM)
    study.prepare(found, SPACE, sobol_points(SPACE, 2, 1), study.SOBOL)
    study.run_trials(found, SPACE, lambda _: result(0.0), total=5, seed=3, on_trial=lambda _: None)
    kept = study.records(found)
    assert [r.origin for r in kept] == ["start-0", "warm-0", "sobol-0", "sobol-1", "adaptive"]
    assert kept[1].point == pytest.approx(warm[0])
    assert [r.is_sobol for r in kept] == [False, False, True, True, False]


def test_nsga2_weighs_return_drawdown_and_turnover_and_the_front_is_asked_for_the_score():
    def judge(point):
        """More confidence: less return, drawdown and turnover; the score likes the middle."""
        bold = 1.0 - (point["signal.min_confidence_threshold"] - 0.2) / 0.7
        depth = point["booster.depth"]
        waste = abs(depth - 4.0) / 10.0  # any depth but 4 only loses: it is never on the front
        return result(
            score=1.0 - abs(bold - 0.5) - 0.1 * waste,
            gained=bold - waste,
            fallen=bold**2 + waste,
            turned=bold * 10.0 + waste,
        )

    found = searched(study.NSGA2, judge, total=40)
    best = study.chosen(found, SPACE, 2)
    assert best.point["booster.depth"] == 4.0
    front = {t.number for t in found.best_trials}
    assert best.number in front
    assert best.result.score == max(
        r.result.score for r in study.records(found) if r.number in front
    )
    assert len(study.records(found)) == 40  # every trial is kept for the gate


def test_who_does_not_trade_is_no_solution():
    """No trade, no drawdown, no turnover: nothing beats it in two of three aims."""

    def judge(point):
        idle = point["booster.depth"] != 4.0
        return result(-5.0, 0.0, 0.0, 0.0, short=1.0) if idle else result(0.3)

    best = study.chosen(searched(study.NSGA2, judge), SPACE, 2)
    assert best.result.trades_short == 0.0


@pytest.mark.parametrize("sampler", [study.TPE, study.NSGA2])
def test_the_same_seed_tries_the_same_points(sampler):
    def judge(point):
        return result(point["model.kappa"], gained=point["model.kappa"])

    one, two = (study.records(searched(sampler, judge)) for _ in range(2))
    assert [r.point for r in one] == [r.point for r in two]


def test_warm_points_are_those_of_earlier_data_in_the_same_space(tmp_path):
    books = Shelf(datasets=tmp_path / "d", models=tmp_path / "m")

    def trained(key, end_ms, value, space=SPACE):
        draft = {
            "space": space_key(space),
            "end_ms": end_ms,
            "study": key,
            "point": {"model.kappa": value},
        }
        (books.model(key) / "draft.json").write_text(json.dumps(draft))

    other = search_space(Recipe().with_point({"barriers.profit": 0.03}))
    trained("a", 10, 0.1)
    trained("b", 30, 0.3)
    trained("c", 20, 0.2)
    trained("d", 20, 0.1)  # the same point as of older data: once is enough
    trained("e", 15, 0.9, other)
    kappas = [p["model.kappa"] for p in warm_points(books, SPACE, 30, most=5)]
    assert kappas == [0.2, 0.1]
    assert warm_points(books, SPACE, 31, most=1) == [{"model.kappa": 0.3}]
    assert warm_points(books, SPACE, 10, most=5) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "more"), [(study.TPE, set()), (study.NSGA2, {"optuna-front.png"})]
)
def test_optunas_plots_are_files(sampler, more):
    found = searched(sampler, lambda point: result(point["model.kappa"], point["booster.l2"]))
    plots = study_plots(found)
    assert set(plots) == more | {
        f"optuna-{name}.png"
        for name in ("history", "importances", "slices", "parallel", "timeline")
    }
    assert all(data.startswith(b"\x89PNG") for data in plots.values())


def test_a_study_of_one_trial_or_of_one_score_has_no_plots_to_fail_by():
    assert study_plots(searched(study.TPE, lambda _: result(0.0), total=1)) == {}
    assert study_plots(searched(study.TPE, lambda _: result(0.0), total=5))
