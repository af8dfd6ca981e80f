"""Versions on a real MLflow server: written once, loaded by anyone, promoted by compare-and-set."""

import json
import subprocess
import sys
import uuid
from functools import cache

import numpy as np
import pytest
import stamina
from mlflow.exceptions import MlflowException

from executor.core.bundle import bundle_sha256, unpack
from executor.core.manifest import canonical
from features.errors import InputError
from features.signals import primary_signal
from flows.registry import Registry
from flows.versions import ROOT, Package
from tests.support.bundles import small_bundle

pytestmark = [pytest.mark.servers, pytest.mark.slow]
NOW_MS = 1_760_000_000_000


@cache
def trained():
    return small_bundle(bars=900)


def made_bundle(seed):
    """Return a bundle that differs from others in its seed only."""
    files = dict(trained())
    manifest = json.loads(files["manifest.json"])
    manifest["seeds"] = {"model": seed}
    files["manifest.json"] = canonical(manifest)
    return files


def package(files, gate="passed", **tags):
    manifest = json.loads(files["manifest.json"])
    return Package(
        bundle=files,
        bundle_sha256=bundle_sha256(files),
        input_names=tuple(manifest["feature_names"]),
        tags={"gate": gate, "symbols": ",".join(manifest["symbols"]), **tags},
        params={"signal.rule": "momentum", "trials": "12"},
        metrics={"test_auc": 0.55, "test_sharpe": float("nan")},
        files={"plots/equity.png": b"\x89PNG", "gate.json": b"{}"},
        now_ms=NOW_MS,
        description="a test",
    )


@pytest.fixture
def registry(mlflow_url):
    return Registry(mlflow_url, f"tribar-{uuid.uuid4().hex[:8]}")


def test_a_version_holds_the_bundle_its_tags_and_its_figures(registry):
    files = made_bundle(seed=1)
    version = registry.register(package(files, data_version="candles@3"))
    assert version.version == 1
    assert version.gate == "passed"
    assert version.bundle_sha256 == bundle_sha256(files)
    assert version.tags["data_version"] == "candles@3"
    assert version.metrics == {"test_auc": 0.55}  # what is no number is absent, never zero
    assert registry.bundle(1) == files


def test_registering_the_same_bundle_again_finds_it(registry):
    files = made_bundle(seed=2)
    first = registry.register(package(files))
    again = registry.register(package(files))
    other = registry.register(package(made_bundle(seed=3)))
    assert (first.version, again.version, other.version) == (1, 1, 2)
    assert [v.version for v in registry.versions()] == [2, 1]


LOAD = """
import sys, json, mlflow, numpy as np, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(f"models:/{sys.argv[2]}@champion")
names = [c["name"] for c in model.metadata.signature.inputs.to_dict()]
table = pd.DataFrame(np.random.default_rng(0).normal(0, 2, (30, len(names) - 1)), columns=names[1:])
table.insert(0, "symbol", sys.argv[3])
import flows.served
print(json.dumps([flows.served.__file__, model.predict(table).to_dict("list")]))
"""


def test_anyone_can_load_it_by_alias_and_gets_the_executors_answers(registry, mlflow_url, tmp_path):
    """A fresh program that knows nothing of Tribar: the model brings its code with it."""
    files = made_bundle(seed=4)
    registry.register(package(files))
    registry.promote(1)
    bundle = unpack(files)
    symbol = next(iter(bundle.info.symbols))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, mlflow_url, registry.name, symbol],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    origin, found = json.loads(done.stdout.strip().splitlines()[-1])
    assert not origin.startswith(str(ROOT))
    rows = np.random.default_rng(0).normal(0, 2, (30, len(bundle.info.feature_names)))
    columns = {name: i for i, name in enumerate(bundle.info.feature_names)}
    for i, row in enumerate(rows):
        signal = primary_signal(row, columns, bundle.info.signal)
        assert found["side"][i] == signal.side
        if signal.side:
            assert found["probability"][i] == bundle.predict(symbol, row, signal).probability
    assert any(found["side"])


class KilledError(BaseException):
    """The process ends here: nothing of ours is allowed to catch it."""


class Dying:
    """MLflow's client in a process that ends as soon as its n-th change has arrived."""

    def __init__(self, client, at):
        self._client, self._left = client, at

    def __getattr__(self, name):
        real = getattr(self._client, name)
        if name.startswith(("get_", "search_")):
            return real

        def changed(*args, **kwargs):
            found = real(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                raise KilledError(name)
            return found

        return changed


def registered(registry, files):
    """Do what the register flow does."""
    version = registry.register(package(files))
    registry.challenge(version.version)
    return version


@pytest.mark.timeout(300)
def test_killed_after_any_change_a_registration_ends_in_one_version_and_moves_no_alias(
    registry, monkeypatch
):
    monkeypatch.setattr("flows.registry.copy_code", lambda _: None)  # a hundred uploads each
    client = registry._client
    killed = []
    for number, at in enumerate((1, *range(1, 20)), start=1):
        files = made_bundle(seed=100 + number)
        registry._client = Dying(client, at)
        try:
            last = registered(registry, files)
            break
        except KilledError as change:
            killed.append(str(change))
        registry._client = client
        challenger = registry.find("challenger")
        moved = killed[-1] == "set_registered_model_alias"
        assert (challenger.version if challenger else 0) == (number if moved else number - 1)
        again = registered(registry, files)
        assert again.version == number, killed[-1]  # none lost, none twice
        assert registry.bundle(number) == files
        assert registry.version("challenger").version == number
    assert killed[0] == "create_registered_model"
    assert {"create_run", "log_model_artifacts", "create_model_version"} <= set(killed)
    assert killed[-1] == "set_registered_model_alias"
    assert [v.version for v in registry.versions()] == list(range(last.version, 0, -1))
    assert last.version == len(killed) + 1


class Restarting:
    """MLflow's client while the server comes back: the first calls find nobody."""

    def __init__(self, client, times):
        self._client, self.left = client, times

    def __getattr__(self, name):
        if self.left:
            self.left -= 1
            raise MlflowException("connection refused")
        return getattr(self._client, name)


def test_a_server_that_comes_back_in_time_is_asked_again(registry):
    registry._client = Restarting(registry._client, 3)
    with stamina.set_testing(True, attempts=8):
        version = registered(registry, made_bundle(seed=90))
    assert (version.version, registry._client.left) == (1, 0)
    assert registry.version(1).aliases == ("challenger",)
    registry._client.left = 8
    with stamina.set_testing(True, attempts=8), pytest.raises(InputError, match="nothing is lost"):
        registry.challenge(1)


def test_promotion_is_compare_and_set(registry):
    for seed in (5, 6, 7):
        registry.register(package(made_bundle(seed=seed)))
    assert registry.find("champion") is None
    registry.promote(1, expected=0)
    registry.promote(2, expected=1)
    with pytest.raises(InputError, match="champion is version 2"):
        registry.promote(3, expected=1)
    champions = [v.version for v in registry.versions() if "champion" in v.aliases]
    assert champions == [2]


def test_rollback_returns_to_the_champion_before_and_quarantines_the_one_left(registry):
    for seed in (8, 9):
        registry.register(package(made_bundle(seed=seed)))
    with pytest.raises(InputError, match="no earlier champion"):
        registry.rollback()
    registry.promote(1)
    registry.promote(2)
    back = registry.rollback(reason="lost 5 % in a day")
    assert back.version == 1
    assert registry.version(2).tags["quarantined"] == "lost 5 % in a day"
    with pytest.raises(InputError, match="quarantined"):
        registry.promote(2)


def test_rollback_believes_the_executor_about_what_ran_before(registry):
    for seed in (10, 11, 12):
        registry.register(package(made_bundle(seed=seed)))
    registry.promote(1)
    registry.promote(3)
    assert registry.rollback(ran_before=2).version == 2


def test_a_refused_version_needs_a_written_override(registry):
    registry.register(package(made_bundle(seed=13), gate="refused"))
    with pytest.raises(InputError, match="not passed by the gate"):
        registry.promote(1)
    registry.override(1, who="ada", when="2026-01-01T00:00:00Z", reason="demo")
    assert registry.promote(1).aliases == ("champion",)
    note = json.loads(registry.version(1).tags["gate_override"])
    assert note == {
        "who": "ada",
        "when": "2026-01-01T00:00:00Z",
        "reason": "demo",
        "scope": "paper",
    }


def test_an_unknown_version_is_one_clear_line(registry):
    registry.register(package(made_bundle(seed=14)))
    with pytest.raises(InputError, match="unknown model version '99'; known: 1"):
        registry.version(99)
    with pytest.raises(InputError, match="unknown model version"):
        registry.version("champoin")


def test_a_server_that_is_not_there_is_one_clear_line():
    away = Registry("http://127.0.0.1:9", "tribar")
    with pytest.raises(InputError, match="does not answer") as caught:
        away.versions()
    assert "\n" not in str(caught.value)
