"""The bench's own arithmetic: ratios, goals, and what happens where a peer is missing."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import environments, suite
from tests.benchmarks.data import minute_bars
from tests.benchmarks.measure import cpu_seconds
from tests.benchmarks.suite import Contender, Report


def case(seconds: float, units: int = 1_000) -> dict[str, float]:
    return {"seconds": seconds, "units": units}


@pytest.fixture
def report() -> Report:
    return Report("labels", cases={"ours": case(0.001), "peer": case(0.005)})


def test_ratio_is_judged_by_its_goal(report):
    report.ratio("faster", "peer", "ours", least=4.0)
    report.ratio("much faster", "peer", "ours", least=6.0)
    report.ratio("cost", "ours", "peer", most=1.2)
    assert [(row.value, row.met) for row in report.rows] == [
        ("5.00×", True),
        ("5.00×", False),
        ("0.20×", True),
    ]


def test_an_absent_peer_misses_no_goal(report):
    report.ratio("faster", "nobody", "ours", least=4.0)
    report.time("time", "nobody", "event")
    assert [(row.value, row.met) for row in report.rows] == [("not measured", None)] * 2
    assert math.isnan(report.per_unit("nobody"))


def test_times_are_shown_in_their_unit(report):
    report.time("a", "ours", "event")
    report.time("b", "ours", "event", "≤ 2 µs", 2e-6)
    report.time("c", "peer", "event", "≤ 2 µs", 2e-6)
    assert [(row.value, row.met) for row in report.rows] == [
        ("1.0 µs/event", None),
        ("1.0 µs/event", True),
        ("5.0 µs/event", False),
    ]


def test_contenders_take_turns_and_keep_their_least_time(tmp_path):
    script = tmp_path / "contender.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "log = pathlib.Path(sys.argv[2]); turn = len(log.read_text()) if log.exists() else 0\n"
        "log.open('a').write(sys.argv[1])\n"
        "print('noise')\n"
        "print(json.dumps({'case': sys.argv[1], 'seconds': 9 - turn, 'units': 1, 'reps': 1,"
        " 'versions': {'x': '1'}}))\n"
    )
    report, log = Report("turns"), tmp_path / "log"
    contenders = [Contender("ours", (str(script), name, str(log))) for name in "ab"]
    report.measure(contenders, rounds=2)
    assert log.read_text() == "abab"
    assert report.cases["a"]["seconds"] == 7
    assert report.cases["b"]["seconds"] == 6
    assert report.versions == {"x": "1"}


@pytest.mark.parametrize(("environment", "kind"), [("ours", "broken"), ("peers", "absent")])
def test_a_failing_contender_is_named_once(tmp_path, monkeypatch, environment, kind):
    """A peer that fails is absent, but where ours fails the bench fails."""
    monkeypatch.setattr(suite, "python", lambda name: Path(sys.executable))
    script = tmp_path / "failing.py"
    script.write_text("raise SystemExit('no such library')")
    report = Report("failing")
    report.measure([Contender(environment, (str(script),))], rounds=2)
    found = {"broken": report.broken, "absent": report.absent}
    assert len(found.pop(kind)) == 1
    assert list(found.values()) == [[]]


def test_an_environment_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    lock = tmp_path / "bench-nothing.lock"
    lock.write_text("nothing==0 --hash=sha256:0\n")
    monkeypatch.setitem(environments.PEERS, "nothing", lock)
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "_run", lambda command: "no network")
    with pytest.raises(environments.NoPeersError, match=r"bench-nothing\.lock .* no network"):
        environments.python("nothing")


def test_locks_of_the_peers_are_hashed_and_name_no_host():
    for lock in environments.PEERS.values():
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "index-url" not in text


def test_bars_repeat_and_are_bars():
    bars = minute_bars(5_000)
    assert all(np.array_equal(bars[name], minute_bars(5_000)[name]) for name in bars)
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()


def test_the_first_call_is_not_counted():
    calls = []
    cpu_seconds(lambda: calls.append(1), 3)
    assert len(calls) == 4
