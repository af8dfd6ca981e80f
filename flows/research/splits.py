"""Which rows train and which rows judge, so that no label is on both sides.

Decides splits in time only: never shuffles, never looks at a label's value. A row is a closed span
of time [start_ms, end_ms], from the decision to the end of its label; rows of all symbols lie in
one pool, so a purge on BTC's news also purges ETH. A training row is kept only where its span,
widened by the embargo on both sides, touches no span that judges. Rule: cuts are calendar times
given by the caller, so that every trial of a search is judged on the same days.

Source: López de Prado: Advances in Financial Machine Learning, ch. 7 and 12; there purging is by
half-open spans and the embargo on one side, here both are stricter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.types import IntArray

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """Row numbers that train and row numbers that judge; both ascending."""

    train: Rows
    test: Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Time-ordered parts; rows purged at the borders are in none of them."""

    train: Rows
    validation: Rows
    test: Rows
    validation_ms: int
    test_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CombinatorialFold:
    """One way to choose judging groups: its rows, and each judging group's rows apart."""

    train: Rows
    groups: tuple[int, ...]
    tests: tuple[Rows, ...]


def clear_of(
    start_ms: IntArray, end_ms: IntArray, judges: Sequence[Rows], embargo_ms: int
) -> NDArray[np.bool_]:
    """Return which rows' spans, widened by the embargo, touch none of the judging blocks.

    Parameters
    ----------
    start_ms, end_ms
        Closed spans, shape (n,).
    judges
        Blocks of row numbers; each block forbids everything from its first start to its last end.
    embargo_ms
        Distance kept on both sides, >= 0.

    Returns
    -------
    NDArray[np.bool_]
        Shape (n,); judging rows themselves are False.
    """
    clear = np.ones(start_ms.size, dtype=np.bool_)
    for rows in judges:
        if rows.size == 0:
            continue
        first, last = start_ms[rows].min(), end_ms[rows].max()
        clear &= (end_ms < first - embargo_ms) | (start_ms > last + embargo_ms)
        clear[rows] = False
    return clear


def cut_times(first_ms: int, last_ms: int, fractions: Sequence[float]) -> tuple[int, ...]:
    """Return the calendar times at which the shares of [first_ms, last_ms] in ``fractions`` end."""
    if any(f <= 0.0 for f in fractions) or sum(fractions) > 1.0 + 1e-9:
        raise InputError(f"split shares must be positive and sum to at most 1, got {fractions}")
    ends = np.cumsum(fractions)[: len(fractions) - 1 if sum(fractions) > 1.0 - 1e-9 else None]
    return tuple(int(first_ms + (last_ms - first_ms) * f) for f in ends)


def time_ordered(
    start_ms: IntArray, end_ms: IntArray, *, validation_ms: int, test_ms: int, embargo_ms: int
) -> Split:
    """Split rows at two calendar times; later parts judge, so earlier rows make room for them."""
    test = np.flatnonzero(start_ms >= test_ms)
    middle = np.flatnonzero((start_ms >= validation_ms) & (start_ms < test_ms))
    validation = middle[clear_of(start_ms, end_ms, [test], embargo_ms)[middle]]
    early = np.flatnonzero(start_ms < validation_ms)
    train = early[clear_of(start_ms, end_ms, [validation, test], embargo_ms)[early]]
    return Split(
        train=train,
        validation=validation,
        test=test,
        validation_ms=validation_ms,
        test_ms=test_ms,
    )


def walk_forward(
    start_ms: IntArray,
    end_ms: IntArray,
    *,
    first_ms: int,
    last_ms: int,
    folds: int,
    embargo_ms: int,
    train_share: float = 0.4,
) -> list[Fold]:
    """Return folds that train on all of the past and judge the next stretch of time.

    Parameters
    ----------
    start_ms, end_ms
        Closed spans, shape (n,); rows outside [first_ms, last_ms) are in no fold.
    first_ms, last_ms
        Calendar range to walk over.
    folds
        Number of judging stretches, equal in time, after the first ``train_share`` of the range.
    embargo_ms
        Distance between training spans and judging spans.
    """
    if folds < 1:
        raise InputError(f"walk-forward needs at least 1 fold, got {folds}")
    edges = walk_edges(first_ms, last_ms, folds, train_share)
    inside = (start_ms >= first_ms) & (start_ms < last_ms)
    out = []
    for low, high in pairwise(edges):
        test = np.flatnonzero(inside & (start_ms >= low) & (start_ms < high))
        past = inside & (start_ms < low) & clear_of(start_ms, end_ms, [test], embargo_ms)
        out.append(Fold(train=np.flatnonzero(past), test=test))
    return out


def walk_edges(first_ms: int, last_ms: int, folds: int, train_share: float) -> IntArray:
    """Return the ``folds + 1`` calendar times between which the folds judge."""
    begin = first_ms + (last_ms - first_ms) * train_share
    return np.linspace(begin, last_ms, folds + 1).astype(np.int64)


def purged_k_fold(
    start_ms: IntArray, end_ms: IntArray, *, folds: int, embargo_ms: int
) -> list[Fold]:
    """Return k folds of equal calendar length that train on past *and* future, purged."""
    groups = time_groups(start_ms, folds)
    return [
        Fold(
            train=np.flatnonzero(clear_of(start_ms, end_ms, [group], embargo_ms)),
            test=group,
        )
        for group in groups
    ]


def combinatorial_purged(
    start_ms: IntArray, end_ms: IntArray, *, groups: int, judging: int, embargo_ms: int
) -> list[CombinatorialFold]:
    """Return all C(groups, judging) purged splits; they make :func:`path_count` whole paths."""
    if not 1 <= judging < groups:
        raise InputError(f"combinatorial CV needs 1 <= judging < groups, got {judging}, {groups}")
    blocks = time_groups(start_ms, groups)
    out = []
    for chosen in combinations(range(groups), judging):
        tests = tuple(blocks[g] for g in chosen)
        train = np.flatnonzero(clear_of(start_ms, end_ms, tests, embargo_ms))
        out.append(CombinatorialFold(train=train, groups=chosen, tests=tests))
    return out


def path_count(groups: int, judging: int) -> int:
    """Return φ[N, k] = k/N · C(N, k), the number of whole paths that the splits make."""
    return comb(groups, judging) * judging // groups


def path_members(groups: int, judging: int) -> NDArray[np.intp]:
    """Return which split judges each group on each path, shape (paths, groups)."""
    members: list[list[int]] = [[] for _ in range(groups)]
    for split, chosen in enumerate(combinations(range(groups), judging)):
        for group in chosen:
            members[group].append(split)
    return np.array(members, dtype=np.intp).T


def time_groups(start_ms: IntArray, groups: int) -> list[Rows]:
    """Return row numbers by ``groups`` equal stretches of calendar time; some may be empty."""
    if groups < 2:
        raise InputError(f"a cross-validation needs at least 2 groups, got {groups}")
    if start_ms.size == 0:
        raise InputError("there is no row to split; widen the history or the signal's threshold")
    first, last = int(start_ms.min()), int(start_ms.max()) + 1
    edges = np.linspace(first, last, groups + 1).astype(np.int64)
    edges[-1] = last
    place = np.clip(np.searchsorted(edges, start_ms, side="right") - 1, 0, groups - 1)
    return [np.flatnonzero(place == g) for g in range(groups)]
