"""The lease: at most one holder, counted from before the request, on a real Valkey."""

import asyncio
import contextlib
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from executor.clock import SystemClock
from executor.lease.lease import FileLock, Lease
from features.errors import InputError
from tests.support.clocks import FakeClock

pytestmark = pytest.mark.servers
TTL_MS = 20_000
names = itertools.count()
Make = Callable[..., Lease]


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey_url, decode_responses=True)
    yield client
    await client.aclose()


@pytest.fixture
def make(redis: Redis) -> Make:
    prefix = f"lease-{next(names)}:"

    def build(owner: str, clock: FakeClock | None = None, client: Redis | None = None) -> Lease:
        return Lease(
            client or redis,
            clock or FakeClock(),
            key=prefix + "lease",
            counter=prefix + "lease_token",
            owner=owner,
            ttl_ms=TTL_MS,
        )

    return build


async def test_one_holder_and_rising_tokens(make: Make) -> None:
    first, second = make("a"), make("b")
    assert await first.keep()
    assert first.remaining_ms() == TTL_MS
    assert not await second.keep()
    assert second.remaining_ms() == 0
    assert second.holder == f"{first.token}:a"
    await first.release()
    assert first.remaining_ms() == 0
    assert await second.keep()
    assert second.token == first.token + 1


async def test_the_deadline_is_counted_from_before_the_request(make: Make, redis: Redis) -> None:
    """The answer took 3 s: three seconds of the promise are gone already."""
    clock = FakeClock()
    lease = make("a", clock)
    answer = redis.eval

    async def slow(*arguments: object) -> object:
        clock.pass_s(3.0)
        return await answer(*arguments)  # type: ignore[arg-type]

    redis.eval = slow  # type: ignore[method-assign, assignment]
    assert await lease.keep()
    assert lease.remaining_ms() == TTL_MS - 3_000


async def test_it_runs_out_by_itself_and_renews(make: Make) -> None:
    clock = FakeClock()
    lease = make("a", clock)
    assert await lease.keep()
    clock.pass_s(15.0)
    assert lease.remaining_ms() == 5_000
    token = lease.token
    assert await lease.keep()
    assert (lease.remaining_ms(), lease.token) == (TTL_MS, token)
    clock.pass_s(20.0)
    assert lease.remaining_ms() == 0


async def test_a_lease_that_redis_forgot_comes_back_with_a_new_token(
    make: Make, redis: Redis
) -> None:
    lease, other = make("a"), make("b")
    await lease.keep()
    await other.keep()
    await redis.delete(*lease._keys)  # a Redis that lost its memory counts from one again
    token = lease.token
    assert await lease.keep(), "who still holds it by its own clock is the only one"
    assert lease.token == token + 1
    assert not await other.keep()


async def test_a_redis_that_forgot_gives_the_lease_to_nobody_until_it_has_run_out(
    make: Make, redis: Redis
) -> None:
    """Whoever held it may still believe in it, for as long as it was promised."""
    holder, standby = make("a"), make("b")
    await holder.keep()
    await standby.keep()
    await redis.delete(*holder._keys)
    assert not await standby.keep()
    assert standby.holder == f"{holder.token}:"
    assert 0 < await redis.pttl(holder._keys[0]) <= TTL_MS
    assert not await holder.keep(), "it is nobody's now, and the holder hears of it"
    await redis.delete(holder._keys[0])  # it ran out
    assert await standby.keep()
    assert standby.token == holder.token + 1


async def test_taken_by_another_it_is_not_ours(make: Make, redis: Redis) -> None:
    first, second = make("a"), make("b")
    await first.keep()
    await redis.delete(first._keys[0])  # it expired while we were frozen
    await second.keep()
    assert not await first.keep()
    assert first.remaining_ms() == 0
    await first.release()  # what is not ours is not given away
    assert await second.keep()


async def test_the_next_process_of_the_same_journal_need_not_wait(make: Make) -> None:
    """The file lock proves that the former holder is dead; its lease is taken at once."""
    dead = make("a")
    await dead.keep()
    born_again = make("a")
    assert await born_again.keep()
    assert born_again.token == dead.token + 1
    assert not await dead.keep() or dead.token > born_again.token


async def test_a_redis_that_does_not_answer_changes_nothing_until_the_end(make: Make) -> None:
    clock = FakeClock()
    lease = make("a", clock)
    await lease.keep()
    dead = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    lease._redis = dead
    clock.pass_s(10.0)
    assert await lease.keep()
    assert (lease.reachable, lease.remaining_ms()) == (False, 10_000)
    clock.pass_s(10.0)
    assert not await lease.keep()
    await lease.release()
    await dead.aclose()


async def test_nobody_overlaps_whatever_the_order(make: Make) -> None:
    """Ten instances fight; whoever believes to hold it is alone in that."""
    leases = [make(f"owner-{number}") for number in range(10)]
    for _ in range(5):
        await asyncio.gather(*(lease.keep() for lease in leases))
        holders = [lease for lease in leases if lease.remaining_ms() > 0]
        assert len(holders) == 1
        await holders[0].release()


def test_the_file_lock_is_between_processes(tmp_path: Path) -> None:
    path = tmp_path / "journal.db.lock"
    code = (
        "import fcntl, os, sys, time\n"
        f"f = os.open({str(path)!r}, os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with contextlib.ExitStack() as stack:
        stack.callback(other.wait, 10)
        stack.callback(other.kill)
        assert other.stdout is not None
        assert other.stdin is not None
        stack.callback(other.stdout.close)
        stack.callback(other.stdin.close)
        assert other.stdout.readline() == b"held\n"
        with FileLock(path) as lock:
            assert not lock.try_lock()
            other.kill()
            other.wait(10)
            assert lock.try_lock(), "the kernel gives the lock of the dead away"


async def test_a_standby_waits_for_the_file_lock(tmp_path: Path) -> None:
    path = tmp_path / "journal.db.lock"
    with FileLock(path) as standby:
        with FileLock(path) as active:
            assert active.try_lock()
            waiting = asyncio.create_task(standby.lock(SystemClock(), poll_s=0.01))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 5.0)


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="journal"):
        FileLock(tmp_path / "file" / "x.lock")
