"""Models are trained on all features, unless a constant stands in for the settlements."""

import pytest

from features.catalog import default_catalog
from flows.settings import load_settings
from flows.training.catalog import training_catalog


def test_all_features_are_trained_on_by_default() -> None:
    assert training_catalog(load_settings()).names == default_catalog().names


def test_a_constant_rate_is_no_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIBAR_MODEL__FLAT_FUNDING", "0.0001")
    whole = default_catalog()
    assert whole.funding_names == ("funding_rate", "funding_mean_9", "funding_due")
    chosen = training_catalog(load_settings())
    assert set(whole.names) - set(chosen.names) == set(whole.funding_names)
    assert not chosen.funding_names
