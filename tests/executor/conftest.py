"""The stage that tests of the whole program share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bundles import small_bundle
from tests.support.mlflow_fake import FakeMlflow
from tests.support.paper import paper_program
from tests.support.staging import Stage, paper_arguments


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str
) -> AsyncIterator[Stage]:
    bars = getattr(request, "param", 150)
    with paper_program(*paper_arguments(bars)) as paper:
        async with FakeMlflow() as mlflow:
            mlflow.register(small_bundle())
            yield Stage(tmp_path, paper, mlflow, valkey_url)
