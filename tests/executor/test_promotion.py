"""A model's life in the running program: promoted, rolled back, kept out; and no bar is missed."""

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from executor.clock import SystemClock
from executor.core.bundle import pack
from tests.support.bundles import (
    INTERVAL_MS,
    manifest_of,
    small_bundle,
    small_market,
    train_part,
    training_rows,
)
from tests.support.executor_program import ExecutorProgram
from tests.support.mlflow_fake import FakeMlflow
from tests.support.receiver import Receiver
from tests.support.staging import Stage, rows

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(180)]
IN_TIME_S = 10.0


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


def program_of(stage: Stage, receiver: Receiver) -> ExecutorProgram:
    alerts = {"urls": receiver.alert_url, "hourly_max": 5_000, "repeat_ms": 1_000}
    return stage.program(changes={"alerts": alerts})


async def trades_with(program: ExecutorProgram, version: str) -> float:
    """Wait until a version decides; return how long that took."""
    clock = SystemClock()
    asked = clock.monotonic()
    await program.until(lambda s: s["model"]["version"] == version, f"trading {version}", 60.0)
    return clock.monotonic() - asked


async def bars_go_on(program: ExecutorProgram, bars: int = 20) -> None:
    _, status = await program.get()
    await program.until(
        lambda s: s["close_ms"] >= status["close_ms"] + bars * INTERVAL_MS, "some bars later", 60.0
    )


@pytest.mark.parametrize("stage", [100_000], indirect=True)
@pytest.mark.usefixtures("market_walks")
async def test_promoted_and_rolled_back_within_ten_seconds_and_no_bar_missed(
    stage: Stage, receiver: Receiver
) -> None:
    async with program_of(stage, receiver) as program:
        await program.until_running()
        await bars_go_on(program)
        stage.mlflow.register(small_bundle(seed=8))
        assert await trades_with(program, "2") <= IN_TIME_S
        await bars_go_on(program, 60)
        stage.mlflow.aliases["champion"] = "1"
        assert await trades_with(program, "1") <= IN_TIME_S
        await bars_go_on(program, 60)
        program.signal(signal.SIGTERM)
        assert await program.stopped() == 0
    await receiver.until("model_swapped")
    closed = [at for (at,) in rows(program.journal, "SELECT close_ms FROM equity ORDER BY 1")]
    assert np.unique(np.diff(closed)).tolist() == [INTERVAL_MS], "no bar was missed"
    decided = [json.loads(b) for (b,) in rows(program.journal, "SELECT body FROM decisions")]
    versions = [d["model"] for d in sorted(decided, key=lambda d: d["close_ms"])]
    changes = [b for a, b in itertools.pairwise(versions) if a != b]
    assert changes == ["2", "1"], "each decided for a while, and not both at once"


def flipped(files: dict[str, bytes]) -> dict[str, bytes]:
    broken = bytearray(files["booster.ubj"])
    broken[len(broken) // 2] ^= 1
    return {**files, "booster.ubj": bytes(broken)}


def of_another_schema(_: dict[str, bytes]) -> dict[str, bytes]:
    market = small_market()
    part = train_part(*training_rows(market, "one_hot"))
    return pack(manifest_of(market, feature_schema="0" * 64), {"": part})


KEPT_OUT: tuple[tuple[str, Callable[[dict[str, bytes]], dict[str, bytes]], dict[str, str]], ...] = (
    ("is damaged", flipped, {}),
    ("feature schema 000000000000", of_another_schema, {}),
    ("gate says 'refused'", dict, {"gate": "refused"}),
    ("is quarantined (too bad)", dict, {"quarantined": "too bad"}),
)


def promote_broken(
    mlflow: FakeMlflow, change: Callable[[dict[str, bytes]], dict[str, bytes]], tags: dict[str, str]
) -> None:
    """Promote a version whose files are not what was registered."""
    whole = small_bundle(seed=9)
    version = mlflow.register(whole if change is flipped else change(whole), **tags)
    if change is flipped:
        mlflow.versions[version].files = change(whole)


@pytest.mark.parametrize("stage", [100_000], indirect=True)
@pytest.mark.usefixtures("market_walks")
async def test_what_may_not_trade_is_kept_out_said_and_told(
    stage: Stage, receiver: Receiver
) -> None:
    """One after the other in one life of the program, and then a start with the worst of them."""
    program = program_of(stage, receiver)
    try:
        program.start()
        await program.until_running()
        for said, change, tags in KEPT_OUT:
            promote_broken(stage.mlflow, change, tags)
            status = await program.until(
                lambda s, said=said: any(said in r for r in s["health"]["reasons"]),
                f"saying {said}", 20.0,
            )  # fmt: skip
            assert status["model"]["version"] == "1"
            assert (status["level"], status["status"]) == ("warning", "DEGRADED")
            await told(receiver, said)
        await bars_go_on(program)
        program.kill()
        program.start()
        status = await program.until_running()
        assert status["model"]["version"] == "1", "it begins with the one it had"
        stage.mlflow.aliases["champion"] = "1"
        await program.until(lambda s: s["level"] == "healthy", "well again", 20.0)
    finally:
        program.kill()
    decided = {
        json.loads(b)["model"] for (b,) in rows(program.journal, "SELECT body FROM decisions")
    }
    assert decided == {"1"}


async def told(receiver: Receiver, text: str) -> None:
    async with asyncio.timeout(20.0):
        while not any(text in str(body) for body in receiver.got):  # noqa: ASYNC110 - a bounded look
            await asyncio.sleep(0.05)
