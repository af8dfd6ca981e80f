"""What the executor's core would have done with a model, and what to expect of it live.

Decides the length of the band that monitoring compares with. Never trains and never judges. Rule:
the files that would be shipped are unpacked and asked, not the objects they were made from.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from executor.core.bundle import unpack
from executor.core.params import LearnedRegime, Params, Tuning
from flows.research.band import expected_band
from flows.research.evidence import finite
from flows.research.market import Dataset
from flows.research.portfolio_figures import compared_figures, dearer
from flows.research.simulate import foresee, instruments, simulate

BAND_DAYS, BAND_DRAWS, BAND_BLOCK_DAYS = 90, 4000, 5.0
DAYS_MIN = 10
COST_FACTORS = (1.0, 2.0, 3.0)


def rehearse(
    files: Mapping[str, bytes], data: Dataset, start_ms: int, stop_ms: int, seed: int
) -> dict[str, Any]:
    """Return the account's history from ``start_ms`` to ``stop_ms`` in plain values.

    ``band`` holds the fan of equity in the days ahead, empty where the history is too short;
    ``stress`` the figures at costs ×1, ×2 and ×3 of the rules alone, without what tunes or learns.
    """
    model = unpack(files)
    params = Params(
        interval_ms=data.interval_ms,
        instruments=instruments(data.markets),
        costs=model.info.costs,
    )
    ahead = foresee(model, data.markets, data.catalog, start_ms, stop_ms)
    done = simulate(ahead, data.markets, params, start_ms=start_ms, stop_ms=stop_ms)
    band: dict[str, list[float]] = {}
    if done.daily.size >= DAYS_MIN:
        band = expected_band(
            done.daily,
            days=BAND_DAYS,
            draws=BAND_DRAWS,
            block_mean=BAND_BLOCK_DAYS,
            rng=np.random.default_rng(seed),
        ).as_dict()
    rules = replace(
        params, tuning=Tuning(enabled=False), learned_regime=LearnedRegime(enabled=False)
    )
    stress = {
        f"costs ×{factor:g}": finite(
            compared_figures(
                ahead, data.markets, dearer(rules, factor), start_ms=start_ms, stop_ms=stop_ms
            )
        )
        for factor in COST_FACTORS
    }
    return {**done.as_dict(), "band": band, "stress": stress}
