"""Symbols onboarded at the same time: whoever is last holds all of them, and nothing else moved."""

import threading
import uuid

import pytest

from executor.core.bundle import MANIFEST, bundle_sha256, unpack
from executor.core.manifest import read_manifest
from features.errors import InputError
from flows.registry import Registry
from flows.research.merging import lineage
from flows.training.joining import LINEAGE, register_joined
from flows.versions import Package
from tests.support.bundles import single_bundle, small_bundle

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@pytest.fixture
def registry(mlflow_url):
    return Registry(mlflow_url, f"tribar-{uuid.uuid4().hex[:8]}")


def write(registry, files):
    """Register a bundle as the flow does, with the tags that joining looks at."""
    raw = read_manifest(files[MANIFEST]).raw
    tags = {
        "gate": raw["gate"]["verdict"],
        "symbols": ",".join(raw["symbols"]),
        LINEAGE: lineage(files),
    }
    return registry.register(
        Package(
            bundle=files,
            bundle_sha256=bundle_sha256(files),
            input_names=tuple(raw["feature_names"]),
            tags=tags,
            params={},
            metrics={},
            files={},
            now_ms=1_760_000_000_000,
        )
    )


def join(registry, url, asked, added, writer=None):
    return register_joined(
        registry, url, asked, added, writer or (lambda files: write(registry, files))
    )


def symbols(registry, version):
    return set(unpack(registry.bundle(version)).info.symbols)


def test_two_that_join_at_once_are_both_in_the_newest(registry, mlflow_url):
    first = single_bundle("AAAUSDT", "BBBUSDT")
    base = write(registry, first).version
    added = [single_bundle(name) for name in ("CCCUSDT", "DDDUSDT", "EEEUSDT")]
    failed = []

    def work(files):
        try:
            join(Registry(mlflow_url, registry.name), mlflow_url, base, files)
        except InputError as error:  # pragma: no cover - it would be the finding
            failed.append(error)

    threads = [threading.Thread(target=work, args=(files,)) for files in added]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    newest = max(v.version for v in registry.versions())
    assert newest == base + 3
    assert symbols(registry, newest) == {f"{c * 3}USDT" for c in "ABCDE"}
    files = registry.bundle(newest)
    assert all(files[name] == data for name, data in first.items() if name != MANIFEST)


def test_what_another_machine_registered_in_between_is_joined_too(registry, mlflow_url):
    """No lock is shared between machines: theirs comes after ours was merged, before it is seen."""
    base = write(registry, single_bundle("AAAUSDT")).version
    theirs, calls = single_bundle("DDDUSDT"), []

    def interrupted(files):
        calls.append(files)
        if len(calls) == 1:  # another machine joins DDD to the same version
            other = f"{mlflow_url}#elsewhere"  # the lock is by address: this one is not ours
            join(registry, other, base, theirs)
        return write(registry, files)

    version = join(registry, mlflow_url, base, single_bundle("CCCUSDT"), interrupted)
    assert symbols(registry, version.version) == {"AAAUSDT", "CCCUSDT", "DDDUSDT"}


def test_a_version_that_the_gate_refused_is_not_joined_by_others(registry, mlflow_url):
    base = write(registry, single_bundle("AAAUSDT")).version
    bad = join(registry, mlflow_url, base, single_bundle("BBBUSDT", gate="refused"))
    assert bad.gate == "refused"
    good = join(registry, mlflow_url, base, single_bundle("CCCUSDT"))
    assert good.gate == "passed"
    assert symbols(registry, good.version) == {"AAAUSDT", "CCCUSDT"}


def test_registering_again_after_a_kill_finds_the_same_version(registry, mlflow_url):
    base = write(registry, single_bundle("AAAUSDT")).version
    one = join(registry, mlflow_url, base, single_bundle("BBBUSDT"))
    again = join(registry, mlflow_url, base, single_bundle("BBBUSDT"))
    assert (one.version, again.version) == (base + 1, base + 1)
    assert symbols(registry, again.version) == {"AAAUSDT", "BBBUSDT"}


def test_a_shared_model_cannot_be_joined(registry, mlflow_url):
    base = registry.register(
        Package(
            bundle=small_bundle(900),
            bundle_sha256=bundle_sha256(small_bundle(900)),
            input_names=(),
            tags={"gate": "passed"},
            params={},
            metrics={},
            files={},
            now_ms=1_760_000_000_000,
        )
    )
    with pytest.raises(InputError, match="differs in mode"):
        join(registry, mlflow_url, base.version, single_bundle("BBBUSDT"))
