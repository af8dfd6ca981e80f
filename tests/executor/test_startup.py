"""A start goes on trying while the outside does not answer, and says so."""

from executor.counters import Counters
from executor.errors import RetryableError
from executor.health.overview import Overview
from executor.settings.settings import Settings
from executor.startup import insist
from tests.support.clocks import FakeClock


async def test_a_start_tries_again_every_five_seconds_at_the_latest() -> None:
    """A position may lie open without a stop, and nobody sees it before the start has come up."""
    clock = FakeClock()
    overview = Overview(settings=Settings(), clock=clock, counters=Counters())
    said: list[str] = []

    async def answers_at_the_ninth_try() -> None:
        said.append(overview.problem)
        if len(said) < 9:
            raise RetryableError("no answer")

    await insist("loading history", answers_at_the_ninth_try, overview, clock)
    assert clock.sleeps == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]
    assert said == ["", *["loading history: no answer"] * 8]
    assert (overview.step, overview.problem) == ("loading history", "")
