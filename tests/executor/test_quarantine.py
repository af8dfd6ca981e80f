"""A version that was left is tagged in MLflow once it can be told, and stays out till then."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from executor.core.contract import NoticeCode
from executor.models.quarantine import (
    PAUSE_MOST_S,
    TAG,
    TRIES_MAX,
    Quarantine,
)
from executor.models.registry import Registry, RegistryError
from tests.support.bundles import small_bundle
from tests.support.clocks import FakeClock
from tests.support.mlflow_fake import FakeMlflow, Notes

WHY = "calibration: 1 of 40 trades won, 24 were promised (evidence 900 to 1)"


@dataclass
class Left:
    """A quarantine over a registry, with what it said and what it would have slept."""

    mlflow: FakeMlflow
    notes: Notes = field(default_factory=Notes)
    said: list[tuple[NoticeCode, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry = Registry(self.mlflow.url, timeout_ms=2_000)
        self.begin()

    def begin(self) -> None:
        """Begin as a new process does."""
        self.clock = FakeClock()
        self.quarantine = Quarantine(self.registry, "tribar", self.notes, self.clock)
        self.quarantine.say = lambda code, text: self.said.append((code, text))

    async def run_for(self, seconds: float) -> None:
        """Let the helper run for so many seconds of its clock."""
        running = asyncio.create_task(self.quarantine.run())
        until = self.clock.monotonic() + seconds
        async with asyncio.timeout(20.0):
            while self.clock.monotonic() < until:  # noqa: ASYNC110 - the clock is not the wall's
                await asyncio.sleep(0)
        running.cancel()

    def tags(self, version: str = "1") -> dict[str, str]:
        return self.mlflow.versions[version].tags


@pytest.fixture
async def left() -> AsyncIterator[Left]:
    async with FakeMlflow() as mlflow:
        mlflow.register(small_bundle())
        made = Left(mlflow)
        yield made
        await made.registry.close()


async def test_the_version_is_tagged_with_the_reason(left: Left) -> None:
    left.quarantine.add("1", WHY)
    await left.run_for(60.0)
    assert left.tags()[TAG] == WHY
    assert left.said == [(NoticeCode.MODEL_TAGGED, f"version 1 is tagged {TAG} in MLflow")]
    left.begin()
    await left.run_for(600.0)
    assert len(left.said) == 1, "what was told is not told again, after a restart neither"


async def test_while_mlflow_is_down_it_stays_out_is_said_once_and_tried_more_and_more_seldom(
    left: Left,
) -> None:
    left.mlflow.down = True
    left.quarantine.add("1", WHY)
    assert left.quarantine.untold() == [], "nothing was tried yet"
    await left.run_for(3_600.0)
    assert "is quarantined" in left.quarantine.refusal("1")
    (told,) = left.said
    assert told[0] == NoticeCode.MODEL_NOT_TAGGED
    assert "HTTP 503" in told[1]
    assert left.quarantine.untold() == ["1"]
    tries = left.quarantine._tries["1"]
    assert tries < 3_600 / PAUSE_MOST_S + 10
    left.mlflow.down = False
    await left.run_for(PAUSE_MOST_S + 60.0)
    assert left.tags()[TAG] == WHY
    assert [code for code, _ in left.said] == ["model_not_tagged", "model_tagged"]
    assert left.quarantine.untold() == []


async def test_a_restart_meanwhile_forgets_nothing(left: Left) -> None:
    left.mlflow.down = True
    left.quarantine.add("1", WHY)
    await left.run_for(60.0)
    left.begin()
    assert "1" in left.quarantine
    left.mlflow.down = False
    await left.run_for(60.0)
    assert left.tags()[TAG] == WHY


async def test_the_tries_are_bounded_and_the_end_of_them_is_said(left: Left) -> None:
    left.mlflow.down = True
    left.quarantine.add("1", WHY)
    left.quarantine._tries["1"] = TRIES_MAX - 2
    await left.run_for(3 * 86_400.0)
    assert left.quarantine._tries["1"] == TRIES_MAX
    assert "by hand" in left.said[-1][1]
    assert "is quarantined" in left.quarantine.refusal("1"), "it is in force all the same"
    left.mlflow.down = False
    left.begin()
    await left.run_for(60.0)
    assert left.tags()[TAG] == WHY, "a start begins anew"


async def test_a_person_lifts_it_by_deleting_the_tag(left: Left) -> None:
    left.quarantine.add("1", WHY)
    assert left.quarantine.refusal("1"), "before MLflow knows, its silence says nothing"
    await left.run_for(60.0)
    assert left.quarantine.refusal("1") == "", "the tag stood there and stands there no more"
    assert "1" not in left.quarantine
    assert json.loads(left.notes["quarantined_models"]) == {}
    left.quarantine.add("1", WHY)
    assert left.quarantine.refusal("1"), "and it can be left again"


async def test_a_version_that_was_deleted_is_not_asked_for_for_ever(left: Left) -> None:
    left.quarantine.add("7", WHY)
    await left.run_for(600.0)
    assert left.said == [(NoticeCode.MODEL_TAGGED, "version 7 is not in MLflow any more")]


async def test_an_address_with_a_password_is_shown_without_it() -> None:
    registry = Registry("http://ann:canary-of-mlflow@127.0.0.1:1", timeout_ms=500)
    with pytest.raises(RegistryError) as caught:
        await registry.set_tag("tribar", "1", TAG, "why")
    await registry.close()
    assert "canary" not in str(caught.value)
    assert "MLflow at http://127.0.0.1:1" in str(caught.value)


@pytest.mark.servers
@pytest.mark.slow
async def test_a_real_mlflow_takes_the_tag(mlflow_url: str) -> None:
    name = "left-for-cause"
    api = f"{mlflow_url}/api/2.0/mlflow"
    async with aiohttp.ClientSession() as session:

        async def post(endpoint: str, **body: str) -> dict[str, Any]:
            async with session.post(f"{api}/{endpoint}", json=body) as reply:
                assert reply.status == 200, await reply.text()
                return dict(await reply.json())

        await post("registered-models/create", name=name)
        run = (await post("runs/create", experiment_id="0"))["run"]["info"]
        source = f"{run['artifact_uri']}/bundle"
        await post("model-versions/create", name=name, source=source, run_id=run["run_id"])
        registry, notes = Registry(mlflow_url, timeout_ms=5_000), Notes()
        clock, said = FakeClock(), []
        quarantine = Quarantine(registry, name, notes, clock)
        quarantine.say = lambda code, text: said.append(code)
        quarantine.add("1", WHY)
        running = asyncio.create_task(quarantine.run())
        async with asyncio.timeout(20.0):
            while not said:  # noqa: ASYNC110 - it is told when it is told
                await asyncio.sleep(0.05)
        running.cancel()
        assert said == [NoticeCode.MODEL_TAGGED]
        query = {"name": name, "version": "1"}
        async with session.get(f"{api}/model-versions/get", params=query) as reply:
            version = (await reply.json())["model_version"]
        assert {"key": TAG, "value": WHY} in version["tags"]
        assert not await registry.set_tag(name, "99", TAG, "x"), "MLflow knows no such version"
        await registry.close()
