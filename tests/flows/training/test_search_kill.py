"""A search whose worker the system kills, on real journals: no trial lost, none twice."""

import signal
import subprocess
import sys
import time
import uuid

import pytest

from flows.training import study

TOTAL = 6


def worker(url, name):
    command = [sys.executable, "-m", "tests.support.search_worker", url, name, str(TOTAL)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.servers
@pytest.mark.timeout(200)
@pytest.mark.parametrize("storage", ["redis", "file"])
def test_a_search_killed_by_the_system_goes_on_with_every_trial(storage, request, tmp_path):
    """kill -9 in the middle of the third trial: what had ended is kept, what was lost is tried."""
    url, name = str(tmp_path / "studies.journal"), uuid.uuid4().hex[:8]
    if storage == "redis":
        url = request.getfixturevalue("valkey_url")

    def ended():
        return {r.number: r for r in study.records(study.open_study(url, name))}

    process = worker(url, name)
    for _ in range(3):
        assert process.stdout.readline() == "begun\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {number: record.point for number, record in ended().items()}
    assert len(kept) >= 2
    last = worker(url, name)
    tried, _ = last.communicate(timeout=120)
    assert last.returncode == 0
    now = ended()
    assert {number: now[number].point for number in kept} == kept
    assert len(now) == TOTAL
    assert tried.count("begun") == TOTAL - len(kept)  # nothing that had ended was tried again
    drawn = [record.origin for record in now.values() if record.is_sobol]
    assert sorted(drawn) == [f"sobol-{n}" for n in range(4)]  # none lost, none twice
