"""The loops in which kernels run over a block of bars.

Decides nothing: a loop per number of inputs, because compiled code has no star-arguments. Never
compiled here (``batch`` does). Rule: where an input is NaN the kernel does not run, its state
stays and its values are NaN, exactly as in ``features.stream``.
"""

import math
from collections.abc import Callable
from typing import Any, Final

Update = Callable[..., tuple[Any, Any]]
# loop(state, n, out, *columns) -> state, or loop(state, ring, n, out, *columns) -> state
Loop = Callable[..., Any]

INPUTS_MAX: Final = 4


def one_valued(update: Update, inputs: int) -> Loop:
    """Return the loop of a kernel that gives one value."""

    def one(state: Any, n: int, out: Any, a: Any) -> Any:
        for i in range(n):
            if a[i] != a[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, a[i])
        return state

    def two(state: Any, n: int, out: Any, a: Any, b: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, a[i], b[i])
        return state

    def three(state: Any, n: int, out: Any, a: Any, b: Any, c: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, a[i], b[i], c[i])
        return state

    def four(state: Any, n: int, out: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i] or d[i] != d[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, a[i], b[i], c[i], d[i])
        return state

    return (one, two, three, four)[inputs - 1]


def one_valued_ringed(update: Update, inputs: int) -> Loop:
    """Return the loop of a kernel that gives one value and keeps a ring."""

    def one(state: Any, ring: Any, n: int, out: Any, a: Any) -> Any:
        for i in range(n):
            if a[i] != a[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, ring, a[i])
        return state

    def two(state: Any, ring: Any, n: int, out: Any, a: Any, b: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, ring, a[i], b[i])
        return state

    def three(state: Any, ring: Any, n: int, out: Any, a: Any, b: Any, c: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, ring, a[i], b[i], c[i])
        return state

    def four(state: Any, ring: Any, n: int, out: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i] or d[i] != d[i]:
                out[0, i] = math.nan
                continue
            state, out[0, i] = update(state, ring, a[i], b[i], c[i], d[i])
        return state

    return (one, two, three, four)[inputs - 1]


def many_valued(update: Update, inputs: int) -> Loop:
    """Return the loop of a kernel that gives several values."""

    def one(state: Any, n: int, out: Any, a: Any) -> Any:
        for i in range(n):
            if a[i] != a[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, a[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    def two(state: Any, n: int, out: Any, a: Any, b: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, a[i], b[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    def three(state: Any, n: int, out: Any, a: Any, b: Any, c: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, a[i], b[i], c[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    def four(state: Any, n: int, out: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i] or d[i] != d[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, a[i], b[i], c[i], d[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    return (one, two, three, four)[inputs - 1]


def many_valued_ringed(update: Update, inputs: int) -> Loop:
    """Return the loop of a kernel that gives several values and keeps a ring."""

    def one(state: Any, ring: Any, n: int, out: Any, a: Any) -> Any:
        for i in range(n):
            if a[i] != a[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, ring, a[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    def two(state: Any, ring: Any, n: int, out: Any, a: Any, b: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, ring, a[i], b[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    def three(state: Any, ring: Any, n: int, out: Any, a: Any, b: Any, c: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, ring, a[i], b[i], c[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    def four(state: Any, ring: Any, n: int, out: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        for i in range(n):
            if a[i] != a[i] or b[i] != b[i] or c[i] != c[i] or d[i] != d[i]:
                out[:, i] = math.nan
                continue
            state, values = update(state, ring, a[i], b[i], c[i], d[i])
            for j in range(len(values)):
                out[j, i] = values[j]
        return state

    return (one, two, three, four)[inputs - 1]
