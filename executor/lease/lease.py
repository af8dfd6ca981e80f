"""Who may sign: one instance at a time, proven by time.

Decides whether this process holds the lease and until when. The deadline is counted from a
monotonic clock read *before* the request to Redis was sent, so the lease ends here before it can
end there. A file lock keeps a second instance off the same journal. Never signs anything.
Rule: a caller asks :meth:`Lease.remaining_ms` after it read the timestamp it will sign
(reliability.md A1); the answer of Redis is never taken for longer than it was asked for.
"""

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from executor.clock import Clock
from features.errors import InputError

# The holder is "token:owner". A holder with our own owner id is a predecessor of this very
# journal, which the file lock proves to be dead: its lease is ours to take. A counter below a
# token that we know of is a Redis that lost its memory: whoever held the lease may still believe
# in it, so it is nobody's until one has run out, but for who holds it still by its own clock.
ACQUIRE: Final = """
local held = redis.call('GET', KEYS[1])
if held and string.match(held, ':(.*)$') ~= ARGV[1] then return {0, held} end
local token = tonumber(redis.call('GET', KEYS[2]) or '0')
local known = tonumber(ARGV[3])
if token < known and ARGV[4] ~= '1' then
  redis.call('SET', KEYS[2], known)
  redis.call('SET', KEYS[1], known .. ':', 'PX', ARGV[2])
  return {0, known .. ':'}
end
token = math.max(token, known) + 1
redis.call('SET', KEYS[2], token)
redis.call('SET', KEYS[1], token .. ':' .. ARGV[1], 'PX', ARGV[2])
return {token, ''}
"""
RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
NEVER: Final = float("-inf")
INSTANCE: Final = "instance"  # where a journal keeps the name that its processes hold the lease in


class Lease:
    """The lease as this process knows it. ``token`` is 0 while it never held one.

    ``known`` is the newest token that is known of, whoever holds or held it.
    """

    def __init__(
        self,
        redis: Redis,
        clock: Clock,
        *,
        key: str,
        counter: str,
        owner: str,
        ttl_ms: int,
        known: int = 0,
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._keys = (key, counter)
        self._owner = owner
        self._ttl_ms = ttl_ms
        self._deadline = NEVER
        self.token = 0
        self.known = known
        self.reachable = False
        self.problem = ""
        self.holder = ""

    @property
    def is_elsewhere(self) -> bool:
        """Say whether another instance was seen to hold it, at the last look."""
        return self.reachable and bool(self.holder) and not self.holder.endswith(":")

    def absence(self) -> str:
        """Return why the lease is not ours, for people."""
        if not self.reachable:
            return f"Redis says {self.problem}" if self.problem else "Redis was not asked yet"
        if self.holder.endswith(":"):
            return "Redis forgot who holds it; it must run out first"
        return f"{self.holder} holds the lease" if self.holder else "it was given back"

    def remaining_ms(self) -> int:
        """Return how long the lease is surely ours, 0 when it is not."""
        if self._deadline == NEVER:
            return 0
        return max(0, int((self._deadline - self._clock.monotonic()) * 1000))

    async def keep(self) -> bool:
        """Renew the lease, or take it where nobody else has it; say whether it is ours now.

        A Redis that does not answer changes nothing: the lease lasts as long as was promised.
        """
        asked = self._clock.monotonic()
        try:
            held = await self._renew() or await self._acquire()
        except (RedisError, OSError, TimeoutError) as error:
            self.reachable, self.problem = False, str(error) or type(error).__name__
            return self.remaining_ms() > 0
        self.reachable, self.problem = True, ""
        self._deadline = asked + self._ttl_ms / 1000 if held else NEVER
        return self.remaining_ms() > 0

    async def release(self) -> None:
        """Give the lease back, so that a standby need not wait; at worst it expires."""
        self._deadline = NEVER
        if not self.token:
            return
        try:
            await self._redis.eval(RELEASE, 1, self._keys[0], self._value())
        except (RedisError, OSError, TimeoutError):
            self.reachable = False

    def _value(self) -> str:
        return f"{self.token}:{self._owner}"

    async def _renew(self) -> bool:
        if not self.token:
            return False
        done = await self._redis.eval(RENEW, 1, self._keys[0], self._value(), str(self._ttl_ms))
        return bool(int(done))

    async def _acquire(self) -> bool:
        is_ours = "1" if self.remaining_ms() > 0 else "0"
        token, holder = await self._redis.eval(
            ACQUIRE, 2, *self._keys, self._owner, str(self._ttl_ms), str(self.known), is_ours
        )
        self.holder = str(holder)
        self.known = max(self.known, int(token), int(self.holder.partition(":")[0] or 0))
        if not int(token):
            return False
        self.token = int(token)
        return True


class FileLock:
    """A lock on a file beside the journal, released by the kernel when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InputError(
                f"cannot open {path}: {error.strerror}; check [journal] path"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def try_lock(self) -> bool:
        """Take the lock if no other process has it; say whether it is ours."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def lock(self, clock: Clock, poll_s: float = 0.2) -> None:
        """Wait until the lock is ours; cancel the task to stop waiting."""
        while not self.try_lock():
            await clock.sleep(poll_s)
        await asyncio.sleep(0)
