"""A registered model as MLflow serves it: a table of features in, probabilities out.

Run by MLflow when anyone calls ``mlflow.pyfunc.load_model("models:/tribar@champion")``; it travels
with the model beside ``features`` and ``executor.core`` and needs numpy, pandas and xgboost only.
Never used by the executor. Rule: it answers through ``executor.core.bundle``, as the executor does.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from executor.core.bundle import ModelBundle, unpack
from executor.core.model import Request
from features.errors import InputError
from features.signals import primary_signal
from features.suggest import unknown_name

SYMBOL = "symbol"
COLUMNS = ("side", "score", "confidence", "probability", "expected_net", "standard_error")


class Served:
    """Answers tables of ``symbol`` and the features by name."""

    def __init__(self, bundle: ModelBundle) -> None:
        self._bundle = bundle

    def predict(self, table: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one row a row: the primary signal, and the model's answer to it.

        Where there is no primary signal (``side`` 0) there is nothing to answer: NaN.

        Raises
        ------
        InputError
            Where a column is missing or a symbol was not trained.
        """
        del params  # MLflow passes them; this model has none
        info = self._bundle.info
        missing = [name for name in (SYMBOL, *info.feature_names) if name not in table.columns]
        if missing:
            raise InputError(
                f"column {missing[0]!r} is missing; the model needs {SYMBOL} and "
                f"{len(info.feature_names)} features"
            )
        rows = table[list(info.feature_names)].to_numpy(dtype=np.float64)
        columns = {name: place for place, name in enumerate(info.feature_names)}
        out = np.full((len(table), len(COLUMNS)), np.nan)
        asked: list[tuple[int, Request]] = []
        for place, symbol in enumerate(table[SYMBOL]):
            if symbol not in info.symbols:
                raise InputError(unknown_name("symbol", str(symbol), info.symbols))
            signal = primary_signal(rows[place], columns, info.signal)
            out[place, :3] = signal.side, signal.score, signal.confidence
            if signal.side:
                request = Request(symbol=symbol, close_ms=0, features=rows[place], signal=signal)
                asked.append((place, request))
        answers = self._bundle.predict_many([request for _, request in asked])
        for (place, _), answer in zip(asked, answers, strict=True):
            out[place, 3:] = answer.probability, answer.expected_net, answer.standard_error
        return pd.DataFrame(out, columns=list(COLUMNS), index=table.index)


def _load_pyfunc(path: str) -> Served:
    """Return the model in the bundle folder at ``path``; MLflow calls this by its name."""
    folder = Path(path)
    files = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
    return Served(unpack(files))
