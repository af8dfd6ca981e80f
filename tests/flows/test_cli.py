"""The `tribar` command: quick to help, one line and the right code for bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from flows.cli import COMMANDS, run
from flows.commands.frame import split_symbols
from flows.settings_source import process_environment
from flows.system.processes import records, running
from tests.support.servers import ANY_PORTS

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "prefect",
    "mlflow",
    "great_expectations",
    "pandas",
    "matplotlib",
    "optuna",
    "ccxt",
    "numba",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, with every port free."""
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    for name, value in ANY_PORTS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def candles(folder: Path, symbol: str, bars: int, interval_ms: int = 900_000) -> None:
    times = [1_700_006_400_000 + i * interval_ms for i in range(bars)]
    price = [100.0 + i % 7 for i in range(bars)]
    frame = pl.DataFrame({"timestamp": times, "open": price, "high": price, "low": price})
    frame = frame.with_columns(close=pl.Series(price), volume=pl.lit(1.0))
    folder.mkdir(exist_ok=True)
    frame.write_parquet(folder / f"{symbol}-15m.parquet")


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr with which the command refuses; nothing was started."""
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("tribar: ")
    assert told.count("\n") == 1
    return told


def test_help_imports_nothing_heavy_and_names_every_command() -> None:
    code = (
        "import sys; from flows.cli import run; code = run(['--help']);"
        f"print([n for n in {HEAVY!r} if n in sys.modules], code)"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.rstrip().endswith("[] 0")
    assert time.monotonic() - started < 10.0  # 0.4 s of work; the machine may be busy
    for name, *_ in COMMANDS:
        assert f" {name} " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"Usage: tribar {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dmo"], "unknown command 'dmo'; did you mean 'demo'?"),
        (["demo", "--sed", "3"], "--sed"),
        (["demo", "--seed", "many"], "many"),
        (["demo", "--market", "simulatd"], "did you mean 'simulated'?"),
        (["demo", "--market", "replay:"], "replay:FOLDER"),
        (["demo", "--market", "replay:/nowhere"], "/nowhere is not a folder"),
        (["demo", "--interval", "15x"], "did you mean '15m'?"),
        (["demo", "--symbols", ","], "name at least one"),
        (["demo", "--train-until", "yesterday"], "'yesterday' is no date such as 2025-09-30"),
        (["demo", "--days", "20"], "are too few"),
        (["demo", "--bars", "0"], "--bars: 0 is too few"),
        (["demo", "--trials", "0"], "--trials: 0 is too few"),
        (["retrain", "--days", "0"], "--days: 0 is too few"),
        (["retrain", "--until", "soon"], "'soon' is no time such as 2025-10-01"),
        (["ingest", "--days", "-3"], "--days: -3 is too few"),
        (["ingest", "--from-files", "/nowhere"], "/nowhere is no folder"),
        (["ingest", "--from-files", ".", "--column", "close"], "no pair such as time=Date"),
        (["lake", "export", "out"], "nothing to export"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    home: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told in refused(arguments, capsys)
    assert records(home / "data" / "run") == []


def test_a_wrong_setting_is_one_line_and_code_2(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIBAR_DATA__SYMBOL", "BTCUSDT")
    assert "did you mean 'symbols'?" in refused(["coverage"], capsys)


@pytest.mark.parametrize(
    ("symbols", "columns", "told"),
    [
        ((), None, "holds no file *-15m.parquet"),
        (("BTCUSDT",), None, "unknown symbol 'BTCUST'; did you mean 'BTCUSDT'?"),
        (("BTCUST",), ["timestamp", "open", "high", "low", "close"], "column 'volume' is missing"),
    ],
)
def test_a_folder_that_cannot_be_replayed_is_said_before_anything_starts(
    home: Path,
    symbols: tuple[str, ...],
    columns: list[str] | None,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = home / "candles"
    folder.mkdir()
    for symbol in symbols:
        candles(folder, symbol, 100)
        if columns is not None:
            path = folder / f"{symbol}-15m.parquet"
            pl.read_parquet(path).select(columns).write_parquet(path)
    arguments = ["demo", "--market", f"replay:{folder}", "--symbols", "BTCUST"]
    assert told in refused(arguments, capsys)


def test_a_broken_file_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "candles").mkdir()
    (home / "candles" / "BTCUSDT-15m.parquet").write_bytes(b"not parquet")
    arguments = ["demo", "--market", f"replay:{home / 'candles'}", "--symbols", "BTCUSDT"]
    assert "not a readable Parquet file" in refused(arguments, capsys)


def test_an_unreachable_mlflow_is_one_line_and_no_hang(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("TRIBAR_SERVICES__CHECK_TIMEOUT_S", "0.5")
    assert run(["retrain"]) == 1
    told = capsys.readouterr().err
    assert told == (
        "tribar: Prefect does not answer at http://127.0.0.1:9 (waited 0.5 s); "
        "start it, or unset its URL to have a local one started\n"
    )
    assert records(home / "data" / "run") == []


def test_files_come_in_and_are_covered(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    candles(home / "candles", "BTCUSDT", 200)
    assert run(["ingest", "--from-files", str(home / "candles")]) == 0
    assert run(["coverage", "--json", str(home / "out" / "coverage.json")]) == 0
    found = json.loads((home / "out" / "coverage.json").read_text())
    stored = [(row["symbol"], row["bars"], row["share"]) for row in found if row["bars"]]
    assert stored == [("BTCUSDT", 200, 1.0)]
    words = {row["symbol"]: (row["status"], row["why"]) for row in found}
    assert words["BTCUSDT"] == ("blocked", "2 of at least 90 days: ingest more history")
    assert words["ETHUSDT"] == ("blocked", "nothing is stored: tribar ingest --symbol ETHUSDT")
    assert run(["lake", "export", str(home / "back")]) == 0
    back = pl.read_parquet(home / "back" / "bybit" / "BTCUSDT-15m.parquet")
    assert back.equals(
        pl.read_parquet(home / "candles" / "BTCUSDT-15m.parquet").select(back.columns)
    )
    assert "BTCUSDT" in capsys.readouterr().out


def test_an_empty_lake_says_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["coverage"]) == 0
    assert "tribar ingest" in capsys.readouterr().out


def test_status_of_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--json", str(home / "status.json")]) == 0
    assert "Nothing runs" in capsys.readouterr().out
    found = json.loads((home / "status.json").read_text())
    assert found == {"servers": [], "programs": [], "executor": {}}


def test_a_json_file_that_cannot_be_written_is_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "taken").write_text("a file")
    assert "cannot write" in refused(["status", "--json", str(home / "taken" / "x.json")], capsys)
    nowhere = ["demo", "--market", "replay:/nowhere", "--json"]
    said = refused([*nowhere, str(home / "taken" / "x.json")], capsys)
    assert "cannot write" in said, "before the work that it is written after"
    assert "/nowhere" in refused([*nowhere, str(home / "new.json")], capsys)
    assert "/nowhere" in refused([*nowhere, str(home / "taken")], capsys)
    os.mkfifo(home / "pipe")
    assert "/nowhere" in refused([*nowhere, str(home / "pipe")], capsys), "a pipe is not tried"
    assert not (home / "new.json").exists()
    assert (home / "taken").read_text() == "a file"


def test_doctor_gives_the_next_step_for_every_problem(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIBAR_VENUE__URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("TRIBAR_SERVICES__CHECK_TIMEOUT_S", "0.5")
    assert run(["doctor", "--json", str(home / "doctor.json")]) == 1
    capsys.readouterr()
    found = {row["subject"]: row for row in json.loads((home / "doctor.json").read_text())}
    assert found["MLflow"]["level"] == "bad"
    assert found["Python"]["level"] == "good"
    assert {"disk", "lake", "clock", "Valkey", "Prefect", "executor environment"} <= set(found)
    for row in found.values():
        assert row["level"] == "good" or row["next_step"]


def test_doctor_explains_a_wrong_configuration(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIBAR_LABELS__PROFITS", "1")
    assert run(["doctor"]) == 1
    assert "did you mean 'profit'?" in capsys.readouterr().out


def test_symbols_are_split_joined_and_capitals() -> None:
    assert split_symbols(None) is None
    assert split_symbols(["btcusdt, ETHUSDT", "BTCUSDT"]) == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_stops_everything(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    environment = process_environment() | ANY_PORTS | {"TRIBAR_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "flows.cli", "up", "--no-executor"]
    with subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 60
        while running(tmp_path / "data" / "run", "prefect") is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in error
    assert records(tmp_path / "data" / "run") == []


CAUGHT = """
import os, signal, sys, time
from flows import cli

class Deaf:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)

@cli.app.command
def caught(where, /):
    if where == "string":
        exec("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)")
    elif where == "deaf":
        Deaf()
        time.sleep(60)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        try:
            time.sleep(2.5)
            raise ValueError
        except ValueError:
            time.sleep(1.5)
        print("all is put away")

cli.main()
"""


def caught(folder: Path, where: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in which the signal strikes there."""
    (folder / "caught.py").write_text(CAUGHT, encoding="utf-8")
    environment = process_environment() | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "caught", "caught", where]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, timeout=30, check=False
    )


def test_an_interrupt_ends_with_its_code_wherever_it_strikes(tmp_path: Path) -> None:
    """CPython ends `python -m` by the signal once a KeyboardInterrupt left an `exec` of text.

    Even one that is caught later: so ended `up`, one time in 45, while a library that makes its
    classes from text was imported.
    """
    ended = caught(tmp_path, "string")
    assert (ended.returncode, ended.stderr) == (130, b"")


def test_a_signal_that_a_library_swallowed_ends_it_all_the_same(tmp_path: Path) -> None:
    ended = caught(tmp_path, "deaf")
    assert b"Exception ignored in" in ended.stderr, "the first was lost"
    assert ended.returncode == 130


@pytest.mark.slow
def test_who_is_putting_away_is_left_to_it(tmp_path: Path) -> None:
    ended = caught(tmp_path, "cleaning")
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, b"all is put away\n", b"")
