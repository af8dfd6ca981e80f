"""A full disk, a limit on files and a missing right: one line, exit code 2, the lake untouched."""

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.cli import run
from flows.lake.errors import LakeError
from flows.lake.store import Lake
from tests.flows.lake.test_defects import made

NOBODY = 65534


@pytest.fixture
def home() -> Iterator[Path]:
    """A project that everybody may look into, with 200 bars stored and 50,000 in a file."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "data").mkdir()
    (folder / "files").mkdir()
    whole = made(20_000)
    whole.write_parquet(folder / "files" / "BTCUSDT-15m.parquet")
    Lake(folder / "data" / "lake").upsert_candles("bybit", "BTCUSDT", "15m", whole.head(200))
    yield folder
    shutil.rmtree(folder)


def _small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def _nobody() -> None:
    os.setuid(NOBODY)


def _import(home: str, hinder: Callable[[], None], answer: str) -> None:
    """Import once unhindered elsewhere, so that everything is loaded; then as hindered."""
    elsewhere = tempfile.mkdtemp()
    os.environ["TRIBAR_HOME"] = elsewhere
    code = run(["ingest", "--from-files", f"{home}/files"])
    shutil.rmtree(elsewhere)
    told = os.open(answer, os.O_WRONLY | os.O_CREAT)
    hinder()
    os.environ["TRIBAR_HOME"] = home
    hindered = run(["ingest", "--from-files", f"{home}/files"])
    os.write(told, f"{code} {hindered}".encode())


@pytest.mark.slow
@pytest.mark.parametrize("hinder", [_small_files, _nobody])
def test_a_hindered_import_ends_with_code_2_and_changes_nothing(home, tmp_path, capfd, hinder):
    if hinder is _nobody and os.geteuid() != 0:
        pytest.skip("only root may become another user")
    answer = tmp_path / "answer"
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_import, args=(str(home), hinder, str(answer)))
    worker.start()
    worker.join(50)
    assert worker.exitcode == 0
    assert answer.read_text() == "0 2"
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("tribar:")]
    assert len(lines) == 1
    assert ("permission denied" if hinder is _nobody else "may not grow that large") in lines[0]
    assert "run again" in lines[0]
    assert Lake(home / "data" / "lake").candles("bybit", "BTCUSDT", "15m").n == 200


def test_a_disk_without_room_is_seen_before_the_first_byte(tmp_path, monkeypatch):
    lake = Lake(tmp_path)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", made(200))
    before = sorted(path.name for path in tmp_path.rglob("*"))
    usage = type("Usage", (), {"free": 300_000})()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(LakeError, match="no space left on the device; free some and run again"):
        lake.upsert_candles("bybit", "BTCUSDT", "15m", made(20_000).tail(19_800))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert lake.candles("bybit", "BTCUSDT", "15m").n == 200
