"""How many threads the libraries below us may use.

Decides one cap for OpenMP and BLAS. Rule: whoever computes beside an executor computes in here.
"""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # no stubs


def threads_capped(threads: int) -> AbstractContextManager[object]:
    """Return a context in which OpenMP and BLAS use at most ``threads`` threads.

    XGBoost's own setting does not reach the copying of labels and weights, which otherwise spins on
    every core: on a busy machine that costs more than the training.
    """
    limits: AbstractContextManager[object] = _pools().limit(limits=threads)
    return limits


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
