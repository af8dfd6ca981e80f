"""The whole product in one run: `tribar demo` as a user starts it, killed in the middle on the way.

Rule: everything is real (servers, exchange, flows, executor); only the sizes are small.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.settings_source import process_environment
from flows.system.processes import records, running
from tests.support.servers import ANY_PORTS

ROOT = Path(__file__).resolve().parents[2]
BARS = 400
ARGUMENTS = ["--symbols", "BTCUSDT,ETHUSDT", "--days", "130", "--trials", "2", "--bars", str(BARS)]

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]


class Started:
    """A demo that runs as a program of its own."""

    def __init__(self, home: Path, *more: str) -> None:
        self.home = home
        self.json = home / "summary.json"
        self.said = home / "said.txt"
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "flows.cli",
                    "demo",
                    *ARGUMENTS,
                    *more,
                    "--json",
                    str(self.json),
                ],
                cwd=ROOT,
                env=process_environment() | ANY_PORTS | {"TRIBAR_HOME": str(home)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 240.0) -> None:
        """Wait for ``condition`` while the demo runs, with a bound."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < deadline, f"{what}: {self.said.read_text()}"
            time.sleep(0.05)

    def runs(self, name: str) -> bool:
        return running(self.home / "data" / "run", name) is not None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with both environments, as after `make`."""
    folder = tmp_path_factory.mktemp("project")
    for name in (".venv-executor", "configs"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return folder


def processes_of(home: Path) -> dict[psutil.Process, str]:
    """Return the command lines of all processes that name the project's folder."""
    found = {}
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            used = {str(home), f"TRIBAR_HOME={home}"}
            mine = str(home) in line or process.environ().get("TRIBAR_HOME") in used
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if mine and process.status() != psutil.STATUS_ZOMBIE:
            found[process] = line
    return found


def listening(home: Path) -> list[str]:
    """Return the addresses at which the project's processes can be reached."""
    return [
        connection.laddr.ip
        for process in processes_of(home)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def shown(demo: Started) -> dict[str, Any]:
    """Return what a visitor of the two pages gets while the demo keeps everything running."""
    urls = json.loads(demo.json.read_text())["urls"]
    prefect = urls["prefect"].rstrip("/")
    told = httpx.get(f"{prefect}/ui-settings", timeout=30.0).json()
    pages = [httpx.get(url, timeout=30.0).status_code for url in (prefect, urls["mlflow"])]
    return {"prefect": prefect, "asks": told["api_url"], "pages": pages}


def left_after_a_while(home: Path) -> list[str]:
    """Return what still runs fifteen seconds later at the most."""
    deadline = time.monotonic() + 15
    while (left := list(processes_of(home).values())) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


@pytest.fixture(scope="module")
def summary(home: Path) -> dict[str, Any]:
    """Run a demo, kill its executor once on the way, and kill the demo itself when all is done."""
    demo = Started(home, "--keep")
    try:
        demo.until(lambda: demo.runs("executor-demo"), "the executor")
        demo.until(lambda: bars_done(home) > 20, "the first bars")
        record = running(home / "data" / "run", "executor-demo")
        assert record is not None
        os.kill(record.child, signal.SIGKILL)
        demo.until(lambda: "Everything keeps running" in demo.said.read_text(), "the end")
        then = {"running": len(processes_of(home)), "listening": listening(home), **shown(demo)}
    finally:
        demo.process.kill()
        demo.process.wait()
    found: dict[str, Any] = json.loads(demo.json.read_text())
    found |= {"said": demo.said.read_text(), "then": then}
    return found | {"left": left_after_a_while(home)}


def bars_done(home: Path) -> int:
    journals = sorted((home / "data" / "demo").glob("*/journal.db"))
    if not journals:
        return 0
    with closing(sqlite3.connect(f"{journals[-1].as_uri()}?mode=ro", uri=True)) as database:
        try:
            return int(database.execute("SELECT COUNT(*) FROM equity").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_the_summary_has_every_figure(summary: dict[str, Any]) -> None:
    model = summary["model"]
    assert set(model) == {"name", "version", "alias", "gate", "bundle_sha256"}
    assert model["alias"] == "champion"
    assert model["gate"] in {"passed", "refused"}
    assert len(model["bundle_sha256"]) == 64
    assert summary["quality"] == {"BTCUSDT": "pass", "ETHUSDT": "pass"}
    stages = {"ingest", "quality", "dataset", "search", "train", "gate", "register", "trade"}
    assert stages <= set(summary["stages"])
    assert all(seconds >= 0 for seconds in summary["stages"].values())
    assert set(summary["equity"]) == {"start", "end"}
    assert {"prefect", "prefect_run", "mlflow", "mlflow_version"} <= set(summary["urls"])


def test_every_bar_was_traded_although_the_executor_was_killed(summary: dict[str, Any]) -> None:
    executor = summary["executor"]
    assert executor["bars"] == BARS
    assert executor["restarts"] == 1
    assert executor["lean"] is (ROOT / ".venv-executor").exists()
    assert executor["decisions"] >= executor["approved"] + sum(executor["refused"].values())
    assert executor["model_version"] == str(summary["model"]["version"])
    assert executor["heartbeats"] > 0


def test_no_trade_is_lost_and_no_order_doubled(summary: dict[str, Any], home: Path) -> None:
    """Each entry has one order id, and equity moves by the trades' profit and what is open."""
    journal = max((home / "data" / "demo").glob("*/journal.db"))
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as database:
        entries = database.execute(
            "SELECT client_order_id, COUNT(*) FROM intents WHERE kind = 'order' GROUP BY 1"
        ).fetchall()
        closes = database.execute("SELECT close_ms FROM equity ORDER BY close_ms").fetchall()
    assert all(count == 1 for _, count in entries)
    steps = {b[0] - a[0] for a, b in pairwise(closes)}
    assert steps == {900_000}, "a bar is missing in the journal"


def test_the_report_is_one_file(summary: dict[str, Any]) -> None:
    html = Path(summary["report"]).read_text()
    assert html.startswith("<!doctype html>")
    assert "http" not in html.partition("<body>")[2].replace("data:image", "")[:2000]
    assert html.count("<img ") >= 4


def test_all_can_be_seen_from_this_machine_and_from_no_other(summary: dict[str, Any]) -> None:
    then = summary["then"]
    assert len(then["listening"]) >= 5  # Valkey, MLflow, Prefect, the exchange, the executor
    assert set(then["listening"]) == {"127.0.0.1"}
    assert then["pages"] == [200, 200]
    # The pages must ask this server, not the one on the default port.
    assert then["asks"] == f"{then['prefect']}/api"


def test_a_refused_model_is_said_before_it_trades(summary: dict[str, Any]) -> None:
    said = summary["said"]
    if summary["model"]["gate"] == "passed":
        assert "has refused" not in said
    else:
        assert said.index("has refused") < said.index("> Trade")


def test_a_demo_killed_while_everything_runs_leaves_no_process(
    summary: dict[str, Any], home: Path
) -> None:
    assert summary["then"]["running"] >= 10  # the demo, six programs, their watchdogs
    assert summary["left"] == []
    assert records(home / "data" / "run") == []


@pytest.mark.soak
def test_a_demo_killed_while_it_trains_can_be_started_again(home: Path) -> None:
    demo = Started(home, "--seed", "8")
    try:
        demo.until(lambda: "> Search" in demo.said.read_text(), "the search")
    finally:
        demo.process.kill()
        demo.process.wait()
    assert left_after_a_while(home) == []
    again = Started(home, "--seed", "8")
    assert again.process.wait(400) == 0, again.said.read_text()
    assert json.loads(again.json.read_text())["executor"]["bars"] == BARS
    assert processes_of(home) == {}
