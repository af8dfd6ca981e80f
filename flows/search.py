"""Flow: tries points of the search space and keeps what each gave.

Wires only: the space, the points and the score are ``flows.research``'s, the memory is
``flows.training.study``'s. Killed and started again, it goes on where it was.
"""

from typing import Any

from prefect import flow

from flows.research.figures import search_figure
from flows.settings import load_settings
from flows.shown.pages import image_page
from flows.shown.showing import Progress, run_log, show_page
from flows.training import study
from flows.training.joining import joined_recipe
from flows.training.searching import make_job, run_job


@flow(name="search")
def search(dataset_key: str, trials: int | None = None, joins: int | None = None) -> dict[str, Any]:
    """Run trials until the study holds as many as wanted.

    New symbols that join a version (``joins``) are tried at its recipe and at points drawn around
    it, and nothing adapts: the recipe is given, and the gate asks how it does among others.

    Returns
    -------
    dict
        ``study``, ``trials``, ``best`` {number, score, point}, ``dataset_key``.
    """
    settings = load_settings()
    log = run_log()
    if joins is None:
        total = trials or settings.search.trials
        job = make_job(settings, dataset_key, total)
    else:
        total = 1 + settings.search.sobol_trials
        job = make_job(settings, dataset_key, total, joined_recipe(settings, joins))
    progress = Progress("search", f"study {job.name}")

    def tell(record: study.TrialRecord) -> None:
        ended = len(study.records(job.found))
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

    if joins is None:
        run_job(settings, dataset_key, job, tell)
    else:
        job.work(tell)
    records = study.records(job.found)
    best = study.chosen(job.found, job.space, job.score_days)
    plot = search_figure([r.result.score for r in records], [r.is_sobol for r in records])
    show_page("search-plot", image_page("Search", plot), job.name)
    return {
        "study": job.name,
        "dataset_key": dataset_key,
        "trials": len(records),
        "best": {"number": best.number, "score": best.result.score, "point": best.point},
    }
