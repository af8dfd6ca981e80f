"""The gate as a flow: each use is in the ledger, a proven recipe is judged beside its champion."""

import json
import shutil

import numpy as np
import pytest

from executor.core.bundle import bundle_sha256, unpack
from flows import gate as gate_module
from flows.dataset import dataset
from flows.gate import gate
from flows.lake.store import Lake
from flows.ledger import RECIPE_TIER, Ledger, Use
from flows.research.verdict import spending_level
from flows.search import search
from flows.settings import load_settings
from flows.train import train
from flows.training.plan import ledger, recipe_key
from flows.training.shelf import read_folder
from tests.support.lakes import fill_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
SYMBOLS = ("AAAUSDT", "BBBUSDT")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A project with one trained model, not yet judged: its home and the model's key."""
    home = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        use(patch, home)
        fill_lake(Lake(home / "data/lake"), SYMBOLS)
        prepared = dataset.fn()
        found = train.fn(prepared["key"], search.fn(prepared["key"])["study"])
        return home, found["model_key"]


def use(patch, home):
    for name in ("REDIS_URL", "TRIBAR_REDIS_URL", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        patch.delenv(name, raising=False)
    patch.setenv("TRIBAR_HOME", str(home))
    patch.setenv("TRIBAR_DATA__SYMBOLS", ",".join(SYMBOLS))
    patch.setenv("TRIBAR_SEARCH__SOBOL_TRIALS", "2")
    patch.setenv("TRIBAR_SEARCH__TRIALS", "3")
    patch.setenv("TRIBAR_MODEL__HISTORY_DAYS_MIN", "40")
    patch.setenv("TRIBAR_GATE__SPA_DRAWS", "500")


@pytest.fixture
def project(model, monkeypatch):
    home, key = model
    use(monkeypatch, home)
    shutil.rmtree(home / "data/ledger", ignore_errors=True)
    return home, key


def level_of(judged):
    return next(
        c["threshold"] for c in judged["criteria"] if c["name"] == "superior predictive ability"
    )


def test_every_use_is_paid_for_and_survives_a_deleted_study(project):
    home, key = project
    first = gate.fn(key)
    assert (first["tier"], first["attempt"]) == ("recipe", 1)
    assert level_of(first) == pytest.approx(spending_level(0.02, 1))
    (home / "data/reports/studies.journal").unlink(missing_ok=True)
    again = gate.fn(key)  # the same evidence: the same use, the same bundle
    assert again["attempt"] == 1
    assert again["bundle_sha256"] == first["bundle_sha256"]
    evidence = home / "data/reports/models" / key / "evidence.json"
    kept = evidence.read_bytes()
    plain = json.loads(kept)
    plain["bet_q90"] += 1e-6
    evidence.write_text(json.dumps(plain))
    other = gate.fn(key)  # other evidence: another use, at a quarter of the level
    evidence.write_bytes(kept)
    assert other["attempt"] == 2
    assert level_of(other) == pytest.approx(spending_level(0.02, 1) / 4)
    entries = ledger(load_settings()).entries()
    assert [e["kind"] for e in entries] == ["attempt", "verdict", "attempt", "verdict"]


def test_an_attempt_is_written_before_anything_is_computed(project, monkeypatch):
    _, key = project

    class KilledError(RuntimeError):
        pass

    def dies(*_):
        raise KilledError

    monkeypatch.setattr(gate_module, "judge_model", dies)
    with pytest.raises(KilledError):
        gate.fn(key)
    assert [e["kind"] for e in ledger(load_settings()).entries()] == ["attempt"]


def prove(home, key):
    """Write into the ledger that this model's recipe has passed."""
    manifest = json.loads((home / "data/reports/models" / key / "draft/manifest.json").read_text())
    settings = load_settings()
    recipe = recipe_key(settings, manifest["feature_schema"])
    before = Use(
        recipe=recipe, tier=RECIPE_TIER, model_key="earlier", study="s", evidence_sha256="0" * 64
    )
    book: Ledger = ledger(settings)
    book.finish(before, book.begin(before, 1), "passed", 2)
    return recipe


def test_a_proven_recipe_without_a_champion_is_judged_by_the_recipe_tier(project):
    home, key = project
    prove(home, key)
    judged = gate.fn(key)
    assert (judged["tier"], judged["attempt"]) == ("recipe", 2)


def test_a_proven_recipe_is_judged_beside_its_champion(project, monkeypatch):
    """The champion is an older model of the recipe: here the same one, said to have ended early."""
    home, key = project
    recipe = prove(home, key)
    gate.fn(key)
    files = read_folder(home / "data/reports/models" / key / "bundle")
    champion = unpack(files, bundle_sha256(files))
    early = champion.manifest["training"]["start_ms"]
    monkeypatch.setattr(gate_module, "_champion", lambda settings, wanted: champion)
    judged = gate.fn(key)
    assert (judged["tier"], judged["recipe"]) == ("refit", recipe)
    by_name = {c["name"]: c for c in judged["criteria"]}
    # its training ended with the data: no event is left that it has not seen
    assert not by_name["log loss against the champion"]["passed"]
    assert "are needed" in by_name["log loss against the champion"]["reason"]
    assert by_name["feature parity"]["passed"]
    manifest = dict(champion.manifest)
    manifest["training"] = {**manifest["training"], "end_ms": early}
    older = _with_manifest(files, manifest)
    monkeypatch.setattr(gate_module, "_champion", lambda settings, wanted: older)
    judged = gate.fn(key)
    line = {c["name"]: c for c in judged["criteria"]}["log loss against the champion"]
    assert line["value"] is None or np.isclose(line["value"], 0.0, atol=1e-9)
    assert {c["name"] for c in judged["criteria"]} >= {"no leakage", "calibration error"}


def _with_manifest(files, manifest):
    changed = dict(files)
    changed["manifest.json"] = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    return unpack(changed, bundle_sha256(changed))
