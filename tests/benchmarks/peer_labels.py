"""Labels by the peers: ``python peer_labels.py NAME BARS.npz REPS``, in the peers' environment.

Every bar an event, 2 % and 1 %, 1440 bars, as in our case; what each peer leaves out (highs and
lows, sides, exit index, costs) is to its advantage.
"""

import sys
from importlib import import_module

import numpy as np
from measure import cpu_seconds, report, versions

HORIZON = 1_440
EVENTS_MLFINPY = 2_000


def vectorbt(bars, reps: int) -> None:
    labeler = import_module("vectorbt.labels.nb").breakout_labels_nb
    close = np.ascontiguousarray(bars["close"][:, None])
    seconds = cpu_seconds(lambda: labeler(close, HORIZON, 0.02, 0.01), reps)
    report("vectorbt", seconds, units=close.size, reps=reps, versions=versions("vectorbt", "numba"))


def pymlfinance(bars, reps: int) -> None:
    ml = import_module("pymlfinance")
    close = bars["close"]
    config = ml.TripleBarrierConfig(2.0, 1.0, HORIZON)
    events, volatility = list(range(close.size - 1)), np.full(close.size, 0.01)
    seconds = cpu_seconds(
        lambda: ml.labeling.get_events(close, events, config, volatility), min(reps, 2)
    )
    report("pymlfinance", seconds, units=len(events), reps=reps, versions=versions("pymlfinance"))


def mlfinpy(bars, reps: int) -> None:
    pd = import_module("pandas")
    labeling = import_module("mlfinpy.labeling.labeling")
    n = min(bars["close"].size, 100_000)
    index = pd.date_range("2024-01-01", periods=n, freq="min")
    close = pd.Series(bars["close"][:n], index)
    side = pd.Series(bars["side"][:n].astype(float), index)
    chosen = index[np.linspace(0, n - HORIZON - 60, EVENTS_MLFINPY).astype(int)]
    target = pd.Series(0.01, index)

    def work() -> object:
        limits = labeling.add_vertical_barrier(chosen, close, num_minutes=HORIZON)
        events = labeling.get_events(
            close, chosen, [2, 1], target, 0.0, 1, limits, side, verbose=False
        )
        return labeling.get_bins(events, close)

    seconds = cpu_seconds(work, 1)
    report("mlfinpy", seconds, units=EVENTS_MLFINPY, reps=1, versions=versions("mlfinpy", "pandas"))


if __name__ == "__main__":
    contender, path, count = sys.argv[1:4]
    contenders = {"vectorbt": vectorbt, "pymlfinance": pymlfinance, "mlfinpy": mlfinpy}
    contenders[contender](dict(np.load(path)), int(count))
