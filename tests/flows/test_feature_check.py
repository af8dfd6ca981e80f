"""`tribar features check` finds what is wrong with a feature, and says where it cannot tell."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.batch import feature_matrix
from features.catalog import Catalog, default_catalog
from features.kernels.registry import KERNELS
from features.node import Feature, Node
from features.signals import SignalParams
from features.types import Candles, FloatArray, Funding
from flows import feature_check
from flows.feature_check import FeatureFinding, Findings, check_features
from tests.support.candles import NO_FUNDING, simulated

NAMES = (
    "volatility_96", "ema_z_12", "ema_z_48", "trend_z_96", "volume_z_96", "return_1", "rsi_14",
    "adx_14", "macd_histogram_9", "bollinger_b_20", "donchian_48", "funding_rate", "ema_z_48_x4",
)  # fmt: skip
CATALOG = default_catalog().subset(NAMES)


def checked(bars: int, catalog: Catalog | None = None, funding: Funding | None = None) -> Findings:
    candles, settlements = simulated(bars)
    return check_features(
        "AAAUSDT",
        candles,
        settlements if funding is None else funding,
        catalog or CATALOG,
        SignalParams(),
        generator=np.random.default_rng(1),
        tell=lambda done, what: None,
    )


def by_name(found: Findings) -> dict[str, FeatureFinding]:
    return {one.name: one for one in found.features}


@pytest.mark.slow
def test_a_good_catalog_is_found_good() -> None:
    found = checked(9_000)
    assert found.is_good
    assert all(one.same_in_stream and one.unchanged_by_future for one in found.features)
    rsi = by_name(found)["rsi_14"]
    assert rsi.warm_from == 14
    assert rsi.identical_from is not None
    assert 100 < rsi.identical_from <= rsi.declared
    assert set(found.firing) == {"momentum", "trend", "breakout", "reversion"}
    assert all(share is not None and 0.0 < share < 0.3 for share in found.firing.values())


def test_a_declared_warm_up_that_is_too_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KERNELS, "rsi", replace(KERNELS["rsi"], settled=lambda period: 2 * period))
    node = Node("rsi", ("close",), (14,))
    mine = Feature(name="hasty_14", unit="0 to 100", node=node)
    catalog = Catalog((*CATALOG.features, mine))
    one = by_name(checked(9_000, catalog))["hasty_14"]
    assert one.declared == 28
    assert one.is_late
    assert one.same_in_stream


def test_a_look_ahead_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaled by the largest value of the whole history, as one does in a notebook."""

    def scaled(candles: Candles, catalog: Catalog, funding: Any) -> FloatArray:
        matrix = feature_matrix(candles, catalog, funding)
        matrix[:, 1] /= np.nanmax(np.abs(matrix[:, 1]))
        return matrix

    monkeypatch.setattr(feature_check, "feature_matrix", scaled)
    found = checked(6_000)
    assert not found.is_good
    bad = [one.name for one in found.features if not one.unchanged_by_future]
    assert bad == [NAMES[1]]
    assert [one.name for one in found.features if not one.same_in_stream] == [NAMES[1]]


def test_what_cannot_be_told_is_not_told() -> None:
    found = checked(300, funding=NO_FUNDING)
    assert found.is_good
    one = by_name(found)
    assert one["funding_rate"].warm_from is None
    assert one["funding_rate"].identical_from is None
    assert one["rsi_14"].identical_from is None
    assert one["return_1"].identical_from is not None
    assert found.firing["momentum"] is None  # the higher timeframe is not warm
