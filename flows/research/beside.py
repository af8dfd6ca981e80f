"""What is reported of a finished model and decides nothing.

Decides what is made and that a part which cannot be made is absent, with the reason said. Never
changes the model. Rule: none of it looks at the test part.
"""

from collections.abc import Callable
from typing import Any

from features.errors import InputError
from flows.research.market import Dataset
from flows.research.models import Machine
from flows.research.objective import Trial
from flows.research.paths import combinatorial_paths
from flows.research.stability import stable_features
from flows.research.training import Trained


def beside(
    dataset: Dataset,
    trained: Trained,
    trial: Trial,
    machine: Machine,
    *,
    paths: bool,
    pairs: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Return ``paths`` and ``stability`` in plain values, where asked for and where possible.

    Parameters
    ----------
    paths
        Whether combinatorial paths are made.
    pairs
        Pairs of halves for the stability of features; 0 for none.
    """
    makers: dict[str, Callable[[], dict[str, Any]]] = {}
    if paths:
        makers["paths"] = lambda: combinatorial_paths(
            dataset, trained.samples, trained.recipe, trial, machine
        ).as_dict()
    if pairs:
        makers["stability"] = lambda: stable_features(
            trained.samples,
            trained.known,
            trained.recipe,
            rounds=trained.rounds,
            pairs=pairs,
            seed=trial.seed,
            machine=machine,
        ).as_dict()
    found: dict[str, Any] = {}
    for name, make in makers.items():
        tell(f"{name} of the chosen point")
        try:
            found[name] = make()
        except InputError as error:
            tell(f"no {name}: {error}")
    return found
