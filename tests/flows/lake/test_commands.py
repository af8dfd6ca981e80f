"""What `tribar coverage` says of each symbol, and how a refusal of the lake or the venue ends."""

import json
from pathlib import Path

import pytest
from aiohttp import web

from features.errors import InputError
from flows.champion_symbols import champion_symbols
from flows.cli import run
from flows.lake.assess import assess
from flows.lake.defects import Rules
from flows.lake.store import Lake
from flows.lake.verdict import Thresholds
from flows.settings import load_settings
from flows.system.prefect_api import FlowRun
from flows.system.processes import ProgramError
from flows.system.runs import _check
from tests.flows.lake.test_defects import made
from tests.flows.lake.test_quality import settlements
from tests.support.candle_venue import run_app


def registry(champion: list[str] | None):
    """An MLflow that knows one alias."""

    async def answer(request: web.Request) -> web.Response:
        assert request.query["name"] == "tribar"
        assert request.query["alias"] == "champion"
        if champion is None:
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST"}
            return web.json_response(missing, status=404)
        tags = [{"key": "gate", "value": "passed"}, {"key": "symbols", "value": ",".join(champion)}]
        return web.json_response({"model_version": {"version": "1", "tags": tags}})

    return run_app(answer)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of three configured symbols two are stored: one long and fit, one short and unpaid."""
    for name in ("MLFLOW_TRACKING_URI", "TRIBAR_SERVICES__MLFLOW_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    monkeypatch.setenv("TRIBAR_DATA__SYMBOLS", "BTCUSDT,ETHUSDT,SOLUSDT")
    monkeypatch.setenv("TRIBAR_COVERAGE__DAYS", "35")
    monkeypatch.setenv("TRIBAR_QUALITY__HISTORY_DAYS_MIN", "20")
    lake = Lake(load_settings().paths.lake)
    for symbol, days in (("BTCUSDT", 40), ("ETHUSDT", 30)):
        frame = made(days * 96)
        lake.upsert_candles("bybit", symbol, "15m", frame)
        lake.upsert_funding("bybit", symbol, settlements(frame))
    limits = Thresholds(history_days_min=20)
    assess(lake, "bybit", ["BTCUSDT", "ETHUSDT"], "15m", rules=Rules(), limits=limits)
    return tmp_path


def words(home: Path) -> dict[str, tuple[str, str]]:
    file = home / "coverage.json"
    assert run(["coverage", "--json", str(file)]) == 0
    return {row["symbol"]: (row["status"], row["why"]) for row in json.loads(file.read_text())}


def test_each_symbol_has_a_word_and_a_reason(home, capsys):
    assert words(home) == {
        "BTCUSDT": ("covered", ""),
        "ETHUSDT": ("short", "30 of 35 days"),
        "SOLUSDT": ("blocked", "nothing is stored: tribar ingest --symbol SOLUSDT"),
    }
    told = capsys.readouterr().out
    assert "1 covered, 1 short, 1 blocked. Wanted: 35 days; at least 20 days and 95%" in told
    assert "No MLflow runs" in told


def test_what_the_champion_does_not_know_is_untrained(home, monkeypatch, capsys):
    with registry(["ETHUSDT"]) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        found = words(home)
    assert found["BTCUSDT"] == ("untrained", "the model in use does not know it: tribar retrain")
    assert found["ETHUSDT"][0] == "short"
    assert "No MLflow runs" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("champion", "expected"), [(["A", "B"], frozenset("AB")), (None, frozenset())]
)
def test_no_champion_is_another_answer_than_no_server(home, monkeypatch, champion, expected):
    assert champion_symbols(load_settings()) is None
    with registry(champion) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        assert champion_symbols(load_settings()) == expected
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert champion_symbols(load_settings()) is None


@pytest.mark.parametrize("kind", ["InputError", "LakeError", "VenueError"])
def test_bad_input_of_a_flow_is_bad_input_of_the_command(kind):
    with pytest.raises(InputError, match="no space left") as caught:
        _check(ended(f"Flow run encountered an exception: {kind}: no space left"), "page")
    assert not isinstance(caught.value, ProgramError)


def test_anything_else_names_the_page():
    with pytest.raises(ProgramError, match="see page"):
        _check(ended("Flow run encountered an exception: KeyError: 'x'"), "page")


def ended(message: str) -> FlowRun:
    return FlowRun(
        id="1",
        name="n",
        flow="ingest",
        state="FAILED",
        message=message,
        seconds=1,
        result_path=None,
    )
