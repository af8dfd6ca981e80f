"""The stage that tests of the whole program share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bundles import small_bundle
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import paper_program
from tests.support.staging import Stage, paper_arguments
from tests.support.walking import walking


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str
) -> AsyncIterator[Stage]:
    bars = getattr(request, "param", 150)
    with paper_program(*paper_arguments(bars)) as paper:
        async with FakeMlflow() as mlflow:
            mlflow.register(small_bundle())
            yield Stage(tmp_path, paper, mlflow, valkey_url)


@pytest.fixture
async def market_walks(stage: Stage) -> AsyncIterator[None]:
    """Let the stage's market walk while the test waits for something else; it may not pause it."""
    async with walking(stage.paper):
        yield
