"""What the model sees besides the features: the signal and the symbol."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.meta import ENCODINGS, META_NAMES, model_matrix, model_names, model_row
from features.signals import Signal
from features.signals_batch import Signals

SYMBOLS = ("ADAUSDT", "BTCUSDT", "ETHUSDT")
FEATURES = ("rsi_14", "atr_14")


def signals_of(rng: np.random.Generator, n: int) -> Signals:
    return Signals(
        side=rng.integers(-1, 2, n).astype(np.int8),
        score=rng.normal(size=n),
        confidence=rng.random(n),
        rule=rng.integers(0, 5, n).astype(np.int8),
    )


@given(seed=st.integers(0, 2**32 - 1), encoding=st.sampled_from(ENCODINGS))
@settings(max_examples=30, deadline=None)
def test_rows_of_trading_are_the_rows_of_training(seed: int, encoding: str) -> None:
    rng = np.random.default_rng(seed)
    matrix, signals = rng.normal(size=(7, 2)), signals_of(rng, 7)
    for symbol in SYMBOLS:
        many = model_matrix(matrix, signals, symbol, SYMBOLS, encoding)
        assert many.shape == (7, len(model_names(FEATURES, SYMBOLS, encoding)))
        for i in range(7):
            one = Signal(
                side=int(signals.side[i]),
                score=float(signals.score[i]),
                confidence=float(signals.confidence[i]),
                rule=int(signals.rule[i]),
            )
            row = model_row(matrix[i], one, symbol, SYMBOLS, encoding)
            np.testing.assert_array_equal(row, many[i])


def test_columns_by_name() -> None:
    signal = Signal(side=-1, score=-0.02, confidence=0.75, rule=3)
    row = np.array([55.0, 0.01])
    expected = {"rsi_14": 55.0, "atr_14": 0.01}
    expected |= dict(zip(META_NAMES, (-1.0, -0.02, 0.75, 3.0), strict=True))
    for encoding, code in {
        "none": {},
        "index": {"symbol_index": 1.0},
        "one_hot": {"symbol_ADAUSDT": 0.0, "symbol_BTCUSDT": 1.0, "symbol_ETHUSDT": 0.0},
    }.items():
        names = model_names(FEATURES, SYMBOLS, encoding)
        found = model_row(row, signal, "BTCUSDT", SYMBOLS, encoding)
        assert dict(zip(names, found.tolist(), strict=True)) == expected | code


def test_unknown_symbols_and_encodings_are_refused_with_the_nearest() -> None:
    signal = Signal(side=1, score=0.1, confidence=1.0, rule=1)
    with pytest.raises(InputError, match="'BTCUSD'; did you mean 'BTCUSDT'"):
        model_row(np.zeros(2), signal, "BTCUSD", SYMBOLS, "one_hot")
    with pytest.raises(InputError, match="encoding 'onehot'; did you mean 'one_hot'"):
        model_names(FEATURES, SYMBOLS, "onehot")
    with pytest.raises(InputError, match="encoding 'indx'; did you mean 'index'"):
        model_row(np.zeros(2), signal, "BTCUSDT", SYMBOLS, "indx")
