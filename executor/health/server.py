"""Health, status and metrics over HTTP, for people, containers and Prometheus.

Decides three answers: `/health` is 200 or 503 with the reasons, `/status` is JSON, `/metrics` is
Prometheus' text. Never changes anything and shows no secret. Rule: loopback unless configured
otherwise; every number comes from `overview`.
"""

from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from executor.control.http import BODY_BYTES_MAX, guard
from executor.health.exposition import Figures
from executor.health.overview import Overview
from executor.journal.codec import encode
from features.errors import InputError


class HealthServer:
    """The server; use as an async context manager."""

    def __init__(self, overview: Overview, host: str, port: int) -> None:
        self._overview = overview
        self._host = host
        self._port = port
        self._registry = CollectorRegistry()
        self._registry.register(Figures(overview))
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        token = self._overview.settings.control.token.get_secret_value()
        app = web.Application(middlewares=[guard(token)], client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/health", self._health)
        app.router.add_get("/status", self._status)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/commands", self._overview.commands.handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise InputError(
                f"[health] port {self._port}: {error.strerror or error}; set another, or 0 for any"
            ) from None
        port = self._runner.addresses[0][1]
        self.url = f"http://{self._host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        judged = self._overview.judge()
        return _json(self._overview.health(judged), 200 if judged.is_healthy else 503)

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._overview.summary(), 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        text = generate_latest(self._registry).decode()
        return web.Response(text=text, content_type="text/plain")


def _json(value: object, status: int) -> web.Response:
    return web.Response(text=encode(value), status=status, content_type="application/json")
