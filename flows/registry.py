"""Versions of models in MLflow: written once, promoted by a person, never lost.

Decides how a bundle becomes an MLflow version (a pyfunc loaded from code, no pickle), which tags it
carries and how the aliases move: ``challenger`` by the gate, ``champion`` by a person. The only
module that imports mlflow. Never judges a model and never trains one. Rule: the version is created
last and with all its tags, so a process killed before leaves none, and one killed after leaves a
whole one; registering the same bundle again finds it.
"""

import json
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory

import stamina
from mlflow import MlflowClient, artifacts
from mlflow.entities import Metric, Param
from mlflow.entities.model_registry import ModelVersion
from mlflow.environment_variables import (
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_HTTP_REQUEST_TIMEOUT,
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT,
)
from mlflow.exceptions import MlflowException, RestException
from mlflow.models.model import Model
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import ColSpec, DataType, Schema, TensorSpec

from features.errors import InputError
from features.suggest import unknown_name
from flows.promotion import CHAMPION, PREVIOUS, alone, move_champion
from flows.versions import REQUIREMENTS, Package, Version, copy_code, read_files, write_files

CHALLENGER = "challenger"
EXPERIMENT = "tribar"


class Registry:
    """The versions of one registered model, ``name``, on one MLflow server, at ``url``."""

    def __init__(self, url: str, name: str) -> None:
        # MLflow's own default waits minutes for a server that is not there.
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(2)  # type: ignore[no-untyped-call]  # mlflow
        MLFLOW_HTTP_REQUEST_TIMEOUT.set(30)  # type: ignore[no-untyped-call]  # mlflow
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # type: ignore[no-untyped-call]  # mlflow
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # type: ignore[no-untyped-call]  # mlflow
        self.url = url
        self.name = name
        self._client = MlflowClient(tracking_uri=url, registry_uri=url)

    def register(self, package: Package) -> Version:
        """Write the package as a new version, or return the version that holds this bundle.

        Retried for about a minute; whatever a failed try left behind is used by the next.

        Raises
        ------
        InputError
            Where MLflow does not answer or refuses; nothing in the registry was changed then.
        """
        with self._answering():
            for attempt in _attempts():
                with attempt:
                    return self._register(package)
        raise AssertionError("stamina ends in a return or a raise")

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        with self._answering():
            found = self._client.search_model_versions(f"name = '{self.name}'")
            return sorted((self._read(v.version) for v in found), key=lambda v: -v.version)

    def tagged(self, key: str, value: str) -> list[Version]:
        """Return the versions with a tag."""
        with self._answering():
            asked = f"name = '{self.name}' and tags.{key} = '{value}'"
            return [self._read(v.version) for v in self._client.search_model_versions(asked)]

    def version(self, which: int | str) -> Version:
        """Return a version by number or alias.

        Raises
        ------
        InputError
            Where there is no such version; the message lists what there is.
        """
        with self._answering():
            try:
                if isinstance(which, str) and not which.isdigit():
                    found = self._client.get_model_version_by_alias(self.name, which)
                    return self._read(found.version)
                return self._read(int(which))
            except RestException:
                known = [str(v.version) for v in self.versions()]
                known += [alias for v in self.versions() for alias in v.aliases]
                raise InputError(unknown_name("model version", str(which), known)) from None

    def find(self, alias: str) -> Version | None:
        """Return the version that carries ``alias``, or None."""
        with self._answering():
            aliases = self._aliases()
            return self._read(aliases[alias]) if alias in aliases else None

    def bundle(self, which: int | str) -> dict[str, bytes]:
        """Download a version's bundle files by their names."""
        version = self.version(which)
        with self._answering(), TemporaryDirectory() as folder:
            local = Path(
                artifacts.download_artifacts(
                    artifact_uri=f"{self._logged(version.source)}/bundle",
                    dst_path=folder,
                    tracking_uri=self.url,
                )
            )
            return read_files(local)

    def challenge(self, version: int) -> None:
        """Let ``challenger`` point to ``version``; retried like :meth:`register`."""
        with self._answering():
            for attempt in _attempts():
                with attempt:
                    self._client.set_registered_model_alias(self.name, CHALLENGER, str(version))

    def promote(self, which: int | str, *, expected: int | None = None) -> Version:
        """Make a version champion.

        Parameters
        ----------
        which
            Number or alias.
        expected
            The champion's version that the caller saw (0 for none): promotion is refused where
            another person was faster.

        Raises
        ------
        InputError
            Where the version is quarantined, or refused by the gate without an override, or the
            champion is not the expected one.
        """
        chosen = self.version(which)
        if chosen.tags.get("quarantined"):
            raise InputError(
                f"version {chosen.version} is quarantined ({chosen.tags['quarantined']}); "
                "delete the tag in MLflow if the cause is gone"
            )
        if chosen.gate != "passed" and not chosen.tags.get("gate_override"):
            raise InputError(
                f"version {chosen.version} was not passed by the gate ({chosen.gate}); "
                "on the paper exchange it can run with --override REASON"
            )
        return self._move_champion(chosen, expected)

    def rollback(self, ran_before: int | None = None, reason: str = "") -> Version:
        """Return to the champion before, and quarantine the one left where a reason is given.

        Parameters
        ----------
        ran_before
            Version that the executor ran before, where it is known; promotions made in the MLflow
            UI are known only so.
        """
        left = self.find(CHAMPION)
        with self._answering():
            noted = self._client.get_registered_model(self.name).tags.get(PREVIOUS)
        target = ran_before or (int(noted) if noted else None)
        if left is None or target is None or target == left.version:
            raise InputError("there is no earlier champion to return to; promote a version by name")
        if reason:
            self.quarantine(left.version, reason)
        return self._move_champion(self.version(target), left.version)

    def override(self, version: int, *, who: str, when: str, reason: str) -> None:
        """Allow a refused version on the paper exchange, in writing."""
        note = {"who": who, "when": when, "reason": reason, "scope": "paper"}
        with self._answering():
            self._client.set_model_version_tag(
                self.name, str(version), "gate_override", json.dumps(note, sort_keys=True)
            )

    def quarantine(self, version: int, reason: str) -> None:
        """Mark a version so that no alias alone loads it again."""
        with self._answering():
            self._client.set_model_version_tag(self.name, str(version), "quarantined", reason[:500])

    def page(self, version: int) -> str:
        """Return the URL of a version's page."""
        return f"{self.url}/#/models/{self.name}/versions/{version}"

    def file_page(self, version: Version, name: str) -> str:
        """Return the URL where MLflow shows a file of a version's run."""
        with self._answering():
            experiment = self._client.get_run(version.run_id).info.experiment_id
        return f"{self.url}/#/experiments/{experiment}/runs/{version.run_id}/artifacts/{name}"

    def _register(self, package: Package) -> Version:
        sha = package.bundle_sha256
        self._ensure_model()
        existing = self._client.search_model_versions(
            f"name = '{self.name}' and tags.bundle_sha256 = '{sha}'"
        )
        if existing:
            return self._read(max(int(v.version) for v in existing))
        run_id, experiment = self._run(package)
        model_id = self._logged_model(package, run_id, experiment)
        created = self._client.create_model_version(
            self.name,
            source=f"models:/{model_id}",
            run_id=run_id,
            tags={**package.tags, "bundle_sha256": sha},
            description=package.description,
            model_id=model_id,
        )
        self._client.set_terminated(run_id, "FINISHED")
        return self._read(created.version)

    def _ensure_model(self) -> None:
        try:
            self._client.get_registered_model(self.name)
        except RestException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._create_model()

    def _create_model(self) -> None:
        try:
            self._client.create_registered_model(
                self.name, description="Tribar: aliases challenger (gate) and champion (a person)"
            )
        except RestException as error:  # another training was faster
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _run(self, package: Package) -> tuple[str, str]:
        """Return the run of this bundle and its experiment, written where it does not exist."""
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        sha = package.bundle_sha256
        runs = self._client.search_runs(
            [experiment], f"tags.bundle_sha256 = '{sha}' and attributes.status = 'RUNNING'"
        )
        if runs:
            run_id = runs[0].info.run_id
        else:
            tags = {**package.tags, "bundle_sha256": sha}
            made = self._client.create_run(experiment, run_name=f"bundle {sha[:10]}", tags=tags)
            run_id = made.info.run_id
        params = [Param(key, value[:6000]) for key, value in sorted(package.params.items())]
        for start in range(0, len(params), 100):
            self._client.log_batch(run_id, params=params[start : start + 100])
        with TemporaryDirectory() as folder:
            write_files(Path(folder), package.files)
            self._client.log_artifacts(run_id, folder)
        return run_id, experiment

    def _logged_model(self, package: Package, run_id: str, experiment: str) -> str:
        """Upload the model's folder: MLmodel, code, bundle."""
        logged = self._client.create_logged_model(
            experiment, name=self.name, source_run_id=run_id, model_type="tribar bundle"
        )
        with TemporaryDirectory() as folder:
            _model_folder(Path(folder), package, run_id=run_id, model_id=logged.model_id)
            self._client.log_model_artifacts(logged.model_id, folder)
        self._client.finalize_logged_model(logged.model_id, "READY")
        metrics = [
            Metric(key, value, package.now_ms, 0, model_id=logged.model_id, run_id=run_id)
            for key, value in sorted(package.metrics.items())
            if isfinite(value)
        ]
        for start in range(0, len(metrics), 500):
            self._client.log_batch(run_id, metrics=metrics[start : start + 500])
        return str(logged.model_id)

    def _move_champion(self, chosen: Version, expected: int | None) -> Version:
        with self._answering(), alone(self.url, self.name):
            move_champion(self._client, self.name, chosen.version, expected)
            return self._read(chosen.version)

    def _read(self, number: int | str) -> Version:
        found: ModelVersion = self._client.get_model_version(self.name, str(number))
        aliases = [a for a, v in self._aliases().items() if v == int(found.version)]
        metrics: dict[str, float] = {}
        if found.run_id:
            metrics = dict(self._client.get_run(found.run_id).data.metrics)
        return Version(
            version=int(found.version),
            aliases=tuple(sorted(aliases)),
            tags=dict(found.tags),
            metrics=metrics,
            created_ms=int(found.creation_timestamp),
            run_id=str(found.run_id or ""),
            source=str(found.source),
        )

    def _aliases(self) -> dict[str, int]:
        model = self._client.get_registered_model(self.name)
        return {alias: int(version) for alias, version in model.aliases.items()}

    def _logged(self, source: str) -> str:
        model_id = source.removeprefix("models:/")
        return str(self._client.get_logged_model(model_id).artifact_location)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except RestException as error:
            raise InputError(f"MLflow at {self.url} refused: {_first_line(error)}") from None
        except MlflowException as error:
            raise InputError(
                f"MLflow at {self.url} does not answer ({_first_line(error)}); "
                "start it (tribar up) and try again: nothing is lost"
            ) from None


def _attempts() -> Iterable[stamina.Attempt]:
    """Return tries over about a minute: the end of a long run outlasts a server's restart."""
    return stamina.retry_context(on=MlflowException, attempts=8, timeout=60.0, wait_initial=1.0)


def _model_folder(folder: Path, package: Package, *, run_id: str, model_id: str) -> None:
    """Lay out an MLflow model: anyone may load it with ``mlflow.pyfunc.load_model``."""
    write_files(folder / "bundle", package.bundle)
    copy_code(folder / "code")
    (folder / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n", encoding="utf-8")
    names: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "symbol")]
    names += [ColSpec(DataType.double, name) for name in package.input_names]
    model = Model(run_id=run_id, model_id=model_id, signature=ModelSignature(inputs=Schema(names)))
    # What mlflow.pyfunc.add_to_model writes; importing that module takes seconds and warns.
    model.add_flavor(
        "python_function",
        loader_module="flows.served",
        data="bundle",
        code="code",
        python_version=platform.python_version(),
    )
    model.save(str(folder / "MLmodel"))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
