"""The flows from lake to bundle on simulated candles: whole, repeatable, keyed, resumable."""

import json

import numpy as np
import pytest
import stamina

from executor.core.bundle import unpack
from features.catalog import default_catalog
from features.errors import InputError
from flows import dataset as dataset_module
from flows import train as train_module
from flows.commands.models import HEADLINES
from flows.dataset import dataset
from flows.gate import gate
from flows.lake.store import Lake
from flows.register import register
from flows.research.bundling import flat_metrics
from flows.research.evidence import Evidence
from flows.search import search
from flows.settings import load_settings
from flows.train import train
from flows.training import study
from flows.training.plan import base_recipe, shelf, study_url, trial_terms
from flows.training.shelf import load_dataset
from tests.support.lakes import fill_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
SYMBOLS = ("AAAUSDT", "BBBUSDT")


@pytest.fixture(scope="module")
def lake_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    fill_lake(Lake(folder), SYMBOLS)
    return folder


def use_project(monkeypatch, home, lake_folder):
    for name in ("REDIS_URL", "TRIBAR_REDIS_URL", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    # What is committed while the test runs is no part of what is tested.
    monkeypatch.setattr(train_module, "git_revision", lambda: "tested")
    monkeypatch.setenv("TRIBAR_HOME", str(home))
    monkeypatch.setenv("TRIBAR_PATHS__LAKE", str(lake_folder))
    monkeypatch.setenv("TRIBAR_DATA__SYMBOLS", ",".join(SYMBOLS))
    monkeypatch.setenv("TRIBAR_SEARCH__SOBOL_TRIALS", "2")
    monkeypatch.setenv("TRIBAR_SEARCH__TRIALS", "3")
    monkeypatch.setenv("TRIBAR_MODEL__HISTORY_DAYS_MIN", "40")


@pytest.fixture
def project(tmp_path, lake_folder, monkeypatch):
    """An empty project whose lake is filled; its settings come from the environment."""
    use_project(monkeypatch, tmp_path, lake_folder)
    return tmp_path


def whole():
    prepared = dataset.fn()
    searched = search.fn(prepared["key"])
    trained = train.fn(prepared["key"], searched["study"])
    return prepared, searched, trained, gate.fn(trained["model_key"])


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, lake_folder):
    """One whole run, shared by the tests that only look at it; the folder and what it returned."""
    home = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        use_project(patch, home, lake_folder)
        return home, whole()


def test_from_lake_to_bundle_twice_the_same(project, first_run):
    home, (prepared, searched, trained, judged) = first_run
    assert prepared["symbols"] == list(SYMBOLS)
    assert searched["trials"] == 3
    folder = home / "data/reports/models" / trained["model_key"]
    files = {
        p.relative_to(folder / "bundle").as_posix(): p.read_bytes()
        for p in (folder / "bundle").rglob("*")
        if p.is_file()
    }
    bundle = unpack(files, judged["bundle_sha256"])
    assert bundle.manifest["gate"]["verdict"] == judged["verdict"]
    assert bundle.manifest["data"]["content_sha256"] == prepared["content_sha256"]
    assert bundle.info.feature_schema == default_catalog().schema_hash
    assert bundle.info.trained_until_ms == prepared["end_ms"]
    plots = {p.stem for p in (folder / "plots").iterdir()}
    assert plots >= {"equity", "calibration", "importance", "labels", "search", "trials", "folds"}
    page = (folder / "report.html").read_text()
    assert judged["bundle_sha256"][:10] in page
    assert all(f"{c['name']}</td>" in page for c in judged["criteria"])
    assert "http" not in page.replace("data:image", "")  # needs nothing from anywhere
    for line in judged["criteria"]:
        assert line["reason"]
    evidence = Evidence.from_dict(json.loads((folder / "evidence.json").read_text()))
    assert {name for name, _ in HEADLINES.values()} <= set(
        flat_metrics(evidence)
    )  # what `tribar models` lists
    json.dumps([prepared, searched, trained, judged])
    again = whole()  # in another folder
    assert again[3]["bundle_sha256"] == judged["bundle_sha256"]


def test_a_search_goes_on_where_it_was_killed(project, monkeypatch):
    prepared = dataset.fn()
    full = search.fn(prepared["key"])
    reference = study.records(study.open_study(study_url(load_settings()), full["study"]))
    (project / "data/reports/studies.journal").unlink()

    class KilledError(RuntimeError):
        pass

    real, calls = study.run_trials, []

    def dies_in_the_second_trial(found, space, evaluate, **terms):
        def killed(point):
            calls.append(point)
            if len(calls) == 2:
                raise KilledError
            return evaluate(point)

        real(found, space, killed, **terms)

    monkeypatch.setattr(study, "run_trials", dies_in_the_second_trial)
    with pytest.raises(KilledError):
        search.fn(prepared["key"])
    monkeypatch.setattr(study, "run_trials", real)
    monkeypatch.setattr(study, "_owner_died", lambda trial: True)
    again = search.fn(prepared["key"])
    records = study.records(study.open_study(study_url(load_settings()), again["study"]))
    # the one that was lost is queued again, behind those that wait
    assert {r.origin: r.point for r in records} == {r.origin: r.point for r in reference}
    assert {r.origin: r.result.daily for r in records} == {
        r.origin: r.result.daily for r in reference
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRIBAR_LABELS__PROFIT", "0.03"),
        ("TRIBAR_COSTS__TAKER_FEE", "0.0006"),
        ("TRIBAR_MODEL__SEED", "8"),
        ("TRIBAR_SEARCH__FOLDS", "3"),
    ],
)
def test_a_changed_parameter_never_finds_an_older_study(project, monkeypatch, name, value):
    prepared = dataset.fn()
    monkeypatch.setattr(study, "run_trials", lambda *a, **k: None)
    monkeypatch.setattr(study, "records", lambda found: pytest.fail(found.study_name))
    with pytest.raises(pytest.fail.Exception) as first:
        search.fn(prepared["key"])
    monkeypatch.setenv(name, value)
    with pytest.raises(pytest.fail.Exception) as second:
        search.fn(prepared["key"])
    assert str(first.value) != str(second.value)


def test_helpers_share_a_search(project, monkeypatch):
    monkeypatch.setenv("TRIBAR_SEARCH__WORKERS", "2")
    monkeypatch.setenv("TRIBAR_SEARCH__TRIALS", "4")
    searched = search.fn(dataset.fn()["key"])
    records = study.records(study.open_study(study_url(load_settings()), searched["study"]))
    assert len(records) in {4, 5}  # two workers may both begin the last one
    assert {r.origin for r in records} >= {"sobol-0", "sobol-1"}
    assert len({tuple(r.point.values()) for r in records}) >= 4, "only that one may be drawn twice"


def test_changed_candles_never_find_an_older_dataset(project, lake_folder, tmp_path, monkeypatch):
    first = dataset.fn()
    folder = tmp_path / "other"
    fill_lake(Lake(folder), SYMBOLS, seed=6)
    monkeypatch.setenv("TRIBAR_PATHS__LAKE", str(folder))
    assert dataset.fn()["key"] != first["key"]


def test_other_features_or_other_code_never_find_an_older_dataset(project, monkeypatch):
    first = dataset.fn()["key"]
    whole = default_catalog()
    with monkeypatch.context() as patch:
        fewer = whole.subset([name for name in whole.names if name != "adx_14_x4"][:-1])
        patch.setattr(dataset_module, "training_catalog", lambda settings: fewer)
        assert dataset.fn()["key"] != first
    monkeypatch.setattr(dataset_module, "code_version", lambda: "other")
    assert dataset.fn()["key"] != first


def test_a_stored_dataset_is_the_one_that_was_made(project):
    made = dataset.fn()
    data, facts = load_dataset(shelf(load_settings()).dataset(made["key"]), default_catalog())
    assert facts == made
    assert data.symbols == SYMBOLS
    terms = trial_terms(load_settings(), data)
    assert terms.first_ms < terms.judged_ms < terms.test_ms
    assert base_recipe(load_settings()).barriers.profit == 0.02
    for market in data.markets:
        assert np.isfinite(market.matrix[market.first]).all()
        assert not np.isfinite(market.matrix[market.first - 1]).all()


def test_a_symbol_without_history_is_left_out_with_the_reason(project):
    made = dataset.fn(symbols=[*SYMBOLS, "CCCUSDT"])
    assert made["symbols"] == list(SYMBOLS)
    assert "CCCUSDT" in made["left_out"]["CCCUSDT"]


def test_no_symbol_left_is_one_clear_line(project):
    with pytest.raises(InputError, match="no symbol can be trained on"):
        dataset.fn(symbols=["CCCUSDT"])


def test_registering_without_a_server_says_what_to_do_and_keeps_the_model(
    project, first_run, monkeypatch
):
    home, (*_, judged) = first_run
    monkeypatch.setenv("TRIBAR_HOME", str(home))
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI"):
        register.fn(judged["model_key"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    again = f"tribar register {judged['model_key']}"
    with stamina.set_testing(True), pytest.raises(InputError, match=f"does not answer.*{again}"):
        register.fn(judged["model_key"])
    bundle = home / "data/reports/models" / judged["model_key"] / "bundle"
    assert (bundle / "manifest.json").is_file()


def test_flows_refuse_keys_that_do_not_exist(project):
    with pytest.raises(InputError, match="run the dataset flow first"):
        search.fn("nothing")
    with pytest.raises(InputError, match="run train first"):
        gate.fn("nothing")
