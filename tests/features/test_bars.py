"""Higher timeframes against a fold that looks at the whole history for every bar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import feature_matrix
from features.catalog import Catalog
from features.node import Feature, Node
from features.types import Candles
from tests.support.candles import INTERVAL_MS, START_MS, hostile, simulated, streamed, without
from tests.support.candles import NO_FUNDING as NONE

COLUMNS = ("open", "high", "low", "close", "volume")


def catalog_of(k: int) -> Catalog:
    """Return the higher bars' own columns as features: the largest of one bar is the bar."""
    return Catalog(
        tuple(
            Feature(
                name=column,
                unit="as it is",
                node=Node("rolling_max", (column,), (1,)),
                timeframe=k,
            )
            for column in COLUMNS
        )
    )


def naive(candles: Candles, k: int) -> np.ndarray:
    """Return, for every base bar, the newest higher bar that is over by then.

    A bar of k is over when its last base bar closed, or one of a later group did. It is made of the
    base bars that were there; the one in which the history begins counts only if it is whole.
    """
    index = candles.open_ms // candles.interval_ms
    group = index // k
    out = np.full((candles.n, len(COLUMNS)), np.nan)
    for i in range(candles.n):
        newest = group[i] if index[i] % k == k - 1 else group[i] - 1
        over = group[: i + 1][group[: i + 1] <= newest]
        if over.size == 0 or (over[-1] == group[0] and index[0] % k):
            continue
        inside = np.flatnonzero(group[: i + 1] == over[-1])
        volume = 0.0
        for j in inside:
            volume += candles.volume[j]
        out[i] = (
            candles.open[inside[0]],
            candles.high[inside].max(),
            candles.low[inside].min(),
            candles.close[inside[-1]],
            volume,
        )
    return out


@given(
    seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 150), k=st.sampled_from([2, 3, 4, 16, 96])
)
@settings(max_examples=40, deadline=None)
def test_higher_bars_are_those_of_the_naive_fold(seed: int, bars: int, k: int) -> None:
    candles = hostile(np.random.default_rng(seed), bars)
    expected = naive(candles, k)
    np.testing.assert_array_equal(feature_matrix(candles, catalog_of(k), None), expected)
    np.testing.assert_array_equal(streamed(catalog_of(k), candles, NONE), expected)


@pytest.mark.parametrize(
    ("lost", "seen"),
    [
        ([], {3: 3, 7: 7, 11: 11}),
        ([3], {4: 2, 7: 7, 11: 11}),  # its end is missing: made of the bars that were there
        ([0], {7: 7, 11: 11}),  # the history begins within it
        ([4, 5], {3: 3, 7: 7, 11: 11}),
        ([0, 1, 2, 3], {7: 7, 11: 11}),
        ([2, 3, 4, 5, 6], {7: 7, 11: 11}),  # two are over at once: the newer one
        ([2, 3, 4], {5: 1, 7: 7, 11: 11}),
        ([11], {3: 3, 7: 7}),
    ],
)
def test_a_bar_is_seen_at_its_own_close_or_after_the_gap_that_swallowed_it(
    lost: list[int], seen: dict[int, int]
) -> None:
    """Base bars 0 to 11, four make a higher one: ``seen`` maps the bar at which a new one shows to
    the base bar whose close is its close."""
    whole, _ = simulated(12)
    assert START_MS // INTERVAL_MS % 4 == 0
    shown = feature_matrix(without(whole, lost), catalog_of(4), None)[:, 3]
    new, last = {}, np.nan
    for i, value in zip((i for i in range(12) if i not in lost), shown, strict=True):
        if np.isfinite(value) and value != last:
            new[i], last = value, value
    assert new == {i: whole.close[j] for i, j in seen.items()}
