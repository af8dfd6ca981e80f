"""The search's memory: an Optuna study on a journal that outlives every process.

Decides which point is tried next (the written recipe, warm points, Sobol points, then TPE or
NSGA-II) and keeps what each trial gave, its daily series included. Never evaluates and never
forgets: a trial that found nothing to trade is a trial, and the gate counts it. Rule: a study's
name is the key of all that its results depend on: a changed input starts a study of its own.
"""

import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import optuna
import psutil
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalRedisBackend
from optuna.trial import FrozenTrial, TrialState
from redis.exceptions import RedisError

from features.errors import InputError
from flows.research.choice import chosen_trial
from flows.research.objective import TrialResult
from flows.research.space import Dimension

PREFIX = "tribar:study"
STARTUP_TRIALS = 8
START, WARM, SOBOL = "start", "warm", "sobol"
TPE, NSGA2 = "tpe", "nsga2"
# What NSGA-II weighs against each other: more return, less drawdown, less turnover.
AIMS: Final[tuple[tuple[str, Literal["maximize", "minimize"]], ...]] = (
    ("return_total", "maximize"),
    ("max_drawdown", "minimize"),
    ("turnover", "minimize"),
)
POPULATION = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialRecord:
    """One ended trial: where its point came from, the point, and what it gave."""

    number: int
    origin: str
    point: dict[str, float]
    result: TrialResult

    @property
    def is_sobol(self) -> bool:
        """Whether the point was drawn before anything was known."""
        return self.origin.startswith(SOBOL)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        about = {"number": self.number, "sobol": self.is_sobol, "point": self.point}
        return {**about, **self.result.as_dict()}


def open_study(url: str | None, name: str, sampler: str = TPE) -> optuna.Study:
    """Return the study ``name``, made where it does not exist.

    Parameters
    ----------
    url
        ``redis://…``, a path of a journal file, or None for a study that lives in memory only.
    sampler
        ``tpe`` looks for the highest score; ``nsga2`` for the best return, drawdown and turnover.

    Raises
    ------
    InputError
        Where Redis does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _quiet(), _reachable(url):
        return optuna.create_study(
            storage=_storage(url, name),
            study_name=name,
            directions=["maximize"] if sampler == TPE else [way for _, way in AIMS],
            load_if_exists=True,
        )


def prepare(
    study: optuna.Study,
    space: Sequence[Dimension],
    points: Sequence[Mapping[str, float]],
    origin: str,
) -> None:
    """Queue ``points`` that the study has not seen, and close trials whose process has died.

    Safe to call by every worker at every start: a point waiting, running or ended is not queued
    again, and one lost with its process is.
    """
    alive: set[str] = set()
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.RUNNING and _owner_died(trial):
            study.tell(trial.number, state=TrialState.FAIL)
        elif trial.state != TrialState.FAIL:
            alive.add(str(trial.user_attrs.get("origin", "")))
    for number, point in enumerate(points):
        name = f"{origin}-{number}"
        if name not in alive:
            units = {d.name: d.unit(point[d.name]) for d in space}
            study.enqueue_trial(units, user_attrs={"origin": name})


def run_trials(
    study: optuna.Study,
    space: Sequence[Dimension],
    evaluate: Callable[[Mapping[str, float]], TrialResult],
    *,
    total: int,
    seed: int,
    on_trial: Callable[[TrialRecord], None],
) -> None:
    """Run trials until the study holds ``total`` ended ones, other workers' included.

    The sampler is seeded anew for each trial by the number of trials before it, so one worker
    tries the same points however often it was stopped and started, and two workers do not try the
    same one. It draws units in [0, 1] (:meth:`Dimension.at`), so that what it tries at random is
    around the start, as the pre-drawn points are; Optuna's own pages show units.
    """
    distributions: dict[str, BaseDistribution] = {
        d.name: FloatDistribution(0.0, 1.0) for d in space
    }
    while True:
        trials = study.get_trials(deepcopy=False)
        begun = sum(t.state in {TrialState.COMPLETE, TrialState.RUNNING} for t in trials)
        if begun >= total:
            return
        study.sampler = _sampler(study, seed + begun)
        with _quiet():
            trial = study.ask(distributions)
        trial.set_user_attr("owner", _owner())
        point = {d.name: d.at(trial.params[d.name]) for d in space}
        trial.set_user_attr("point", point)
        result = evaluate(point)
        trial.set_user_attr("result", result.as_dict())
        if len(study.directions) > 1:
            trial.set_constraint("trades short", result.trades_short)
        study.tell(trial, _values(study, result))
        on_trial(_record(study.get_trials(deepcopy=False)[trial.number]))


def records(study: optuna.Study) -> list[TrialRecord]:
    """Return all ended trials in order of their numbers."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [_record(trial) for trial in trials]


def chosen(study: optuna.Study, space: Sequence[Dimension], score_days: int) -> TrialRecord:
    """Return the trial that becomes the model, by ``flows.research.choice``.

    Under NSGA-II only those are asked that no other trial beats in every aim.

    Raises
    ------
    InputError
        Where no trial has ended.
    """
    found = records(study)
    if not found:
        raise InputError(f"study {study.study_name} has no ended trial; run search first")
    if len(study.directions) > 1:
        front = {trial.number for trial in study.best_trials}
        found = [record for record in found if record.number in front] or found
    return chosen_trial(found, space, score_days)


def started(study: optuna.Study) -> TrialRecord:
    """Return the trial at the point that the search began with."""
    return next(record for record in records(study) if record.origin.startswith(START))


def _sampler(study: optuna.Study, seed: int) -> BaseSampler:
    """Return the sampler of a study.

    Trials with too few trades are no solutions for NSGA-II: nothing beats them in drawdown.
    """
    if len(study.directions) == 1:
        return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    return NSGAIISampler(population_size=POPULATION, seed=seed)


def _values(study: optuna.Study, result: TrialResult) -> list[float]:
    """Return what the sampler sees of a result."""
    if len(study.directions) == 1:
        return [result.score]
    return [float(result.metrics.get(name, 0.0)) for name, _ in AIMS]


def _record(trial: FrozenTrial) -> TrialRecord:
    return TrialRecord(
        number=trial.number,
        origin=str(trial.user_attrs.get("origin", "adaptive")),
        point={name: float(value) for name, value in trial.user_attrs["point"].items()},
        result=TrialResult.from_dict(trial.user_attrs["result"]),
    )


def _storage(url: str | None, name: str) -> InMemoryStorage | JournalStorage:
    if url is None:
        return InMemoryStorage()
    if url.startswith(("redis://", "rediss://", "unix://")):
        # A journal a study: a worker replays its own study only.
        return JournalStorage(JournalRedisBackend(url, prefix=f"{PREFIX}:{name}"))
    Path(url).parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(url))


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _owner_died(trial: FrozenTrial) -> bool:
    """Say whether the trial's process ran on this machine and is gone."""
    host, _, pid = str(trial.user_attrs.get("owner", "")).rpartition(":")
    return host == socket.gethostname() and not psutil.pid_exists(int(pid))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Optuna's notes that the journal and queued attributes are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


@contextmanager
def _reachable(url: str | None) -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise InputError(
            f"the search's journal at {url} does not answer ({error}); start it (tribar up) "
            "and run again: ended trials are kept"
        ) from None
