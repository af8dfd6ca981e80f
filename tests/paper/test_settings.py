"""The command line: what it means, and the one line that refuses what it cannot mean."""

import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from executor.paper.settings import parse
from features.errors import InputError
from tests.support.paper import ROOT, START_MS, paper_program, wandering, write_market


def test_defaults_make_a_simulated_market_at_real_speed() -> None:
    settings = parse([])
    assert settings.recordings is None
    assert settings.symbols == ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    assert (settings.interval_ms, settings.speed, settings.limited) == (900_000, 1.0, True)
    (account,) = settings.accounts
    assert (account.api_key, account.secret, account.balance) == ("paper", "paper", Decimal(10000))


def test_lockstep_is_speed_zero_and_unlimited() -> None:
    settings = parse(["--speed", "lockstep", "--start-ms", "900000", "--clients", "3"])
    assert (settings.speed, settings.limited) == (0.0, False)
    assert (settings.now_ms, settings.clients) == (900_000, 3)
    assert parse(["--speed", "lockstep", "--rate-limits", "bybit"]).limited


def test_many_symbols_get_less_history_where_nothing_is_said() -> None:
    many = ",".join(f"S{number}USDT" for number in range(600))
    assert parse([]).history == 50_000
    assert parse(["--symbols", many]).history == 3_333
    assert parse(["--symbols", many, "--history", "7"]).history == 7


def test_accounts_may_be_added() -> None:
    settings = parse(["--account", "second:k2:s2:50", "--account", "third:k3:s3:0"])
    assert [account.name for account in settings.accounts] == ["main", "second", "third"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sped", "1"], "did you mean '--speed'"),
        (["--interval", "115m"], "did you mean '15m'"),
        (["--market", "simulate"], "did you mean 'simulated'"),
        (["--symbols", "BTCUST"], "did you mean 'BTCUSDT'"),
        (["--symbols", ""], "--symbols"),
        (["--symbols", "BTCUSDT,BTCUSDT"], "twice"),
        (["--speed", "fast"], "--speed is 'fast'"),
        (["--speed", "-1"], "--speed"),
        (["--speed", "nan"], "--speed"),
        (["--bars", "0"], "--bars"),
        (["--bars", "many"], "--bars"),
        (["--clients", "0"], "--clients"),
        (["--port", "70000"], "--port"),
        (["--taker-fee", "-1"], "--taker-fee"),
        (["--taker-fee", "nan"], "--taker-fee"),
        (["--balance", "lots"], "balance"),
        (["--balance", "-1"], "balance"),
        (["--balance", "inf"], "balance"),
        (["--account", "a:b"], "NAME:KEY:SECRET:BALANCE"),
        (["--account", "x:paper:s:1"], "taken"),
        (["--rate-limits", "some"], "--rate-limits"),
        (["stray"], "stray"),
        (["--bars=--"], "--bars needs a value"),
        (["--fault-rate", "1.5"], "--fault-rate"),
        (["--now", "-5"], "--now"),
        (["--now", "99999999999999999999"], "--now"),
        (["--history", "99999999999"], "at most 100,000,000"),
        (["--bars", "60000000"], "at most 100,000,000"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse(arguments)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["--market", "replay:/nowhere/at/all"],
        ["--speed", "fast"],
        ["--host", "256.1.1.1"],
        ["--faults", "/nowhere.json"],
        ["--event-log", "/nowhere/at/all.log"],
    ],
)
def test_the_program_refuses_with_code_2_and_one_line(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "executor.paper", "--port", "0", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tribar-paper: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.servers
@pytest.mark.slow
def test_where_it_is_not_installed_it_says_so_in_one_line() -> None:
    hidden = "import sys; sys.modules['polars'] = None\nimport executor.paper.__main__"
    done = subprocess.run(
        [sys.executable, "-c", hidden],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "tribar-paper: polars not installed in this environment; "
        "start it from the pipeline's: .venv/bin/tribar-paper\n"
    )


@pytest.mark.servers
@pytest.mark.slow
def test_the_program_says_when_it_is_ready_and_ends_with_0(tmp_path: Path) -> None:
    write_market(tmp_path, {"BTCUSDT": wandering(1, 200)})
    market = ("--market", f"replay:{tmp_path}", "--symbols", "BTCUSDT")
    with paper_program(*market, "--now", str(START_MS + 90_000_000)) as paper:
        assert paper.acknowledge_url == f"{paper.url}/__paper/acknowledge"
        taken = subprocess.run(
            [sys.executable, "-m", "executor.paper", *market, "--port", paper.url.split(":")[-1]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert taken.returncode == 2
        assert "try --port 0" in taken.stderr
        assert taken.stderr.count("\n") == 1
        port = int(paper.url.rsplit(":", 1)[1])
        for nonsense in (b"GET /a b c HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(nonsense)
                assert client.recv(100).startswith(b"HTTP/1.0 400 ")
        paper.process.terminate()
        assert paper.process.stderr is not None
        assert paper.process.stderr.read() == ""  # what others get wrong is not our trouble
    assert paper.process.returncode == 0
