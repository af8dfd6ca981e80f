"""People promote and roll back in a real MLflow while a real executor trades: no bar is missed."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from executor.clock import SystemClock
from executor.core.bundle import bundle_sha256
from flows.registry import Registry
from flows.versions import Package
from tests.support.bundles import INTERVAL_MS, SYMBOLS, small_bundle
from tests.support.executor_program import ExecutorProgram
from tests.support.paper import paper_here
from tests.support.staging import paper_arguments, rows

pytestmark = [pytest.mark.servers, pytest.mark.soak, pytest.mark.timeout(300)]
IN_TIME_S = 10.0


def package(files: Mapping[str, bytes], gate: str) -> Package:
    names = json.loads(files["manifest.json"])["feature_names"]
    return Package(
        bundle=dict(files),
        bundle_sha256=bundle_sha256(files),
        input_names=tuple(names),
        tags={"gate": gate},
        params={},
        metrics={},
        files={},
        now_ms=1_760_000_000_000,
        description="a test",
    )


async def tribar(home: Path, mlflow_url: str, *words: str) -> str:
    """Run a command of the pipeline as a person does, and return what it prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "flows.cli", *words],
        cwd=home,
        env={**os.environ, "MLFLOW_TRACKING_URI": mlflow_url, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def seconds_until(program: ExecutorProgram, version: str) -> float:
    """Return how long it takes from now until a version decides."""
    clock = SystemClock()
    asked = clock.monotonic()
    await program.until(lambda s: s["model"]["version"] == version, f"trading {version}", 60.0)
    return clock.monotonic() - asked


async def closes_later(program: ExecutorProgram, bars: int) -> None:
    _, status = await program.get()
    until = status["close_ms"] + bars * INTERVAL_MS
    await program.until(lambda s: s["close_ms"] >= until, "some bars later", 120.0)


async def test_promoted_and_rolled_back_in_a_real_mlflow_within_ten_seconds(
    tmp_path: Path, valkey_url: str, mlflow_url: str
) -> None:
    registry = Registry(mlflow_url, "tribar")
    for seed, gate in ((1, "passed"), (2, "passed"), (3, "refused")):
        registry.register(package(small_bundle(seed=seed), gate))
    registry.promote(1)
    seconds: dict[str, float] = {}
    async with paper_here(*paper_arguments(100_000)) as paper:
        program = ExecutorProgram(
            tmp_path,
            paper,
            redis_url=valkey_url,
            registry_url=mlflow_url,
            symbols=SYMBOLS,
            prefix=f"{tmp_path.name}:",
        )
        async with program:
            await program.until_running()
            await closes_later(program, 20)
            said = await tribar(tmp_path, mlflow_url, "promote", "2")
            assert "Champion is version 2 (gate: passed); it was version 1." in said
            seconds["tribar promote"] = await seconds_until(program, "2")
            await closes_later(program, 60)
            said = await tribar(tmp_path, mlflow_url, "rollback")
            assert "Champion is version 1; version 2 was left." in said
            seconds["tribar rollback"] = await seconds_until(program, "1")
            await closes_later(program, 60)
            registry._client.set_registered_model_alias("tribar", "champion", "2")  # as the UI does
            seconds["the alias"] = await seconds_until(program, "2")
            await closes_later(program, 60)
            registry._client.set_registered_model_alias("tribar", "champion", "3")
            refused = "version 3: gate says 'refused'"
            await program.until(
                lambda s: any(refused in reason for reason in s["health"]["reasons"]), refused, 20.0
            )
            await closes_later(program, 60)
            program.signal(signal.SIGTERM)
            assert await program.stopped() == 0
    print({name: round(value, 1) for name, value in seconds.items()})
    assert max(seconds.values()) <= IN_TIME_S, seconds
    closed = [at for (at,) in rows(program.journal, "SELECT close_ms FROM equity ORDER BY 1")]
    assert np.unique(np.diff(closed)).tolist() == [INTERVAL_MS], "no bar was missed"
    decided = [json.loads(b) for (b,) in rows(program.journal, "SELECT body FROM decisions")]
    versions = [d["model"] for d in sorted(decided, key=lambda d: d["close_ms"])]
    changes = [b for a, b in itertools.pairwise(versions) if a != b]
    assert changes == ["2", "1", "2"], "each decided for a while; the refused one never"
