"""How the symbols of the compiled portfolio loop move together, as ``core.covariance`` has it.

Decides nothing: returns in, shrunk correlations and betas out. Never makes an array. Rule: sums run
from the oldest bar to the newest and in the order of symbols: the bits of the live core.
"""

import math

from features.types import FloatArray
from flows.research.portfolio_book import Sheet
from flows.research.portfolio_rules import (
    R_CORRELATION_BARS_MIN,
    R_CORRELATION_ROWS,
    R_SHRINKAGE,
    R_UNKNOWN_CORRELATION,
)
from flows.research.portfolio_tables import Memory, World


def move_together(g: int, world: World, memory: Memory) -> None:
    """Fill correlations and betas of the symbols held or asked for, as ``core.covariance``."""
    sheet, rules, names = world.sheet, world.rules, memory.names
    first, k = max(0, g + 1 - int(rules[R_CORRELATION_ROWS])), 0
    n = g - first
    for s in range(memory.held.size):
        if not memory.held[s]:
            continue
        if sheet.there[g, s] and sheet.volatility[g, s] > 0.0:
            memory.volatility[s] = sheet.volatility[g, s]
        names[k] = s
        memory.spread[k] = centre(k, s, first, n, sheet, memory)
        k += 1
    correlate(k, n, rules, memory)


def centre(k: int, s: int, first: int, n: int, sheet: Sheet, memory: Memory) -> float:
    """Lay out a symbol's centred returns, 0 where unknown; return the root of their squares."""
    count, total = 0, 0.0
    for i in range(n):
        value = sheet.price[s, first + i + 1] / sheet.price[s, first + i] - 1.0
        known = math.isfinite(value)
        memory.known[k, i] = known
        memory.centred[k, i] = value if known else 0.0
        if known:
            count += 1
            total += value
    mean, squares = total / max(count, 1), 0.0
    for i in range(n):
        if memory.known[k, i]:
            memory.centred[k, i] -= mean
        squares += memory.centred[k, i] * memory.centred[k, i]
    return math.sqrt(squares)


def correlate(k: int, n: int, rules: FloatArray, memory: Memory) -> None:
    """Shrink the sample correlations and measure betas to the mean of these symbols."""
    names, centred, known = memory.names, memory.centred, memory.known
    for a in range(k):
        memory.correlation[names[a], names[a]] = 1.0
        for b in range(a):
            common, total = 0, 0.0
            for i in range(n):
                common += known[a, i] and known[b, i]
                total += centred[a, i] * centred[b, i]
            scale, found = memory.spread[a] * memory.spread[b], rules[R_UNKNOWN_CORRELATION]
            if common >= int(rules[R_CORRELATION_BARS_MIN]) and scale > 0.0:
                found = rules[R_SHRINKAGE] * found + (1.0 - rules[R_SHRINKAGE]) * (total / scale)
            memory.correlation[names[a], names[b]] = found
            memory.correlation[names[b], names[a]] = found
    variance = 0.0
    for b in range(k):
        market = 0.0
        for a in range(k):
            market += memory.correlation[names[a], names[b]] * (
                memory.volatility[names[a]] * memory.volatility[names[b]]
            )
        memory.beta[names[b]] = market / k
        variance += market / k
    variance /= k
    for b in range(k):
        s = names[b]
        memory.beta[s] = memory.beta[s] / variance if variance > 0.0 else 1.0
