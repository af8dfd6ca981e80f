"""Serves the flows: they can be scheduled, edited and started from the Prefect UI.

Run as `python -m flows.serve`. Decides which flows are offered, with which schedule and parameters;
what a person has changed in the Prefect UI is kept over restarts, until `[schedule]` or the flow's
parameters in `configs/flows.toml` are changed. One run of a flow at a time; others queue.
Rule: a flow is carried out in a process of its own, started by this one, and dies with it.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping
from threading import Event
from typing import Any, Final

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.runner import Runner
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from features.errors import InputError
from flows.clock import monotonic_s
from flows.ingest import ingest
from flows.onboard import onboard
from flows.promotion import CHAMPION
from flows.quality import quality
from flows.retrain import retrain
from flows.settings import Settings, load_settings
from flows.system.prefect_api import PrefectApi
from flows.system.processes import ProgramError
from flows.system.runs import SERVE_READY
from flows.system.services import PROBE_TIMEOUT_S, Service, answers
from flows.universe_refresh import refresh_cron, universe

POLL_S: Final = 1.0
PROBE_EVERY_S: Final = 0.5
MARK: Final = "configured:"  # the tag that says which configuration a deployment was made from


def main() -> None:
    """Serve the flows until the process is ended."""
    try:
        settings = load_settings()
        asyncio.run(serve(settings, wait_for_prefect(settings)))
    except (InputError, ProgramError) as error:
        sys.exit(f"tribar: {error}")


async def serve(settings: Settings, url: str) -> None:
    """Register the deployments with the Prefect server at ``url`` and carry out their runs."""
    with PrefectApi(url, settings.services.prefect_api_key.get_secret_value()) as api:
        offered = await deployments(settings, api)
    runner = Runner(name="tribar", query_seconds=POLL_S, pause_on_shutdown=False)
    for deployment in offered:
        await runner.aadd_deployment(deployment)
    sys.stdout.write(f"{SERVE_READY} {len(offered)}\n")
    sys.stdout.flush()
    await runner.start()


def wait_for_prefect(settings: Settings) -> str:
    """Return the address of the API as soon as it answers: the server may still be starting.

    Raises
    ------
    InputError
        Where no address is configured.
    ProgramError
        Where it does not answer in time.
    """
    url, timeout_s = settings.services.prefect_url, settings.services.start_timeout_s
    if url is None:
        raise InputError("PREFECT_API_URL: name the Prefect server that is to serve the flows")
    server = Service(name="prefect", url=url, origin="external")
    pause, deadline_s = Event(), monotonic_s() + timeout_s
    while not answers(server, PROBE_TIMEOUT_S):
        if monotonic_s() > deadline_s:
            raise ProgramError(f"Prefect did not answer at {server.page} for {timeout_s:g} s")
        pause.wait(PROBE_EVERY_S)
    return url


async def deployments(settings: Settings, api: PrefectApi) -> list[RunnerDeployment]:
    """Return what is offered: `retrain` by schedule, the others on demand.

    An automatic universe is refreshed by schedule too, and chooses the symbols of the others.
    """
    data, schedule = settings.data, settings.schedule
    is_fixed = settings.universe.mode == "fixed"
    symbols = list(data.symbols) if is_fixed else None
    offered: list[tuple[Flow[..., Any], dict[str, Any], str]] = [
        (
            retrain,
            {"symbols": symbols, "days": data.days, "interval": data.interval},
            schedule.cron,
        ),
        (onboard, {"joins": CHAMPION, "days": data.days, "interval": data.interval}, ""),
        (ingest, {"symbols": symbols, "interval": data.interval}, ""),
        (quality, {"symbols": symbols, "interval": data.interval}, ""),
        (universe, {}, "" if is_fixed else refresh_cron(settings.universe.refresh_minutes)),
    ]
    return [await _deployment(settings, api, *one) for one in offered]


async def _deployment(
    settings: Settings, api: PrefectApi, flow: Flow[..., Any], parameters: dict[str, Any], cron: str
) -> RunnerDeployment:
    """Return the flow's deployment; what the UI has changed is kept."""
    name, timezone = settings.schedule.deployment, settings.schedule.timezone
    mark = MARK + _digest({"parameters": parameters, "cron": cron, "timezone": timezone})
    found = api.deployment(f"{flow.name}/{name}")
    if found is not None:
        api.clear_leftovers(found["id"])  # nobody serves now, so nothing of it can be running
    is_kept = found is not None and mark in found["tags"]
    schedules: list[Any] = [Cron(cron, timezone=timezone)] if cron else []
    if found is not None and is_kept:
        parameters = found["parameters"]
        schedules = [_schedule(one) for one in found["schedules"]]
    return await flow.ato_deployment(
        name=name,
        schedules=schedules,
        parameters=parameters,
        paused=bool(found["paused"]) if found is not None and is_kept else False,
        tags=["tribar", mark],
        concurrency_limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _schedule(found: Mapping[str, Any]) -> DeploymentScheduleCreate:
    kept = {key: found[key] for key in ("schedule", "active", "parameters", "slug")}
    return DeploymentScheduleCreate.model_validate(kept)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
