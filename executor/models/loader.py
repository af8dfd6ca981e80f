"""Which model is traded: the one the alias names, if it may be, else the one there was.

Decides whether a registered version may be loaded: gate tag (or a written override of scope paper,
honoured on the paper exchange and nowhere else), quarantine, sha256 before anything is opened,
feature schema and interval. Never swaps a model itself: it offers one, the trader takes it between
two bars. Rule: anything wrong keeps the model there is, and says why in one line.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from executor.clock import Clock
from executor.core.bundle import ModelBundle, unpack
from executor.core.contract import ModelRecord
from executor.core.manifest import BundleError, read_manifest
from executor.errors import BundleRefused
from executor.models.quarantine import TAG, Quarantine
from executor.models.registry import MANIFEST, Registry, RegistryError, Version
from executor.models.store import ModelStore
from features.catalog import default_catalog
from features.errors import InputError

PASSED: Final = "passed"
OVERRIDDEN: Final = "overridden"
FILES_MAX: Final = 2_000

log = structlog.get_logger("loader")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A verified model and what the registry said of it."""

    bundle: ModelBundle
    record: ModelRecord


Offer = Callable[[LoadedModel], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is asked for and what may be accepted.

    ``is_traded`` False is for a model beside the one that trades: a restart does not begin with it.
    """

    name: str
    alias: str
    environment: str
    interval_ms: int
    poll_interval_ms: int
    is_traded: bool = True


class Loader:
    """Watches the alias. ``reachable`` and ``refusal`` say what a person wants to know.

    Before the first look was taken (``asked``) they say nothing. ``accepted`` holds (sha256,
    version) of every bundle that this process judged and checked.
    """

    def __init__(
        self,
        registry: Registry,
        store: ModelStore,
        policy: Policy,
        clock: Clock,
        quarantine: Quarantine,
    ) -> None:
        self._registry = registry
        self._store = store
        self._policy = policy
        self._clock = clock
        self.current: LoadedModel | None = None
        self.asked = False
        self.reachable = False
        self.refusal = ""
        self.quarantine = quarantine
        self.accepted: set[tuple[str, str]] = set()

    async def start(self) -> LoadedModel | None:
        """Return the model to begin with: the alias's, else the one in use last, else None."""
        try:
            self.current = await self._newer()
        except (RegistryError, BundleRefused, BundleError) as error:
            self.refusal = str(error)
        if self.current is None:
            self.current = await self._from_store()
        self.asked = True
        return self.current

    async def run(self, offer: Offer) -> None:
        """Look at the alias every few seconds and offer what is new."""
        while True:
            await self._clock.sleep(self._policy.poll_interval_ms / 1000)
            await self.look(offer)

    def go_back(self, previous: LoadedModel) -> None:
        """Let a model that was in use before be the current one, after a restart too."""
        record = previous.record
        self.current = previous
        self.accepted.add((record["bundle_sha256"], record["version"]))
        self._store.set_current(record)

    async def look(self, offer: Offer) -> None:
        """Look at the alias once."""
        await self._swap(offer)

    async def _swap(self, offer: Offer) -> None:
        """Take one look; whatever goes wrong, the model there is stays."""
        try:
            found = await self._newer()
            if found is not None:
                self.current = found
                await offer(found)
        except (RegistryError, BundleRefused, BundleError) as error:
            self._say(str(error))
        except Exception as error:  # noqa: BLE001 - a bundle may break anything; ours stays
            self._say(f"loading failed: {type(error).__name__}: {error}")

    def _say(self, reason: str) -> None:
        if reason != self.refusal:
            level = 30 if self._policy.is_traded else 10
            log.log(level, "model_kept_out", alias=self._policy.alias, reason=reason)
        self.refusal = reason

    async def _newer(self) -> LoadedModel | None:
        """Return the alias's model where it is another than the one in use."""
        try:
            version = await self._registry.by_alias(self._policy.name, self._policy.alias)
        except RegistryError:
            self.reachable = False
            raise
        self.reachable = True
        if version is None:
            raise RegistryError(
                f"no model {self._policy.name!r} with alias {self._policy.alias!r}; "
                "train one and promote it"
            )
        wanted = version.tags.get("bundle_sha256", "")
        now = self.current.record if self.current is not None else None
        if now is not None and (now["version"], now["bundle_sha256"]) == (version.version, wanted):
            self.refusal = ""
            return None
        gate = self._judge(version, wanted)
        try:
            files = self._store.get(wanted) or await self._download(version, wanted)
            bundle = await self._unpack(files, wanted)
        except (BundleError, BundleRefused) as error:
            raise BundleRefused(f"version {version.version}: {error}") from error
        self.accepted.add((wanted, version.version))
        record = self._record(bundle, version.version, gate)
        self._store.put(wanted, files)
        if self._policy.is_traded:
            self._store.set_current({**record, "alias": self._policy.alias})
        self.refusal = ""
        return LoadedModel(bundle=bundle, record=record)

    def _judge(self, version: Version, wanted: str) -> str:
        """Return the gate's word for a version that may be traded, or refuse it."""
        tags, label = version.tags, f"version {version.version}"
        if not wanted:
            raise BundleRefused(f"{label} has no tag bundle_sha256; register it with `tribar`")
        if tags.get(TAG, "").lower() not in ("", "false"):
            raise BundleRefused(f"{label} is quarantined ({tags[TAG]}); promote another version")
        if left := self.quarantine.refusal(version.version):
            raise BundleRefused(left)
        gate = tags.get("gate", "")
        if gate == PASSED:
            return PASSED
        scope = _override_scope(tags.get("gate_override", ""))
        if scope and scope == self._policy.environment == "paper":
            return OVERRIDDEN
        raise BundleRefused(
            f"{label}: gate says {gate or 'nothing'!r}"
            + (f", override of scope {scope!r} does not hold here" if scope else "")
            + "; promote a version that passed"
        )

    async def _download(self, version: Version, wanted: str) -> dict[str, bytes]:
        """Return the files of a bundle, the manifest checked before it is believed."""
        path = await self._registry.bundle_path(version)
        manifest = await self._registry.file(f"{path}/{MANIFEST}")
        unverified = read_manifest(manifest)
        if unverified.info.bundle_sha256 != wanted:
            raise BundleRefused(
                f"{MANIFEST} is not what the tag bundle_sha256 says; register it again"
            )
        if len(unverified.files) > FILES_MAX:
            raise BundleRefused(f"the manifest names {len(unverified.files)} files")
        files = {MANIFEST: manifest}
        for name in unverified.files:
            if name.startswith("/") or ".." in name.split("/"):
                raise BundleRefused(f"the manifest names a file outside of the bundle: {name!r}")
            files[name] = await self._registry.file(f"{path}/{name}")
        return files

    async def _unpack(self, files: Mapping[str, bytes], wanted: str) -> ModelBundle:
        """Return the model, every byte checked, off the loop's thread."""
        try:
            bundle = await asyncio.to_thread(unpack, files, wanted)
        except BundleError:
            self._store.drop(wanted)
            raise
        info = bundle.info
        try:
            schema = default_catalog().subset(info.feature_names).schema_hash
        except InputError as error:
            raise BundleRefused(f"features of the model: {error}") from None
        if schema != info.feature_schema:
            raise BundleRefused(
                f"feature schema {info.feature_schema[:12]} is not this program's {schema[:12]}; "
                "train with this version, or run the version that trained it"
            )
        if info.interval_ms != self._policy.interval_ms:
            raise BundleRefused(
                f"the model was trained on bars of {info.interval_ms} ms, "
                f"[trading] interval has {self._policy.interval_ms} ms"
            )
        return bundle

    async def _from_store(self) -> LoadedModel | None:
        """Return the model in use last, if it is still whole."""
        kept = self._store.current()
        sha256 = str((kept or {}).get("bundle_sha256", ""))
        files = self._store.get(sha256)
        if kept is None or files is None:
            return None
        gate = str(kept.get("gate", ""))
        if gate != PASSED and not (gate == OVERRIDDEN and self._policy.environment == "paper"):
            return None
        try:
            bundle = await self._unpack(files, sha256)
        except (BundleError, BundleRefused) as error:
            self._say(str(error))
            return None
        version = str(kept.get("version", ""))
        self.accepted.add((sha256, version))
        return LoadedModel(bundle=bundle, record=self._record(bundle, version, gate))

    def _record(self, bundle: ModelBundle, version: str, gate: str) -> ModelRecord:
        return ModelRecord(
            name=self._policy.name,
            version=version,
            alias=self._policy.alias,
            bundle_sha256=bundle.info.bundle_sha256,
            feature_schema=bundle.info.feature_schema,
            gate=gate,
            trained_until_ms=bundle.info.trained_until_ms,
            symbols=list(bundle.info.symbols),
        )


def _override_scope(text: str) -> str:
    """Return the scope of a written override, "" where it is not complete."""
    try:
        written = json.loads(text) if text else {}
    except ValueError:
        return ""
    if not isinstance(written, dict) or not all(written.get(k) for k in ("who", "when", "reason")):
        return ""
    return str(written.get("scope", ""))
