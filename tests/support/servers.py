"""Real servers for tests: Valkey, MLflow and Prefect, started once a session.

Rule: a server is started only for a test that asks for it, on a free port of 127.0.0.1, and is gone
with the session.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.settings import Settings, load_settings
from flows.system.services import Services

ANY_PORTS = {
    "TRIBAR_SERVICES__REDIS_PORT": "0",
    "TRIBAR_SERVICES__MLFLOW_PORT": "0",
    "TRIBAR_SERVICES__PREFECT_PORT": "0",
    "TRIBAR_SERVICES__PAPER_PORT": "0",
}


def settings_at(home: Path, **variables: str) -> Settings:
    """Return settings of an empty project at ``home``, every port free."""
    return load_settings(home, ANY_PORTS | variables)


@contextmanager
def started(home: Path, *names: str) -> Iterator[Services]:
    """Run the servers ``names`` of :data:`flows.system.services.NAMES` while the block runs."""
    with Services(settings_at(home)) as services:
        services.start(names, lambda _: None)
        yield services


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Valkey, shared by the session's tests: use a prefix of your own."""
    with started(tmp_path_factory.mktemp("valkey"), "redis") as services:
        yield services["redis"].url


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real MLflow server, shared by the session: use a model name of your own."""
    with started(tmp_path_factory.mktemp("mlflow"), "mlflow") as services:
        yield services["mlflow"].url


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Prefect server's API, shared by the session's tests."""
    with started(tmp_path_factory.mktemp("prefect"), "prefect") as services:
        yield services["prefect"].url
