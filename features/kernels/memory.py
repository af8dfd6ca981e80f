"""Fractional differentiation: a series made stationary that still remembers its level.

Decides the weights of (1 - B)^d over a fixed window. Never carries a weight sum that would let the
price level through. Rule: kernels as in ``moving``.
"""

import math

Fractional = tuple[int, int, int, list[float], list[float]]  # width, held, slot, weights, ring


def fractional_weights(order: float, width: int) -> list[float]:
    """Return the first ``width`` weights of (1 - B)^order: w_0 = 1, w_k = -w_{k-1}·(d-k+1)/k.

    Source: Hosking 1981; López de Prado 2018, equation 5.3.
    """
    weights = [1.0]
    for k in range(1, width):
        weights.append(-weights[-1] * (order - k + 1) / k)
    return weights


def fractional_difference_start(order: float, width: int) -> Fractional:
    """Return the state of :func:`fractional_difference` before its first value."""
    return (width, 0, 0, fractional_weights(order, width), [0.0] * width)


def fractional_difference(state: Fractional, x: float) -> tuple[Fractional, float]:
    """Fixed-width fractional difference Σ w_k·x_{t-k}; unit of x; NaN for the first width-1."""
    width, held, slot, weights, ring = state
    ring[slot] = x
    held = held if held == width else held + 1
    total = 0.0
    at = slot
    for k in range(held):
        total += weights[k] * ring[at]
        at = at - 1 if at > 0 else width - 1
    slot = slot + 1 if slot + 1 < width else 0
    return (width, held, slot, weights, ring), total if held == width else math.nan


def fractional_log_start(order: float, width: int) -> tuple[float, Fractional]:
    """Return the state of :func:`fractional_log` before its first close."""
    state = fractional_difference_start(order, width)
    return math.fsum(state[3]), state


def fractional_log(
    state: tuple[float, Fractional], close: float
) -> tuple[tuple[float, Fractional], float]:
    """Fractional difference of the log price, measured from the oldest price of the window.

    The truncated weights do not add up to 0, so the level would show through: log(x_t / oldest)
    has none. Unit: log price; NaN for the first width-1 bars.
    """
    whole, difference = state
    difference, value = fractional_difference(difference, math.log(close))
    oldest = difference[4][difference[2]]
    return (whole, difference), value - whole * oldest
