"""The lease's scripts in the simulator mean what they mean on a real Valkey."""

import itertools
import random

import pytest
from redis.asyncio import Redis

from executor.lease import lease
from tests.simulation.redis_port import RedisServer

pytestmark = pytest.mark.servers
TTL_MS = 1_000_000


async def test_the_scripts_agree_step_by_step(valkey_url: str) -> None:
    real = Redis.from_url(valkey_url, decode_responses=True)
    model = RedisServer(lambda: 0.0)
    keys = [f"sim-{next(itertools.count())}:lease", "sim:token"]
    rng = random.Random(5)
    tokens = {"a": 0, "b": 0, "c:d": 0}
    for _ in range(400):
        owner = rng.choice(sorted(tokens))
        held = f"{tokens[owner]}:{owner}"
        script, used, arguments = rng.choice(
            (
                (
                    lease.ACQUIRE,
                    keys,
                    [
                        owner,
                        str(TTL_MS),
                        str(rng.choice((0, tokens[owner], 99))),
                        rng.choice("01"),
                    ],
                ),
                (lease.RENEW, keys[:1], [held, str(TTL_MS)]),
                (lease.RELEASE, keys[:1], [held]),
            )
        )
        said = await real.eval(script, len(used), *used, *arguments)
        meant = model.eval(script, used, arguments)
        assert said == meant
        if script == lease.ACQUIRE and meant[0]:
            tokens[owner] = meant[0]
        assert [await real.get(key) for key in keys] == [model.get(key) for key in keys]
        if rng.random() < 0.05:  # it ran out
            gone = keys if rng.random() < 0.3 else keys[:1]  # or Redis lost its memory
            await real.delete(*gone)
            for key in gone:
                model.delete(key)
    await real.delete(*keys)
    await real.aclose()
