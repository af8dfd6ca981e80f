"""What MLflow's plain REST says of a model: which version an alias names, its tags, its files.

Decides how an alias becomes a version and a path of artifacts, and how much is downloaded at most.
Never imports mlflow, never writes to it, never judges a model (`loader` does). Rule: every request
is bounded in time and in bytes, and whatever the server answers, the failure is a
:class:`RegistryError` of one line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp

API: Final = "/api/2.0/mlflow"
ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
MANIFEST: Final = "manifest.json"


class RegistryError(Exception):
    """The registry did not answer, or not what it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered version of a model."""

    name: str
    version: str
    source: str
    tags: Mapping[str, str]


class Registry:
    """A connection to one MLflow server. Close it with :meth:`close`."""

    def __init__(self, url: str, timeout_ms: int) -> None:
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def by_alias(self, name: str, alias: str) -> Version | None:
        """Return the version that ``alias`` names, None where there is no such alias or model."""
        answer = await self._json("registered-models/alias", {"name": name, "alias": alias})
        if answer is None:
            return None
        found = answer.get("model_version")
        if not isinstance(found, Mapping) or "version" not in found:
            raise RegistryError("the answer for the alias holds no model_version")
        tags = {str(t["key"]): str(t.get("value", "")) for t in found.get("tags", ())}
        return Version(
            name=name,
            version=str(found["version"]),
            source=str(found.get("source", "")),
            tags=tags,
        )

    async def bundle_path(self, version: Version) -> str:
        """Return the artifact path under which the bundle of ``version`` lies."""
        uri = version.source
        if uri.startswith("models:/"):
            model_id = uri.removeprefix("models:/").strip("/")
            answer = await self._json(f"logged-models/{quote(model_id, safe='')}", {})
            try:
                uri = str((answer or {})["model"]["info"]["artifact_uri"])
            except (KeyError, TypeError):
                raise RegistryError(f"logged model {model_id} has no artifact_uri") from None
        parts = urlsplit(uri)
        if parts.scheme != "mlflow-artifacts":
            raise RegistryError(
                f"version {version.version}: artifacts are not served by MLflow ({parts.scheme}); "
                "start it with --serve-artifacts"
            )
        return parts.path.strip("/") + "/bundle"

    async def file(self, path: str) -> bytes:
        """Return one artifact."""
        session = self._open()
        url = f"{self._url}{ARTIFACTS}/{quote(path)}"
        try:
            async with session.get(url) as response:
                if response.status != 200:
                    raise RegistryError(f"artifact {path}: HTTP {response.status}")
                body = await response.content.read(FILE_BYTES_MAX + 1)
                while not response.content.at_eof() and len(body) <= FILE_BYTES_MAX:
                    body += await response.content.read(FILE_BYTES_MAX + 1 - len(body))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RegistryError(f"artifact {path}: {_text(error)}") from error
        if len(body) > FILE_BYTES_MAX:
            raise RegistryError(f"artifact {path} is larger than {FILE_BYTES_MAX} bytes")
        return body

    async def _json(self, endpoint: str, query: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Return the answer of an endpoint, None where MLflow says that it does not exist."""
        session = self._open()
        try:
            async with session.get(f"{self._url}{API}/{endpoint}", params=query) as response:
                body = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RegistryError(f"MLflow at {self._url}: {_text(error)}") from error
        code = body.get("error_code") if isinstance(body, Mapping) else None
        if code == "RESOURCE_DOES_NOT_EXIST" or (
            status == 400 and code == "INVALID_PARAMETER_VALUE"
        ):
            return None
        if status != 200 or not isinstance(body, Mapping):
            raise RegistryError(f"MLflow at {self._url}: HTTP {status} {code or ''}".rstrip())
        return body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
