"""Bundles: what is packed comes back, and one changed bit is refused before it is loaded."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.core.bundle import Part, bundle_sha256, pack, unpack
from executor.core.foresight import Foreseen
from executor.core.linear import joined_probability, linear_score, logit, sigmoid
from executor.core.manifest import BundleError, canonical, sha256
from executor.core.model import Request
from features.meta import model_row
from features.signals import Signal
from tests.support.bundles import (
    SYMBOLS,
    manifest_of,
    small_bundle,
    small_market,
    train_part,
    training_rows,
)

LONG = Signal(side=1, score=0.01, confidence=0.7, rule=1)


def with_manifest(**changes: object) -> dict[str, bytes]:
    """Return the small bundle with keys of its manifest replaced, its hashes made right again."""
    files = dict(small_bundle())
    raw = json.loads(files["manifest.json"])
    files["manifest.json"] = canonical({**raw, **changes})
    return files


def test_packing_twice_gives_the_same_bytes() -> None:
    market = small_market()
    rows, outcomes = training_rows(market, "one_hot")
    again = pack(manifest_of(market), {"": train_part(rows, outcomes)})
    assert again == small_bundle()
    assert bundle_sha256(again) == bundle_sha256(small_bundle())


def test_what_is_unpacked_says_what_was_packed() -> None:
    files = small_bundle()
    model = unpack(files, bundle_sha256(files))
    assert model.info.bundle_sha256 == sha256(files["manifest.json"])
    assert set(model.info.symbols) == set(SYMBOLS)
    assert model.info.barriers.horizon_bars == 48
    assert model.manifest["gate"]["verdict"] == "passed"
    assert sorted(files) == ["booster.ubj", "linear.json", "manifest.json"]


def test_a_probability_is_the_ensemble_of_trees_and_logistic_calibrated() -> None:
    """Built up again from the parts, by xgboost's other way of predicting."""
    files = small_bundle()
    market = small_market()
    row = market.tapes[1].features[900]
    found = unpack(files).predict(SYMBOLS[1], row, LONG)
    booster = xgboost.Booster(model_file=bytearray(files["booster.ubj"]))
    x = model_row(row, LONG, SYMBOLS[1], SYMBOLS, "one_hot")
    trees = float(booster.predict(xgboost.DMatrix(x.reshape(1, -1)))[0])
    linear = json.loads(files["linear.json"])
    z = float(
        np.dot((x - linear["mean"]) / linear["scale"], linear["coefficients"]) + linear["intercept"]
    )
    raw = 0.7 * trees + 0.3 / (1.0 + np.exp(-z))
    assert found.probability == pytest.approx(raw, rel=1e-6)
    assert found.expected_net == pytest.approx(
        found.probability * 0.018 - (1 - found.probability) * 0.011
    )
    assert found.standard_error == pytest.approx((2e-4 / 400.0) ** 0.5)


def test_many_requests_are_answered_as_each_alone() -> None:
    model, market = unpack(small_bundle()), small_market()
    requests = [
        Request(
            symbol=tape.symbol,
            close_ms=i,
            features=tape.features[i],
            signal=replace(LONG, side=1 if i % 2 else -1),
        )
        for i in range(300, 340)
        for tape in market.tapes
    ]
    together = model.predict_many(requests)
    alone = [model.predict(r.symbol, r.features, r.signal) for r in requests]
    assert together == alone
    assert len({answer.probability for answer in together}) > 10


def test_foresight_answers_as_the_model_itself() -> None:
    model, market = unpack(small_bundle()), small_market()
    requests = [
        Request(symbol=SYMBOLS[0], close_ms=i, features=market.tapes[0].features[i], signal=LONG)
        for i in range(300, 330)
    ]
    foreseen = Foreseen(model, requests[:20])
    assert foreseen.predict_many(requests) == model.predict_many(requests)
    assert foreseen.predict_many([]) == []
    assert foreseen.info is model.info


def test_single_symbol_bundles_answer_from_the_symbol_s_own_part() -> None:
    market = small_market()
    rows, outcomes = training_rows(market, "none")
    parts = {s: train_part(rows, outcomes, seed) for seed, s in enumerate(SYMBOLS)}
    shifted = replace(parts["AAAUSDT"].linear, intercept=3.0)
    parts["AAAUSDT"] = Part(booster=parts["AAAUSDT"].booster, linear=shifted)
    files = pack(manifest_of(market, mode="single_symbol", encoding="none"), parts)
    assert "symbols/AAAUSDT/booster.ubj" in files
    model, row = unpack(files), market.tapes[0].features[900]
    one, other = model.predict("AAAUSDT", row, LONG), model.predict("BBBUSDT", row, LONG)
    assert one.probability > other.probability + 0.05


def test_economics_fall_back_from_the_bucket_to_the_symbol_to_all() -> None:
    def group(win: float) -> dict[str, float]:
        return {"win_mean": win, "loss_mean": 0.01, "second_moment": 1e-4, "n": 10.0}

    row = small_market().tapes[0].features[900]
    edges = [float(row[0]) * 0.5, float(row[0])]  # the row sits on the edge: bucket 2
    groups = {"AAAUSDT|2": group(0.3), "BBBUSDT|*": group(0.2), "*|*": group(0.1)}
    model = unpack(with_manifest(economics={"groups": groups, "volatility_edges": edges}))
    wins = [model.predict(symbol, row, LONG).win_mean for symbol in SYMBOLS]
    assert wins == [0.3, 0.2, 0.1]


def test_a_group_that_was_never_seen_has_no_economics() -> None:
    files = with_manifest(economics={"groups": {}, "volatility_edges": []})
    answer = unpack(files).predict(SYMBOLS[0], small_market().tapes[0].features[900], LONG)
    assert 0.0 < answer.probability < 1.0
    assert np.isnan([answer.expected_net, answer.standard_error, answer.second_moment]).all()


@settings(max_examples=200)
@given(st.data())
def test_every_flipped_bit_is_refused(data: st.DataObject) -> None:
    files = dict(small_bundle())
    name = data.draw(st.sampled_from(sorted(files)))
    position = data.draw(st.integers(0, len(files[name]) * 8 - 1))
    damaged = bytearray(files[name])
    damaged[position // 8] ^= 1 << (position % 8)
    with pytest.raises(BundleError):
        unpack({**files, name: bytes(damaged)}, bundle_sha256(files))


def test_missing_added_and_swapped_files_are_refused() -> None:
    files = small_bundle()
    with pytest.raises(BundleError, match=r"manifest\.json"):
        unpack({k: v for k, v in files.items() if k != "manifest.json"})
    with pytest.raises(BundleError, match=r"linear\.json"):
        unpack({k: v for k, v in files.items() if k != "linear.json"})
    with pytest.raises(BundleError, match="extra"):
        unpack({**files, "extra.bin": b""})
    with pytest.raises(BundleError, match="expected"):
        unpack(files, "0" * 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 1"),
        ({"mode": "many"}, "multi_symbol"),
        ({"encoding": "hash"}, "one_hot"),
        ({"kappa": "1"}, "kappa"),
        ({"ensemble_weight": 1.5}, "ensemble_weight"),
        ({"calibrator": {"a": 1.0}}, "lacks 'b'"),
        ({"symbols": {"AAAUSDT": {}}}, "history_days"),
        ({"adaptive_bounds": {"momentum": [1, 0, 2]}}, "momentum"),
        ({"adaptive_bounds": {"volume_weight": [0.9, 0.0, 0.5]}}, "volume_weight"),
        ({"model_names": ["a"]}, "model_names"),
        ({"barriers": {"profit": 1}}, "loss"),
        ({"signal": {"wrong": 1}}, "wrong"),
        ({"feature_names": ["ema_z_12"]}, "model_names"),
    ],
)
def test_a_manifest_that_cannot_be_meant_gets_one_clear_line(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        unpack(with_manifest(**changes))
    assert "\n" not in str(caught.value)


def test_a_manifest_that_was_reformatted_is_refused() -> None:
    files = dict(small_bundle())
    files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]), indent=1).encode()
    with pytest.raises(BundleError, match="canonical"):
        unpack(files)


def test_bytes_that_are_no_booster_are_refused_even_with_a_right_hash() -> None:
    files = dict(small_bundle())
    files["booster.ubj"] = b"{}"
    raw = json.loads(files["manifest.json"])
    raw["files"]["booster.ubj"] = sha256(b"{}")
    files["manifest.json"] = canonical(raw)
    with pytest.raises(BundleError, match="booster"):
        unpack(files)


def test_a_booster_that_gives_no_probabilities_is_refused() -> None:
    market = small_market()
    rows, outcomes = training_rows(market, "one_hot")
    data = xgboost.QuantileDMatrix(rows, 5.0 + outcomes)
    booster = xgboost.train({"objective": "reg:squarederror", "nthread": 1}, data, 3)
    part = train_part(rows, outcomes)
    wrong = Part(booster=bytes(booster.save_raw("ubj")), linear=part.linear)
    with pytest.raises(BundleError, match="probability"):
        pack(manifest_of(market), {"": wrong})


finite = st.floats(-1e3, 1e3)


@given(st.lists(st.tuples(finite, finite, st.floats(0.1, 10), finite), max_size=8), finite)
def test_the_linear_kernel_is_the_formula(
    columns: list[tuple[float, float, float, float]], intercept: float
) -> None:
    row, mean, scale, weight = ([c[i] for c in columns] for i in range(4))
    wanted = intercept + sum(
        w * (x - m) / s for x, m, s, w in zip(row, mean, scale, weight, strict=True)
    )
    assert linear_score(row, mean, scale, weight, intercept) == pytest.approx(
        wanted, rel=1e-9, abs=1e-6
    )


@given(st.floats(1e-5, 1 - 1e-5))
def test_logit_and_sigmoid_undo_each_other(p: float) -> None:
    assert sigmoid(logit(p)) == pytest.approx(p, rel=1e-9)


def test_probabilities_stay_inside_whatever_the_parts_say() -> None:
    assert 0.0 < joined_probability(0.0, -1e9, 0.7, 1.0, 0.0) < 1e-5
    assert 1.0 - 1e-5 < joined_probability(1.0, 1e9, 0.7, 1.0, 0.0) < 1.0
