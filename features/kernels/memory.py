"""Fractional differentiation: a series made stationary that still remembers its level.

Decides the weights of (1 - B)^d over a fixed window. Never carries a weight sum that would let the
price level through. Rule: kernels as in ``moving``.
"""

import math

Fractional = tuple[int, int, int]  # width, values held, next slot
Ring = list[float]  # weights, the oldest value's first, then the values, twice


def fractional_weights(order: float, width: int) -> list[float]:
    """Return the first ``width`` weights of (1 - B)^order: w_0 = 1, w_k = -w_{k-1}·(d-k+1)/k.

    Source: Hosking 1981; López de Prado 2018, equation 5.3.
    """
    weights = [1.0]
    for k in range(1, width):
        weights.append(-weights[-1] * (order - k + 1) / k)
    return weights


def fractional_difference_start(order: float, width: int) -> tuple[Fractional, Ring]:
    """Return state and ring of :func:`fractional_difference` before its first value.

    Every value is kept at two slots, ``width`` apart, so that the last ``width`` lie in a row.
    """
    return (width, 0, 0), fractional_weights(order, width)[::-1] + [0.0] * (2 * width)


def fractional_difference(state: Fractional, ring: Ring, x: float) -> tuple[Fractional, float]:
    """Fixed-width fractional difference Σ w_k·x_{t-k}; unit of x; NaN for the first width-1.

    Added up in four strands, which compiled code works on at once.
    """
    width, held, slot = state
    ring[width + slot] = x
    ring[width + width + slot] = x
    slot += 1
    at = width + slot
    held = held if held == width else held + 1
    a = b = c = d = 0.0
    whole = width // 4 * 4
    for k in range(0, whole, 4):
        a += ring[k] * ring[at + k]
        b += ring[k + 1] * ring[at + k + 1]
        c += ring[k + 2] * ring[at + k + 2]
        d += ring[k + 3] * ring[at + k + 3]
    for k in range(whole, width):
        a += ring[k] * ring[at + k]
    state = (width, held, slot if slot < width else 0)
    return state, (a + b) + (c + d) if held == width else math.nan


def fractional_log_start(order: float, width: int) -> tuple[tuple[float, Fractional], Ring]:
    """Return state and ring of :func:`fractional_log` before its first close."""
    state, ring = fractional_difference_start(order, width)
    return (math.fsum(ring[:width]), state), ring


def fractional_log(
    state: tuple[float, Fractional], ring: Ring, close: float
) -> tuple[tuple[float, Fractional], float]:
    """Fractional difference of the log price, measured from the oldest price of the window.

    The truncated weights do not add up to 0, so the level would show through: log(x_t / oldest)
    has none. Unit: log price; NaN for the first width-1 bars.
    """
    whole, difference = state
    difference, value = fractional_difference(difference, ring, math.log(close))
    return (whole, difference), value - whole * ring[difference[0] + difference[2]]
