"""Trees by the C library: the Python package's answers to the last bit, and clear refusals."""

import gc
from pathlib import Path

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.core.trees import VERSION, Trees, TreesError
from tests.support.bundles import small_bundle

BOOSTER = small_bundle()["booster.ubj"]


def trained(
    seed: int, columns: int, rounds: int, *, objective: str = "binary:logistic"
) -> xgboost.Booster:
    """Return a booster of random rows, some values of which are missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, columns))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    labels = rng.integers(0, 3 if "multi" in objective else 2, 300)
    terms = {"objective": objective, "max_depth": 4, "nthread": 1, "seed": seed}
    if "multi" in objective:
        terms["num_class"] = 3
    return xgboost.train(terms, xgboost.DMatrix(rows, labels, nthread=1), num_boost_round=rounds)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    columns=st.integers(1, 40),
    rounds=st.integers(1, 40),
    data=st.data(),
)
def test_answers_are_the_python_packages_to_the_last_bit(
    seed: int, columns: int, rounds: int, data: st.DataObject
) -> None:
    booster = trained(seed, columns, rounds)
    trees = Trees(bytes(booster.save_raw("ubj")))
    assert trees.width == columns
    count = data.draw(st.integers(1, 5))
    value = st.floats(width=32) | st.just(float("nan")) | st.floats(-3, 3)
    rows = np.array(
        data.draw(st.lists(value, min_size=count * columns, max_size=count * columns))
    ).reshape(count, columns)
    finite = np.where(np.isinf(rows), np.nan, rows)
    expected = booster.inplace_predict(finite, validate_features=False)
    assert trees.predict(finite) == [float(value) for value in expected]
    assert [trees.predict(finite[i : i + 1])[0] for i in range(count)] == trees.predict(finite)


def test_the_version_is_the_installed_packages() -> None:
    assert xgboost.__version__ == VERSION


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"not a booster", BOOSTER[: len(BOOSTER) // 2], b"\x00" * 64],
    ids=["empty", "brace", "words", "half", "zeros"],
)
def test_bytes_that_are_no_booster_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(TreesError) as caught:
        Trees(data)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_of_another_width_are_refused() -> None:
    trees = Trees(BOOSTER)
    with pytest.raises(TreesError, match=rf"{trees.width + 1} columns, the booster takes"):
        trees.predict(np.zeros((1, trees.width + 1)))


def test_rows_that_do_not_lie_together_as_float64_are_refused() -> None:
    """Their address would be read as if they did."""
    trees = Trees(BOOSTER)
    for rows in (np.zeros((2, 2 * trees.width))[:, ::2], np.zeros((1, trees.width), np.float32)):
        with pytest.raises(TreesError, match="lie together as float64"):
            trees.predict(rows)  # type: ignore[arg-type]  # what a type checker refuses too


def test_a_booster_of_several_classes_is_refused() -> None:
    trees = Trees(bytes(trained(1, 4, 3, objective="multi:softprob").save_raw("ubj")))
    with pytest.raises(TreesError, match="one number a row"):
        trees.predict(np.zeros((2, 4)))


def test_boosters_come_and_go_without_holding_memory() -> None:
    def resident_kb() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    for _ in range(50):
        Trees(BOOSTER).predict(np.zeros((1, Trees(BOOSTER).width)))
    gc.collect()
    before = resident_kb()
    for _ in range(400):
        Trees(BOOSTER)
    gc.collect()
    assert resident_kb() - before < 20 * len(BOOSTER) / 1024, "400 boosters were freed"
