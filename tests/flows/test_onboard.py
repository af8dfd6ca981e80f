"""A symbol is onboarded: trained by the version's recipe, judged alone, joined; no other moves."""

import json

import pytest

from executor.core.bundle import MANIFEST, unpack
from features.errors import InputError
from flows import train as train_module
from flows.cli import run
from flows.dataset import dataset
from flows.gate import gate
from flows.lake.store import Lake
from flows.onboard import onboard
from flows.register import register
from flows.registry import Registry
from flows.search import search
from flows.settings import load_settings
from flows.train import train
from flows.training.joining import joined_recipe
from tests.support.lakes import fill_lake

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(240)]
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")


@pytest.fixture
def project(tmp_path, mlflow_url, monkeypatch):
    fill_lake(Lake(tmp_path / "lake"), SYMBOLS)
    monkeypatch.setattr(train_module, "git_revision", lambda: "tested")
    for name in ("REDIS_URL", "TRIBAR_REDIS_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "TRIBAR_HOME": str(tmp_path),
        "TRIBAR_PATHS__LAKE": str(tmp_path / "lake"),
        "TRIBAR_DATA__SYMBOLS": ",".join(SYMBOLS[:2]),
        "TRIBAR_SEARCH__SOBOL_TRIALS": "2",
        "TRIBAR_SEARCH__TRIALS": "3",
        "TRIBAR_MODEL__HISTORY_DAYS_MIN": "40",
        "TRIBAR_MODEL__MODE": "single_symbol",
        "TRIBAR_GATE__SPA_DRAWS": "300",
        "TRIBAR_REGISTRY__MODEL_NAME": f"onboard-{tmp_path.name}"[:80],
        "MLFLOW_TRACKING_URI": mlflow_url,
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def registered(symbols, joins=None):
    """Run the stages from dataset to registry; return what the last two gave."""
    prepared = dataset.fn(list(symbols))
    searched = search.fn(prepared["key"], joins=joins)
    trained = train.fn(prepared["key"], searched["study"], joins=joins)
    judged = gate.fn(trained["model_key"])
    return searched, judged, register.fn(trained["model_key"])


def test_onboarding_through_the_flows(project, mlflow_url):
    _, _, first = registered(SYMBOLS[:2])
    registry = Registry(mlflow_url, load_settings().registry.model_name)
    before = registry.bundle(first["version"])
    assert {n.split("/")[1] for n in before if n != MANIFEST} == set(SYMBOLS[:2])
    recipe = joined_recipe(load_settings(), first["version"])
    searched, judged, joined = registered(SYMBOLS[2:], joins=first["version"])
    assert searched["trials"] == 3  # the version's own point, and two that were drawn before
    assert judged["tier"] == "recipe"
    after = registry.bundle(joined["version"])
    assert joined["version"] == first["version"] + 1
    assert {name: after[name] for name in before if name != MANIFEST} == {
        name: data for name, data in before.items() if name != MANIFEST
    }
    model = unpack(after, joined["bundle_sha256"])
    assert set(model.info.symbols) == set(SYMBOLS)
    assert joined_recipe(load_settings(), joined["version"]) == recipe
    assert registry.version("challenger").tags["symbols"] == ",".join(SYMBOLS)
    assert model.manifest["joined"]["added"] == [SYMBOLS[2]]
    # The newest judged model, asked for by the command: it is a version already, and stays one.
    assert run(["register", "--json", str(project / "again.json")]) == 0
    assert json.loads((project / "again.json").read_text())["version"] == joined["version"]
    assert registry.version("challenger").version == joined["version"]


def test_there_is_nothing_to_register_before_a_training(project, capsys):
    assert run(["register"]) == 2
    assert "train one with tribar retrain" in capsys.readouterr().err


def test_a_shared_model_is_not_onboarded_to(project, monkeypatch):
    monkeypatch.setenv("TRIBAR_MODEL__MODE", "multi_symbol")
    with pytest.raises(InputError, match="tribar retrain"):
        onboard.fn(["CCCUSDT"])


def test_onboarding_nobody_says_so(project):
    with pytest.raises(InputError, match="name at least one symbol"):
        onboard.fn([])
