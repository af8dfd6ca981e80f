"""What every test shares: real servers, how Hypothesis runs, and one ccxt for the whole process.

The executor imports ccxt lean, through stubs that stand in for its packages; other parts import it
whole. In one process the first wins, so it is imported whole here, and the lean way is tested in
processes of its own (tests/executor/test_lean.py).
"""

import gc
import os

import ccxt.pro  # noqa: F401 - imported for its effect
from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.support.servers",)

# No deadlines: a first example may compile, and the machine is shared.
settings.register_profile(
    "unhurried", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("soak", parent=settings.get_profile("unhurried"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unhurried"))


def pytest_collection_finish() -> None:
    """Let the collector leave alone what is loaded by now: it is there to the end."""
    gc.collect()
    gc.freeze()
