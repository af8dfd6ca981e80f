"""A Prefect server whose database is locked answers 503: that is waited out, within bounds."""

from collections.abc import Iterator

import httpx
import pytest
import stamina

from flows.system.prefect_api import BUSY_ATTEMPTS, PrefectApi
from flows.system.processes import ProgramError


@pytest.fixture(autouse=True)
def without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=BUSY_ATTEMPTS, cap=True):
        yield


def api(monkeypatch: pytest.MonkeyPatch, busy: int) -> tuple[PrefectApi, list[str]]:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) <= busy:
            return httpx.Response(503, json={"exception_message": "Service Unavailable"})
        return httpx.Response(200, json={"id": "1"})

    made = PrefectApi("http://127.0.0.1:1/api")
    monkeypatch.setattr(
        made, "_http", httpx.Client(transport=httpx.MockTransport(answer), base_url="http://x/api")
    )
    return made, asked


def test_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = api(monkeypatch, busy=3)
    assert client.deployment("retrain/tribar") == {"id": "1"}
    assert len(asked) == 4


def test_a_server_that_stays_busy_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = api(monkeypatch, busy=1_000)
    with pytest.raises(ProgramError, match="503"):
        client.deployment("retrain/tribar")
    assert len(asked) == BUSY_ATTEMPTS
