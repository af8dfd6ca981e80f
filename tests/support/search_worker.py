"""One worker of a made-up search, to be killed: ``python -m … URL STUDY TOTAL``.

Says "begun" at every trial, which then takes 0.3 s.
"""

import sys
import time

from flows.research.objective import TrialResult
from flows.research.recipe import Recipe
from flows.research.space import search_space, sobol_points
from flows.training import study

SPACE = search_space(Recipe())
POINTS = sobol_points(SPACE, 4, 1)


def judge(point):
    """Return a score that depends on nothing but the point."""
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    time.sleep(0.3)
    kappa = point["model.kappa"]
    return TrialResult(
        score=kappa, fold_sharpes=(kappa,), trades=9, events=9, metrics={}, daily=(kappa,)
    )


if __name__ == "__main__":
    url, name, total = sys.argv[1:]
    found = study.open_study(url, name)
    study.prepare(found, SPACE, POINTS, study.SOBOL)
    study.run_trials(found, SPACE, judge, total=int(total), seed=5, on_trial=lambda _: None)
