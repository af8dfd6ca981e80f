"""The model's way in: by alias, verified byte for byte, or not at all."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.core.bundle import bundle_sha256, pack, unpack
from executor.core.manifest import BundleError
from executor.models.loader import LoadedModel, Loader, Policy
from executor.models.registry import Registry, RegistryError, Version
from executor.models.store import ModelStore
from features.signals import Signal
from tests.support.bundles import (
    INTERVAL_MS,
    manifest_of,
    single_bundle,
    small_bundle,
    small_market,
    train_part,
    training_rows,
)
from tests.support.clocks import FakeClock
from tests.support.mlflow_fake import FakeMlflow, no_quarantine

POLICY = Policy(
    name="tribar",
    alias="champion",
    environment="paper",
    interval_ms=INTERVAL_MS,
    poll_interval_ms=1_000,
)
OVERRIDE = {"who": "me", "when": "2026-01-01", "reason": "demo", "scope": "paper"}


@pytest.fixture
async def mlflow() -> AsyncIterator[FakeMlflow]:
    async with FakeMlflow() as server:
        yield server


def loader_at(registry: Registry, store: ModelStore, policy: Policy = POLICY) -> Loader:
    clock = FakeClock()
    return Loader(registry, store, policy, clock, no_quarantine(registry, clock))


class Desk:
    """A loader with what it offered."""

    def __init__(self, mlflow: FakeMlflow, store: Path, policy: Policy = POLICY) -> None:
        self.registry = Registry(mlflow.url, timeout_ms=2_000)
        self.store = ModelStore(store)
        self.loader = Loader(
            self.registry,
            self.store,
            policy,
            FakeClock(),
            no_quarantine(self.registry, FakeClock()),
        )
        self.offered: list[LoadedModel] = []

    async def offer(self, loaded: LoadedModel) -> None:
        self.offered.append(loaded)

    async def look(self) -> str:
        await self.loader.look(self.offer)
        return self.loader.refusal


@pytest.fixture
async def desk(mlflow: FakeMlflow, tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(mlflow, tmp_path / "models")
    yield made
    await made.registry.close()


async def test_the_version_of_the_alias_is_loaded_and_kept(mlflow: FakeMlflow, desk: Desk) -> None:
    mlflow.register(small_bundle())
    found = await desk.loader.start()
    assert found is not None
    assert (found.record["version"], found.record["gate"]) == ("1", "passed")
    assert found.bundle.info.bundle_sha256 == found.record["bundle_sha256"]
    assert desk.store.get(found.record["bundle_sha256"]) == small_bundle()
    assert desk.store.current() == dict(found.record)
    assert await desk.look() == ""
    assert desk.offered == [], "nothing new"


async def test_a_moved_alias_is_offered_once(mlflow: FakeMlflow, desk: Desk) -> None:
    mlflow.register(small_bundle())
    await desk.loader.start()
    mlflow.register(small_bundle(seed=8))
    assert await desk.look() == ""
    assert await desk.look() == ""
    assert [loaded.record["version"] for loaded in desk.offered] == ["2"]
    mlflow.aliases["champion"] = "1"  # and back again: a rollback is a promotion
    await desk.look()
    assert [loaded.record["version"] for loaded in desk.offered] == ["2", "1"]


async def test_nothing_is_downloaded_twice(mlflow: FakeMlflow, desk: Desk) -> None:
    mlflow.register(small_bundle())
    await desk.loader.start()
    mlflow.versions["1"].files.clear()
    again = Loader(
        desk.registry, desk.store, POLICY, FakeClock(), no_quarantine(desk.registry, FakeClock())
    )
    found = await again.start()
    assert found is not None
    assert again.refusal == ""


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"gate": "refused"}, "gate says 'refused'"),
        ({"gate": ""}, "gate says 'nothing'"),
        ({"quarantined": "true"}, "quarantined"),
        ({"bundle_sha256": ""}, "no tag bundle_sha256"),
        ({"bundle_sha256": "0" * 64}, "not what the tag bundle_sha256 says"),
        ({"gate": "refused", "gate_override": "yes"}, "gate says"),
        ({"gate": "refused", "gate_override": json.dumps({"scope": "paper"})}, "gate says"),
        ({"gate": "refused", "gate_override": json.dumps({**OVERRIDE, "scope": "live"})}, "scope"),
    ],
)
async def test_what_may_not_be_loaded_is_said_and_the_old_one_stays(
    mlflow: FakeMlflow, desk: Desk, tags: dict[str, str], said: str
) -> None:
    mlflow.register(small_bundle())
    first = await desk.loader.start()
    mlflow.register(small_bundle(seed=8), **tags)
    refusal = await desk.look()
    assert said in refusal
    assert "\n" not in refusal
    assert desk.offered == []
    assert desk.loader.current is first


async def test_an_override_of_scope_paper_holds_on_paper_and_nowhere_else(
    mlflow: FakeMlflow, desk: Desk, tmp_path: Path
) -> None:
    tags = {"gate": "refused", "gate_override": json.dumps(OVERRIDE)}
    mlflow.register(small_bundle(), **tags)
    found = await desk.loader.start()
    assert found is not None
    assert found.record["gate"] == "overridden"
    for environment in ("testnet", "live"):
        other = Desk(mlflow, tmp_path / environment, replace(POLICY, environment=environment))
        assert await other.loader.start() is None
        assert "does not hold here" in other.loader.refusal
        # nor by way of a store that was filled on paper
        other.store.put(found.record["bundle_sha256"], small_bundle())
        other.store.set_current(dict(found.record))
        assert await other.loader.start() is None
        await other.registry.close()


async def test_every_changed_byte_is_refused(mlflow: FakeMlflow, desk: Desk) -> None:
    """A flipped bit can crash XGBoost: nothing is opened before its hash was checked."""
    whole = small_bundle()
    for name in whole:
        for at in range(0, len(whole[name]), max(1, len(whole[name]) // 7)):
            flipped = bytearray(whole[name])
            flipped[at] ^= 1 << (at % 8)
            mlflow.register(small_bundle(), alias="champion")
            mlflow.versions[mlflow.aliases["champion"]].files[name] = bytes(flipped)
            assert await desk.look() != "", f"{name} at {at}"
            assert desk.offered == []
            assert desk.loader.current is None


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_every_single_bit_of_a_bundle_is_refused() -> None:
    whole = small_bundle()
    expected, bits = bundle_sha256(whole), 0
    for name in whole:
        for at in range(len(whole[name])):
            for bit in range(8):
                flipped = bytearray(whole[name])
                flipped[at] ^= 1 << bit
                with pytest.raises(BundleError):
                    unpack({**whole, name: bytes(flipped)}, expected)
                bits += 1
    assert bits == 8 * sum(map(len, whole.values())) > 100_000


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_store_is_not_trusted(data: st.DataObject, tmp_path: Path) -> None:
    whole = small_bundle()
    store = ModelStore(tmp_path / "damaged")
    store.put("x", whole)
    name = data.draw(st.sampled_from(sorted(whole)))
    at = data.draw(st.integers(0, len(whole[name]) - 1))
    path = tmp_path / "damaged" / "x" / name
    flipped = bytearray(whole[name])
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(flipped)
    files = store.get("x")
    path.write_bytes(whole[name])
    assert files is not None
    with pytest.raises(BundleError):
        unpack(files, bundle_sha256(whole))


async def test_a_damaged_store_is_downloaded_again(
    mlflow: FakeMlflow, desk: Desk, tmp_path: Path
) -> None:
    mlflow.register(small_bundle())
    found = await desk.loader.start()
    assert found is not None
    path = tmp_path / "models" / found.record["bundle_sha256"] / "booster.ubj"
    path.write_bytes(path.read_bytes()[:-1])
    again = Loader(
        desk.registry, desk.store, POLICY, FakeClock(), no_quarantine(desk.registry, FakeClock())
    )
    assert await again.start() is None
    assert "damaged" in again.refusal
    assert await again.start() is not None, "the damaged copy was dropped"


async def test_without_a_registry_the_store_is_enough(mlflow: FakeMlflow, desk: Desk) -> None:
    mlflow.register(small_bundle())
    await desk.loader.start()
    mlflow.down = True
    again = Loader(
        desk.registry, desk.store, POLICY, FakeClock(), no_quarantine(desk.registry, FakeClock())
    )
    found = await again.start()
    assert found is not None
    assert found.record["version"] == "1"
    assert not again.reachable
    assert "HTTP 503" in again.refusal or "MLflow" in again.refusal


async def test_no_model_is_said_and_is_no_failure(mlflow: FakeMlflow, desk: Desk) -> None:
    assert await desk.loader.start() is None
    assert "alias 'champion'" in desk.loader.refusal
    assert desk.loader.reachable


async def test_another_interval_and_another_schema_are_refused(
    mlflow: FakeMlflow, desk: Desk
) -> None:
    market = small_market()
    part = train_part(*training_rows(market, "one_hot"))
    training = manifest_of(market)["training"]
    hourly = pack(manifest_of(market, training=training | {"interval_ms": 3_600_000}), {"": part})
    mlflow.register(hourly)
    assert "trained on bars of 3600000 ms" in await desk.look()
    mlflow.register(pack(manifest_of(market, feature_schema="0" * 64), {"": part}))
    assert "feature schema 000000000000" in await desk.look()
    assert desk.loader.current is None


async def test_a_bundle_that_names_files_outside_of_it_is_refused(
    mlflow: FakeMlflow, desk: Desk
) -> None:
    files = small_bundle()
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["../../escape"] = "0" * 64
    raw = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    mlflow.register({**files, "manifest.json": raw})
    assert "outside of the bundle" in await desk.look()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("file:/tmp/x", "not served by MLflow"),
        ("s3://bucket/x", "not served by MLflow"),
        ("", "not served by MLflow"),
    ],
)
async def test_artifacts_that_are_not_served_are_said(desk: Desk, source: str, said: str) -> None:
    version = Version(name="tribar", version="1", source=source, tags={})
    with pytest.raises(RegistryError, match=said):
        await desk.registry.bundle_path(version)


async def test_a_registry_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    registry = Registry("http://127.0.0.1:1", timeout_ms=500)
    loader = Loader(
        registry, ModelStore(tmp_path), POLICY, FakeClock(), no_quarantine(registry, FakeClock())
    )
    assert await loader.start() is None
    assert "MLflow at http://127.0.0.1:1" in loader.refusal
    await registry.close()


async def test_a_bundle_with_a_model_a_symbol_is_loaded_and_answers(
    mlflow: FakeMlflow, desk: Desk
) -> None:
    symbols = ("AAAUSDT", "BBBUSDT")
    mlflow.register(single_bundle(*symbols))
    found = await desk.loader.start()
    assert found is not None
    signal = Signal(side=1, score=0.01, confidence=0.7, rule=1)
    row = small_market(900).tapes[0].features[800]
    answers = {found.bundle.predict(symbol, row, signal).probability for symbol in symbols}
    assert len(answers) == len(symbols), "each symbol answers from its own trees"
