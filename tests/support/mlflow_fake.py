"""A tiny MLflow: the five REST answers that the executor asks for, from memory.

Serves bundles (name of file to bytes) as registered versions with tags and aliases. Nothing is
checked and nothing is kept; `down` makes every answer a 503, `login` a 401 for anybody else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from executor.clock import Clock
from executor.core.bundle import bundle_sha256
from executor.core.manifest import read_manifest
from executor.models.quarantine import Quarantine
from executor.models.registry import Registry


@dataclass
class FakeVersion:
    """One registered version: its tags and the files of its bundle."""

    files: dict[str, bytes]
    tags: dict[str, str] = field(default_factory=dict)


class FakeMlflow:
    """The server; use as an async context manager, then read `url`."""

    def __init__(self, name: str = "tribar") -> None:
        self.name = name
        self.versions: dict[str, FakeVersion] = {}
        self.aliases: dict[str, str] = {}
        self.down = False
        self.login = ""
        self.requests = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    def register(self, files: dict[str, bytes], *, alias: str = "champion", **tags: str) -> str:
        """Add a version that passed the gate (unless the tags say otherwise); move the alias."""
        version = str(len(self.versions) + 1)
        said = {
            "gate": "passed",
            "bundle_sha256": bundle_sha256(files),
            "feature_schema": read_manifest(files["manifest.json"]).info.feature_schema,
        }
        self.versions[version] = FakeVersion(files=dict(files), tags=said | tags)
        if alias:
            self.aliases[alias] = version
        return version

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._ask_who])
        app.router.add_get("/api/2.0/mlflow/registered-models/alias", self._alias)
        app.router.add_get("/api/2.0/mlflow/logged-models/{id}", self._logged_model)
        app.router.add_post("/api/2.0/mlflow/model-versions/set-tag", self._set_tag)
        app.router.add_get("/api/2.0/mlflow-artifacts/artifacts/{path:.+}", self._artifact)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _ask_who(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer as MLflow's basic-auth app does to whoever it does not know."""
        given = request.headers.get("Authorization", "")
        if self.login and given != self.login:
            text = "You are not authenticated. Please see https://www.mlflow.org/docs/latest/auth"
            return web.Response(status=401, text=text)
        return await handler(request)

    def _missing(self, what: str) -> web.Response:
        body = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"{what} not found"}
        return web.json_response(body, status=404)

    async def _alias(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.down:
            return web.Response(status=503, text="<html>down</html>")
        alias = request.query["alias"]
        if request.query["name"] != self.name:
            return self._missing("Registered Model")
        if alias not in self.aliases:
            body = {
                "error_code": "INVALID_PARAMETER_VALUE",
                "message": f"Registered model alias {alias} not found.",
            }
            return web.json_response(body, status=400)
        version = self.aliases[alias]
        tags = [{"key": k, "value": v} for k, v in self.versions[version].tags.items()]
        found = {
            "name": self.name,
            "version": version,
            "source": f"models:/m-{version}",
            "tags": tags,
            "aliases": [alias],
        }
        return web.json_response({"model_version": found})

    async def _set_tag(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=503, text="<html>down</html>")
        asked = await request.json()
        if asked["name"] != self.name or asked["version"] not in self.versions:
            return self._missing("Model Version")
        self.versions[asked["version"]].tags[asked["key"]] = asked["value"]
        return web.json_response({})

    async def _logged_model(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=503, text="<html>down</html>")
        name = request.match_info["id"]
        info = {"model_id": name, "artifact_uri": f"mlflow-artifacts:/1/models/{name}/artifacts"}
        return web.json_response({"model": {"info": info}})

    async def _artifact(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=503, text="<html>down</html>")
        _, _, name, _, _, path = request.match_info["path"].split("/", 5)
        files = self.versions[name.removeprefix("m-")].files
        if path not in files:
            return self._missing(path)
        return web.Response(body=files[path])


class Notes(dict[str, str]):
    """A memory for what is usually kept in the journal."""

    def meta(self, key: str) -> str | None:
        return self.get(key)

    def set_meta(self, key: str, value: str) -> None:
        self[key] = value


def no_quarantine(registry: Registry, clock: Clock) -> Quarantine:
    """Return a quarantine in which nothing is."""
    return Quarantine(registry, "tribar", Notes(), clock)
