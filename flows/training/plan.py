"""From settings to the plain objects that research works with.

Decides which setting becomes which argument, and the keys of studies and models. Never computes and
never reads the environment. Rule: research never sees a settings object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from executor.core.params import Tuning
from features.costs import Costs
from features.signals import SignalParams
from flows.ledger import Ledger
from flows.research.market import Dataset
from flows.research.models import Machine
from flows.research.objective import Trial
from flows.research.recipe import BarrierParams, ModelParams, Recipe
from flows.research.space import Dimension, search_space
from flows.research.training import cuts
from flows.research.tuned import POINTS, REACH
from flows.research.verdict import GateLimits
from flows.settings import Settings
from flows.training.catalog import training_catalog
from flows.training.shelf import Shelf, code_version, key_of, load_dataset
from flows.training.spill import GIB, Spill


def base_recipe(settings: Settings) -> Recipe:
    """Return the recipe that a search starts from."""
    return Recipe(
        signal=SignalParams(**settings.signal.model_dump()),
        barriers=BarrierParams(**settings.labels.model_dump()),
        model=ModelParams(ensemble_weight=settings.model.ensemble_weight),
        costs=Costs(**settings.costs.model_dump()),
    )


def trial_terms(settings: Settings, dataset: Dataset) -> Trial:
    """Return how trials on this dataset are judged."""
    borders, search = cuts(dataset), settings.search
    return Trial(
        first_ms=borders.first_ms,
        test_ms=borders.test_ms,
        last_ms=borders.last_ms,
        folds=search.folds,
        embargo_hours=search.embargo_hours,
        stability_penalty=search.stability_penalty,
        trades_min=search.trades_min,
        seed=settings.model.seed,
    )


def machine(settings: Settings) -> Machine:
    """Return what may be used to compute."""
    return Machine(threads=settings.model.threads, device=settings.model.device)


def gate_limits(settings: Settings) -> GateLimits:
    """Return what a model must show."""
    return GateLimits(seed=settings.model.seed, **settings.gate.model_dump())


def shelf(settings: Settings) -> Shelf:
    """Return where results lie."""
    return Shelf(datasets=settings.paths.datasets, models=settings.paths.reports / "models")


def space_of(settings: Settings, base: Recipe) -> tuple[Dimension, ...]:
    """Return the space that is searched around a recipe."""
    return search_space(base, rules=settings.search.rules)


def stored_dataset(settings: Settings, key: str) -> tuple[Dataset, dict[str, Any]]:
    """Return a dataset that the dataset flow wrote, and the facts saved with it."""
    room = Spill(path=settings.paths.datasets / "spill", bytes_max=settings.model.memory_gib * GIB)
    return load_dataset(shelf(settings).dataset(key), training_catalog(settings), room)


def study_url(settings: Settings) -> str:
    """Return where studies are kept: Redis, or a journal file where there is none."""
    return settings.services.redis_url or str(settings.paths.reports / "studies.journal")


def study_key(
    dataset_key: str,
    base: Recipe,
    space: tuple[Dimension, ...],
    trial: Trial,
    *,
    sampler: str,
    used: Machine,
    warm: Sequence[Mapping[str, float]] = (),
) -> str:
    """Return the name of the study that all of this belongs to."""
    return key_of(
        {
            "dataset": dataset_key,
            "recipe": base.as_dict(),
            "space": [asdict(d) for d in space],
            "trial": asdict(trial),
            "sampler": sampler,
            "machine": asdict(used),
            "warm": [dict(point) for point in warm],
            "code": code_version(),
        }
    )


def space_key(space: tuple[Dimension, ...]) -> str:
    """Return the key of a space: a point of it means the same wherever the key is the same."""
    return key_of({"space": [asdict(d) for d in space]})


def recipe_key(settings: Settings, feature_schema: str) -> str:
    """Return the key of what the gate proves once: schema, mode, space, exit plan, tuning, market.

    The market is where candles come from, their interval, and the name that [data] gives it: what
    was proven on one (a simulated one, say) is an attempt like any other on the next.
    """
    base, venue, data = base_recipe(settings), settings.venue, settings.data
    return key_of(
        {
            "market": [venue.id, venue.url or "", data.interval, data.market],
            "schema": feature_schema,
            "mode": settings.model.mode,
            "space": [asdict(d) for d in space_of(settings, base)],
            "rule": base.signal.rule,
            "exit_plan": asdict(base.exit_plan),
            "tuning": {**asdict(Tuning()), "reach": REACH, "points": POINTS},
        }
    )


def ledger(settings: Settings) -> Ledger:
    """Return the ledger of the gate's uses."""
    return Ledger(settings.paths.ledger)


def model_key(study: str, point: Mapping[str, float], sobol: int) -> str:
    """Return the key of a model: its study and the point that was chosen."""
    return key_of({"study": study, "point": dict(point), "sobol": sobol})
