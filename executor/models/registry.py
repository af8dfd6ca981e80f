"""What MLflow's plain REST says of a model: which version an alias names, its tags, its files.

Decides how an alias becomes a version and a path of artifacts, and how much is downloaded at most.
Never imports mlflow, never writes anything but a version's tag, never judges a model (`loader`
does). Rule: every request is bounded in time and in bytes, and whatever the server answers, the
failure is a :class:`RegistryError` of one line that holds no password of the address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from executor.logs import hide

API: Final = "/api/2.0/mlflow"
ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
JSON_BYTES_MAX: Final = 4 * 1024 * 1024
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
    """A connection to one MLflow server. Close it with :meth:`close`.

    Who asks stands in the address (``http://user:password@host``), else in ``user`` and
    ``password``.
    """

    def __init__(self, url: str, timeout_ms: int, *, user: str = "", password: str = "") -> None:
        self._url = url.rstrip("/")
        parts = urlsplit(self._url)
        self._shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._headers: dict[str, str] = {}
        if user and "@" not in parts.netloc:
            self._headers = {"Authorization": aiohttp.encode_basic_auth(user, password, "utf-8")}
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def by_alias(self, name: str, alias: str) -> Version | None:
        """Return the version that ``alias`` names, None where there is no such alias or model."""
        query = {"name": name, "alias": alias}
        answer = await self._json("GET", "registered-models/alias", params=query)
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
            answer = await self._json("GET", f"logged-models/{quote(model_id, safe='')}")
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
                body = await _read(response, FILE_BYTES_MAX)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RegistryError(f"artifact {path}: {_text(error)}") from error
        if len(body) > FILE_BYTES_MAX:
            raise RegistryError(f"artifact {path} is larger than {FILE_BYTES_MAX} bytes")
        return body

    async def set_tag(self, name: str, version: str, key: str, value: str) -> bool:
        """Write a tag on a version; say whether MLflow knows the version."""
        body = {"name": name, "version": version, "key": key, "value": value}
        return await self._json("POST", "model-versions/set-tag", json=body) is not None

    async def _json(self, method: str, endpoint: str, **more: Any) -> Mapping[str, Any] | None:
        """Return the answer of an endpoint, None where MLflow says that it does not exist."""
        session = self._open()
        try:
            async with session.request(method, f"{self._url}{API}/{endpoint}", **more) as response:
                body, status = _parsed(await _read(response, JSON_BYTES_MAX)), response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RegistryError(f"MLflow at {self._shown}: {_text(error)}") from error
        code = body.get("error_code", "")
        # An alias that nobody set is an invalid parameter to MLflow.
        if code == "RESOURCE_DOES_NOT_EXIST" or (
            method == "GET" and status == 400 and code == "INVALID_PARAMETER_VALUE"
        ):
            return None
        if status in (401, 403):
            raise RegistryError(
                f"MLflow at {self._shown} refuses us (HTTP {status}): set MLFLOW_TRACKING_USERNAME "
                "and MLFLOW_TRACKING_PASSWORD"
            )
        if status != 200:
            raise RegistryError(f"MLflow at {self._shown}: HTTP {status} {code}".rstrip())
        if not body and method == "GET":
            raise RegistryError(f"MLflow at {self._shown}: the answer is no JSON object")
        return body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        return self._session


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, or the first ``most`` bytes of it and one more."""
    body = await response.content.read(most + 1)
    while not response.content.at_eof() and len(body) <= most:
        body += await response.content.read(most + 1 - len(body))
    return body


def _parsed(body: bytes) -> Mapping[str, Any]:
    """Return a JSON object, an empty one where the body is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _text(error: BaseException) -> str:
    return hide(str(error)) or type(error).__name__
