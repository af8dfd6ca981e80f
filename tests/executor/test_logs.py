"""What a log line looks like, where it goes, and what never stands in one."""

import json
import logging
import logging.handlers
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from executor import logs
from executor.logs import Redactor, configure
from features.errors import InputError

CANARIES = ["hunter22", "s3cr3t-key"]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    hook, handlers, level = sys.excepthook, logging.root.handlers[:], logging.root.level
    yield
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]  # no public list
        if isinstance(handler := reference(), logging.handlers.RotatingFileHandler):
            handler.close()
    structlog.reset_defaults()
    logging.root.handlers[:], sys.excepthook = handlers, hook
    logging.root.setLevel(level)


def test_no_secret_in_a_line_of_ours_or_of_a_library(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json", [*CANARIES, "abc"])
    log = structlog.get_logger("test")
    try:
        int("signed with s3cr3t-key")
    except ValueError:
        log.exception("failed", url="redis://:hunter22@h", deep={"hunter22": ["s3cr3t-key"]})
        logging.getLogger("asyncio").exception("a task died of %s", "hunter22")
    log.info("an object", what=Path("/hunter22"))
    text = capsys.readouterr().err
    assert "ValueError" in text
    assert "a task died of ***" in text
    assert text.count("an object") == 1
    assert not any(canary in text for canary in CANARIES)


def test_the_redactor_reaches_into_everything_and_spares_short_words() -> None:
    clean = Redactor(["secret-1", "abc"]).clean
    assert clean(ValueError("secret-1")) == "ValueError('***')"
    assert clean({"a": ("secret-1", 5, None)}) == {"a": ["***", 5, None]}
    assert clean("abc") == "abc", "three letters would spoil every line"


def test_the_file_holds_json_and_is_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 2_000)
    path = tmp_path / "deep" / "executor.log"
    configure("INFO", "console", CANARIES, str(path))
    log = structlog.get_logger("test")
    for number in range(200):
        log.info("decision", symbol="BTCUSDT", number=number, key="hunter22")
    files = sorted(path.parent.iterdir())
    assert len(files) == 1 + logs.FILES_KEPT, "the newest and five older ones"
    assert all(file.stat().st_size <= 2_000 for file in files)
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["event"], last["number"], last["level"]) == ("decision", 199, "info")
    assert last["key"] == "***"
    assert "hunter22" not in "".join(file.read_text() for file in files)
    assert capsys.readouterr().err.count("decision") == 200, "the terminal has every line too"


def test_a_disk_that_takes_nothing_costs_no_line_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    configure("INFO", "console", [], str(tmp_path / "x.log"))
    monkeypatch.setattr(logging.handlers.RotatingFileHandler, "shouldRollover", full)
    structlog.get_logger("test").info("still here")
    assert "still here" in capsys.readouterr().err


def test_a_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"\[log\] file"):
        configure("INFO", "json", [], str(tmp_path / "file" / "x.log"))


def test_the_traceback_that_ends_the_process_shows_no_secret() -> None:
    code = (
        "from executor.logs import configure; configure('INFO', 'json', ['hunter22'])\n"
        "raise RuntimeError('the password is hunter22')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "RuntimeError: the password is ***" in done.stderr
    assert "hunter22'" not in done.stderr.replace("['hunter22']", "")
