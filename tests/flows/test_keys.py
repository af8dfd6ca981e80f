"""Keys: data, features, parameters and code; a change of any never finds an older result.

The probe of a peer: the same name with other hyperparameters gave the old predictions back.
"""

from dataclasses import replace

import pytest

from flows.research.models import Machine
from flows.research.objective import Trial
from flows.research.recipe import Recipe
from flows.research.space import search_space, start_point
from flows.settings import Settings, load_settings
from flows.training import plan, shelf
from flows.training.plan import base_recipe, model_key, recipe_key, study_key

TRIAL = Trial(first_ms=0, test_ms=10, last_ms=20)
BASE = Recipe()
SCHEMA = "a" * 64


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load_settings(tmp_path, {})


def key(dataset="d", base=BASE, trial=TRIAL, sampler="tpe", warm=(), rules=False, **machine):
    return study_key(
        dataset,
        base,
        search_space(base, rules=rules),
        trial,
        sampler=sampler,
        used=Machine(**machine),
        warm=warm,
    )


@pytest.mark.parametrize(
    "other",
    [
        lambda: key(dataset="e"),
        lambda: key(base=replace(BASE, booster=replace(BASE.booster, rounds_max=3))),
        lambda: key(base=replace(BASE, booster=replace(BASE.booster, depth=1))),
        lambda: key(base=replace(BASE, costs=replace(BASE.costs, taker_fee=0.001))),
        lambda: key(base=replace(BASE, barriers=replace(BASE.barriers, profit=0.03))),
        lambda: key(base=replace(BASE, model=replace(BASE.model, kappa=0.5))),
        lambda: key(sampler="nsga2"),
        lambda: key(rules=True),
        lambda: key(threads=2),
        lambda: key(device="cuda"),
        lambda: key(warm=[{"booster.depth": 3.0}]),
        lambda: key(trial=replace(TRIAL, seed=8)),
        lambda: key(trial=replace(TRIAL, folds=5)),
        lambda: key(trial=replace(TRIAL, last_ms=21)),
    ],
)
def test_a_study_is_found_by_everything_that_its_results_depend_on(other):
    assert key() == key()
    assert other() != key()


def test_a_model_is_found_by_its_study_its_point_and_what_it_was_chosen_from():
    point = start_point(search_space(BASE))
    moved = {**point, "booster.depth": 1.0}
    keys = {
        model_key("s", point, 12),
        model_key("t", point, 12),
        model_key("s", moved, 12),
        model_key("s", point, 13),
    }
    assert len(keys) == 4


def test_other_code_is_another_study(monkeypatch):
    before = key()
    monkeypatch.setattr(plan, "code_version", lambda: "other")
    assert key() != before


def test_one_byte_of_the_code_that_results_depend_on_is_other_code(tmp_path, monkeypatch):
    for folder in shelf.CODE:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(shelf, "ROOT", tmp_path)
    seen = {shelf.code_version()}
    for folder in shelf.CODE:
        (tmp_path / folder / "a.py").write_text("x = 2\n")
        seen.add(shelf.code_version())
    (tmp_path / shelf.CODE[0] / "b.py").write_text("")
    seen.add(shelf.code_version())
    assert len(seen) == len(shelf.CODE) + 2


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("venue", {"url": "http://127.0.0.1:8790"}),
        ("data", {"interval": "1h"}),
        ("data", {"market": "simulated"}),
    ],
)
def test_a_recipe_is_proven_for_one_market(settings, section, changes):
    """What a simulated market has proven is nothing proven for real candles."""
    other = getattr(settings, section).model_copy(update=changes)
    elsewhere = settings.model_copy(update={section: other})
    assert recipe_key(elsewhere, SCHEMA) != recipe_key(settings, SCHEMA)


def test_a_recipe_is_schema_mode_space_exit_plan_tuning_market_and_nothing_else(settings):
    """More data, more trials, another seed: the same recipe, and its uses are counted together."""
    first = recipe_key(settings, SCHEMA)
    assert recipe_key(settings, "b" * 64) != first
    wider = settings.model_copy(
        update={"labels": settings.labels.model_copy(update={"profit": 0.03})}
    )
    assert base_recipe(wider).barriers.profit == 0.03
    assert recipe_key(wider, SCHEMA) != first
    apart = settings.model_copy(
        update={"model": settings.model.model_copy(update={"mode": "single_symbol"})}
    )
    assert recipe_key(apart, SCHEMA) != first
    same = settings.model_copy(
        update={
            "search": settings.search.model_copy(update={"trials": 99, "workers": 4}),
            "data": settings.data.model_copy(update={"days": 500, "symbols": ("XUSDT",)}),
            "model": settings.model.model_copy(update={"seed": 8, "threads": 2}),
        }
    )
    assert recipe_key(same, SCHEMA) == first
