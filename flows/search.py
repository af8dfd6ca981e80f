"""Flow: tries points of the search space and keeps what each gave.

Wires only: the space, the points and the score are ``flows.research``'s, the memory is
``flows.study``'s. Killed and started again, it goes on where it was.
"""

from collections.abc import Mapping
from typing import Any

from prefect import flow

from flows import study
from flows.live_catalog import live_catalog
from flows.pages import image_page
from flows.plan import base_recipe, machine, shelf, study_key, study_url, trial_terms
from flows.research.figures import search_figure
from flows.research.objective import TrialResult, evaluate
from flows.research.space import search_space, sobol_points
from flows.research.verdict import best_trial
from flows.settings import load_settings
from flows.shelf import load_dataset
from flows.showing import Progress, run_log, show_page


@flow(name="search")
def search(dataset_key: str, trials: int | None = None) -> dict[str, Any]:
    """Run trials until the study holds as many as wanted.

    Returns
    -------
    dict
        ``study``, ``trials``, ``best`` {number, score, point}, ``dataset_key``.
    """
    settings = load_settings()
    log = run_log()
    data, _ = load_dataset(shelf(settings).dataset(dataset_key), live_catalog())
    base, terms = base_recipe(settings), trial_terms(settings, data)
    space = search_space(base)
    total = trials or settings.search.trials
    name = study_key(dataset_key, base, space, terms)
    found = study.open_study(study_url(settings), name)
    sobol = min(settings.search.sobol_trials, total)
    study.prepare(found, sobol_points(space, sobol, terms.seed), "sobol")
    progress = Progress("search", f"study {name}")

    def judged(point: Mapping[str, float]) -> TrialResult:
        return evaluate(point, base, data, terms, machine(settings))

    def tell(record: study.TrialRecord) -> None:
        ended = len(study.records(found))
        result = record.result
        log.info(
            "trial %d of %d: score %.2f, %d trades%s",
            ended,
            total,
            result.score,
            result.trades,
            f" ({result.reason})" if result.reason else "",
        )
        progress.set(ended, total)

    study.run_trials(found, space, judged, total=total, seed=terms.seed, on_trial=tell)
    records = study.records(found)
    best = records[best_trial([r.result.score for r in records])]
    plot = search_figure([r.result.score for r in records], [r.is_sobol for r in records])
    show_page("search-plot", image_page("Search", plot), name)
    return {
        "study": name,
        "dataset_key": dataset_key,
        "trials": len(records),
        "best": {"number": best.number, "score": best.result.score, "point": best.point},
    }
