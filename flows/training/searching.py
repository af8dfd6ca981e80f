"""One worker of a search: what it needs, and the loop it runs.

Decides how a study on a stored dataset is set up, the same for the flow and for the helpers that
run beside it (``python -m flows.training.searching DATASET_KEY TOTAL``). Never chooses a point:
``study`` does. Rule: helpers share nothing with the flow but the study's journal, so one that
dies loses its running trial and nothing else.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import optuna

from features.errors import InputError
from flows.research.objective import TrialResult, evaluate
from flows.research.recipe import Recipe
from flows.research.space import Dimension, sobol_points, start_point
from flows.settings import Settings, load_settings
from flows.settings_source import process_environment
from flows.system.processes import Program, spawn
from flows.training import study
from flows.training.plan import (
    base_recipe,
    machine,
    shelf,
    space_key,
    space_of,
    stored_dataset,
    study_key,
    study_url,
    trial_terms,
)
from flows.training.shelf import Shelf

ROUNDS_MAX = 5
LAST_TRIAL_S = 1800.0
OnTrial = Callable[[study.TrialRecord], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A study and all that a worker needs to go on with it."""

    name: str
    found: optuna.Study
    space: tuple[Dimension, ...]
    points: Sequence[tuple[str, Sequence[Mapping[str, float]]]]
    evaluate: Callable[[Mapping[str, float]], TrialResult]
    total: int
    seed: int
    score_days: int

    def work(self, on_trial: OnTrial) -> None:
        """Run trials until the study holds as many as wanted, other workers' included."""
        for origin, points in self.points:
            study.prepare(self.found, self.space, points, origin)
        study.run_trials(
            self.found,
            self.space,
            self.evaluate,
            total=self.total,
            seed=self.seed,
            on_trial=on_trial,
        )

    @property
    def is_done(self) -> bool:
        """Whether as many trials as wanted have ended."""
        return len(study.records(self.found)) >= self.total


def make_job(settings: Settings, dataset_key: str, total: int, start: Recipe | None = None) -> Job:
    """Return the job of searching on a stored dataset, around ``start`` or the settings' recipe.

    Around a given start nothing adapts: but for itself all points are drawn before.
    """
    data, facts = stored_dataset(settings, dataset_key)
    base, terms = start or base_recipe(settings), trial_terms(settings, data)
    space, sampler = space_of(settings, base), settings.search.sampler
    used = machine(settings)
    warm: list[dict[str, float]] = []
    sobol = total - 1
    if start is None:
        warm = warm_points(shelf(settings), space, facts["end_ms"], settings.search.warm_trials)
        sobol = min(settings.search.sobol_trials, total * 2 // 3)
    name = study_key(dataset_key, base, space, terms, sampler=sampler, used=used, warm=warm)
    return Job(
        name=name,
        found=study.open_study(study_url(settings), name, sampler),
        space=space,
        points=(
            (study.START, [start_point(space)]),
            (study.WARM, warm),
            (study.SOBOL, sobol_points(space, sobol, terms.seed)),
        ),
        evaluate=partial(evaluate, base=base, dataset=data, trial=terms, machine=used),
        total=total,
        seed=terms.seed,
        score_days=terms.score_days,
    )


def warm_points(
    books: Shelf, space: tuple[Dimension, ...], end_ms: int, most: int
) -> list[dict[str, float]]:
    """Return the points that became models of data that ended before, of the newest first.

    Of the same data none is taken: the same search finds the same again, however often it is run.
    """
    found = [
        draft
        for draft in books.drafts()
        if draft.get("space") == space_key(space) and draft["end_ms"] < end_ms
    ]
    found.sort(key=lambda draft: (-draft["end_ms"], str(draft["study"])))
    points: list[dict[str, float]] = []
    for draft in found:
        if draft["point"] not in points:
            points.append(draft["point"])
    return points[:most]


def run_job(settings: Settings, dataset_key: str, job: Job, on_trial: OnTrial) -> None:
    """Run a job, with helpers beside where ``search.workers`` asks for them.

    Raises
    ------
    InputError
        Where helpers keep dying; the line names their log.
    """
    for _ in range(ROUNDS_MAX):
        helpers = _helpers(settings, dataset_key, job.total)
        try:
            job.work(on_trial)
            for helper in helpers:
                helper.wait(LAST_TRIAL_S)
        finally:
            for helper in helpers:
                helper.stop()
        if job.is_done:
            return
    raise InputError(f"the search's helpers keep ending early; see {settings.paths.logs}")


def main(arguments: Sequence[str]) -> None:
    """Help with a search until it is done."""
    dataset_key, total = arguments
    make_job(load_settings(), dataset_key, int(total)).work(lambda _: None)


def _helpers(settings: Settings, dataset_key: str, total: int) -> list[Program]:
    """Start one helper less than there are workers: the flow itself is one."""
    command = [sys.executable, "-m", "flows.training.searching", dataset_key, str(total)]
    return [
        spawn(
            f"search-{dataset_key[:8]}-{number}",
            command,
            environment=process_environment(),
            logs=settings.paths.logs,
            run=settings.paths.run,
        )
        for number in range(1, settings.search.workers)
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
