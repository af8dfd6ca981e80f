"""From a catalog to the steps that compute it.

Decides, per timeframe, which kernels run in what order and where their values lie. Never runs one.
Rule: ``batch`` and ``stream`` both follow this plan, so they cannot disagree on wiring; equal
nodes are one step.
"""

from dataclasses import dataclass
from typing import Any

from features.catalog import Catalog
from features.kernels.registry import KERNELS, Kernel
from features.node import BAR_COLUMNS, Feature, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Run a kernel on the slots ``inputs`` and put its values at ``output`` and after.

    ``guards`` are those inputs that may be NaN in their warm-up: then the kernel does not run, its
    state stays, and its values are NaN. ``reach`` is how many base bars back anything that it
    serves remembers: the largest lookback of its features.
    """

    kernel: Kernel
    parameters: tuple[int | float, ...]
    inputs: tuple[int, ...]
    guards: tuple[int, ...]
    output: int
    reach: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The steps of one timeframe; slots begin with the bar columns.

    ``columns`` and ``sources`` say which matrix column takes which slot.
    """

    timeframe: int
    steps: tuple[Step, ...]
    slots: int
    columns: tuple[int, ...]
    sources: tuple[int, ...]


def frames(catalog: Catalog) -> tuple[Frame, ...]:
    """Return the plan of a catalog, shortest timeframe first; the base one is always there."""
    timeframes = sorted({1, *(feature.timeframe for feature in catalog.features)})
    return tuple(
        _frame(k, [(i, f) for i, f in enumerate(catalog.features) if f.timeframe == k])
        for k in timeframes
    )


def _frame(timeframe: int, features: list[tuple[int, Feature]]) -> Frame:
    steps: list[Step] = []
    places: dict[tuple[object, ...], int] = {}
    reaches = _reaches(features)
    slots = len(BAR_COLUMNS)

    def slot(part: Node | str) -> int:
        nonlocal slots
        if isinstance(part, str):
            return BAR_COLUMNS.index(part)
        key = _key(part)
        if key not in places:
            inputs = tuple(slot(x) for x in part.inputs)
            kernel = KERNELS[part.kernel]
            places[key] = slots
            steps.append(
                Step(
                    kernel=kernel,
                    parameters=part.parameters,
                    inputs=inputs,
                    guards=tuple(x for x in inputs if x >= len(BAR_COLUMNS)),
                    output=slots,
                    reach=reaches[key],
                )
            )
            slots += kernel.outputs
        return places[key] + part.output

    sources = tuple(slot(feature.node) for _, feature in features)
    return Frame(
        timeframe=timeframe,
        steps=tuple(steps),
        slots=slots,
        columns=tuple(column for column, _ in features),
        sources=sources,
    )


def _key(node: Node) -> tuple[object, ...]:
    """Return what equal steps share: all of a node but which of the kernel's outputs it takes."""
    return node.kernel, node.inputs, node.parameters


def _reaches(features: list[tuple[int, Feature]]) -> dict[tuple[object, ...], int]:
    """Return the largest lookback of the features that each step serves."""
    found: dict[tuple[object, ...], int] = {}

    def note(part: Node | str, lookback: int) -> None:
        if not isinstance(part, str):
            found[_key(part)] = max(found.get(_key(part), 0), lookback)
            for one in part.inputs:
                note(one, lookback)

    for _, feature in features:
        note(feature.node, feature.lookback)
    return found


def begin(step: Step) -> tuple[Any, Any]:
    """Return a step's first state and its ring, None where its kernel keeps none."""
    started = step.kernel.start(*step.parameters)
    return started if step.kernel.ringed else (started, None)
