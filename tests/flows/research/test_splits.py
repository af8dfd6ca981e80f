"""No training span touches a judging span, whatever the input; oracles of the combinatorial CV."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from flows.research.splits import (
    combinatorial_purged,
    cut_times,
    path_count,
    path_members,
    purged_k_fold,
    time_ordered,
    walk_forward,
)


@st.composite
def spans(draw):
    """Closed spans of any order, with ties, of several symbols in one pool."""
    n = draw(st.integers(2, 40))
    start = np.array(draw(st.lists(st.integers(0, 300), min_size=n, max_size=n)), dtype=np.int64)
    hold = np.array(draw(st.lists(st.integers(0, 60), min_size=n, max_size=n)), dtype=np.int64)
    return start, start + hold, draw(st.integers(0, 30))


def touches(start, end, train, test, embargo):
    """Closed overlap of any pair, written as the definition."""
    a, b = start[train][:, None] - embargo, end[train][:, None] + embargo
    return bool(((a <= end[test]) & (start[test] <= b)).any())


@given(spans())
def test_time_ordered_split_never_leaks(case):
    start, end, embargo = case
    cut = time_ordered(start, end, validation_ms=180, test_ms=240, embargo_ms=embargo)
    assert not touches(start, end, cut.train, cut.validation, embargo)
    assert not touches(start, end, cut.train, cut.test, embargo)
    assert not touches(start, end, cut.validation, cut.test, embargo)
    assert (start[cut.test] >= 240).all()
    assert cut.test.size == (start >= 240).sum()


@given(spans(), st.integers(1, 5))
def test_walk_forward_never_leaks_and_judges_every_row_after_the_first_stretch_once(case, folds):
    start, end, embargo = case
    found = walk_forward(
        start, end, first_ms=0, last_ms=301, folds=folds, embargo_ms=embargo, train_share=0.3
    )
    for fold in found:
        assert not touches(start, end, fold.train, fold.test, embargo)
        if fold.train.size and fold.test.size:
            assert end[fold.train].max() < start[fold.test].min()
    judged = np.sort(np.concatenate([fold.test for fold in found]))
    np.testing.assert_array_equal(judged, np.flatnonzero(start >= int(301 * 0.3)))


@given(spans(), st.integers(2, 5))
def test_k_fold_never_leaks_and_judges_every_row_once(case, folds):
    start, end, embargo = case
    found = purged_k_fold(start, end, folds=folds, embargo_ms=embargo)
    for fold in found:
        assert not touches(start, end, fold.train, fold.test, embargo)
    judged = np.sort(np.concatenate([fold.test for fold in found]))
    np.testing.assert_array_equal(judged, np.arange(start.size))


@given(spans())
def test_combinatorial_splits_never_leak_and_their_paths_are_whole(case):
    start, end, embargo = case
    found = combinatorial_purged(start, end, groups=5, judging=2, embargo_ms=embargo)
    for fold in found:
        for test in fold.tests:
            assert not touches(start, end, fold.train, test, embargo)
    for path in path_members(5, 2):
        rows = [found[s].tests[found[s].groups.index(g)] for g, s in enumerate(path)]
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(start.size))


def test_a_label_that_ends_where_a_judging_one_starts_is_purged():
    """Closed spans: sharing one instant is an overlap (purgedcv keeps such a row)."""
    start, end = np.array([0, 50, 100]), np.array([100, 99, 150])
    cut = time_ordered(start, end, validation_ms=100, test_ms=1000, embargo_ms=0)
    np.testing.assert_array_equal(cut.train, [1])


def test_a_row_without_overlap_and_outside_the_embargo_stays():
    start, end = np.array([0, 70, 100]), np.array([10, 80, 150])
    cut = time_ordered(start, end, validation_ms=100, test_ms=1000, embargo_ms=20)
    np.testing.assert_array_equal(cut.train, [0])
    cut = time_ordered(start, end, validation_ms=100, test_ms=1000, embargo_ms=19)
    np.testing.assert_array_equal(cut.train, [0, 1])


@pytest.mark.parametrize(("groups", "judging", "splits", "paths"), [(6, 2, 15, 5), (10, 2, 45, 9)])
def test_path_counts_of_the_book(groups, judging, splits, paths):
    start = np.arange(100)
    found = combinatorial_purged(start, start, groups=groups, judging=judging, embargo_ms=0)
    assert len(found) == splits
    assert path_count(groups, judging) == paths
    assert path_members(groups, judging).shape == (paths, groups)


def test_cut_times_of_60_20_20():
    assert cut_times(1000, 2000, (0.6, 0.2, 0.2)) == (1600, 1800)


def test_bad_shares_and_counts_are_one_clear_line():
    with pytest.raises(InputError, match="shares"):
        cut_times(0, 10, (0.9, 0.4))
    with pytest.raises(InputError, match="no row"):
        purged_k_fold(
            np.array([], dtype=np.int64), np.array([], dtype=np.int64), folds=3, embargo_ms=0
        )
    with pytest.raises(InputError, match="judging"):
        combinatorial_purged(np.arange(5), np.arange(5), groups=3, judging=3, embargo_ms=0)
