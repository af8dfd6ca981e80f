"""What every test shares: real servers, how Hypothesis runs, and one ccxt for the whole process.

The executor imports ccxt lean, through stubs that stand in for its packages; other parts import it
whole. In one process the first wins, so it is imported whole here, and the lean way is tested in
processes of its own (tests/executor/test_lean.py).
"""

import gc
import os
from typing import Any, Final

import ccxt.pro  # noqa: F401 - imported for its effect
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

pytest_plugins = ("tests.support.servers",)

gc.disable()  # `pytest_collection_finish` says when it collects
LEFT_MAX: Final = 300_000
GROUPS: Final = {
    "one MLflow server": (
        "tests/flows/test_registry.py",
        "tests/flows/test_onboard.py",
        "tests/flows/test_settings.py",
        "tests/flows/training/test_joining.py",
        "tests/executor/test_quarantine.py",
    ),
    "one compilation of the kernels": ("tests/features/", "tests/flows/research/"),
}
# What takes long begins, and what computes all the while (seeds) is never far from what waits, so
# that no core waits with it; the short files end the run together.
FIRST: Final = (
    "tests/simulation/test_seeds.py",
    "tests/e2e/test_demo.py",
    *GROUPS["one MLflow server"],
    "tests/e2e/",
    "tests/executor/test_run.py",
    "tests/executor/test_operation.py",
    "tests/executor/test_universe_run.py",
    "tests/simulation/test_seeds_later.py",
    "tests/executor/test_secrets.py",
    "tests/executor/test_promotion.py",
    "tests/executor/test_faults.py",
    "tests/executor/test_by_hand.py",
    *GROUPS["one compilation of the kernels"],
    "tests/flows/test_training_flows.py",
)

# No deadlines: a first example may compile, and the machine is shared.
settings.register_profile(
    "unhurried",
    deadline=None,
    max_examples=60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("soak", parent=settings.get_profile("unhurried"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unhurried"))


def pytest_collection_finish() -> None:
    """Let the collector leave alone what is loaded by now: it is there to the end.

    What tests leave is collected between them; amid them it costs a tenth of the suite's time.
    """
    gc.freeze()


def pytest_runtest_teardown() -> None:
    """Collect once there is enough of it."""
    if gc.get_count()[0] > LEFT_MAX:
        gc.collect()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin as `FIRST` says, whatever the order of the rest."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    return next((k for k, start in enumerate(FIRST) if nodeid.startswith(start)), len(FIRST))


class Grouped(LoadFileScheduling):  # type: ignore[misc]  # xdist
    """A file to a worker, and files that need the same costly thing to the same worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((name for name, files in GROUPS.items() if file.startswith(files)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouped:
    """Hand tests out as `GROUPS` says."""
    return Grouped(config, log)
