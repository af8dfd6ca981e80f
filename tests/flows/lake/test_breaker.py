"""A venue that keeps failing is left alone for a while, and not for ever."""

import asyncio

import pytest

from flows.lake.breaker import CircuitBreaker
from flows.lake.errors import VenueError

PAUSE_S = 0.05


def breaker(**rest) -> CircuitBreaker:
    return CircuitBreaker(
        "bybit", **{"failures_max": 3, "cooldown_s": PAUSE_S, "openings_max": 2} | rest
    )


async def waited(one: CircuitBreaker) -> float:
    clock = asyncio.get_running_loop().time
    start = clock()
    await one.admit()
    return clock() - start


async def test_below_the_limit_nobody_waits():
    one = breaker()
    for _ in range(2):
        one.failed()
    assert await waited(one) < PAUSE_S / 2


async def test_failures_in_a_row_make_everybody_wait_once():
    one = breaker()
    for _ in range(3):
        one.failed()
    pauses = await asyncio.gather(*(waited(one) for _ in range(4)))
    assert all(PAUSE_S * 0.9 <= pause < PAUSE_S * 3 for pause in pauses)
    assert await waited(one) < PAUSE_S / 2


async def test_an_answer_in_between_starts_the_count_anew():
    one = breaker()
    for _ in range(10):
        one.failed()
        one.failed()
        one.succeeded()
    assert await waited(one) < PAUSE_S / 2


async def test_the_first_failure_after_the_pause_opens_it_again():
    one = breaker()
    for _ in range(3):
        one.failed()
    await one.admit()
    one.failed()
    assert await waited(one) >= PAUSE_S * 0.9
    assert one.openings == 2


async def test_it_gives_up_after_some_pauses_with_one_line():
    one = breaker()
    for _ in range(3):
        one.failed()
    for _ in range(2):
        await one.admit()
        one.failed()
    with pytest.raises(VenueError, match="bybit has not answered through 2 pauses") as caught:
        await one.admit()
    assert "\n" not in str(caught.value)
