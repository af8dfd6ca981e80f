"""Running a served flow for a command, with servers of its own where none run.

Decides nothing but the order: servers, serving, run. Never imports a flow.
Rule: what was started for the command ends with it.
"""

from collections.abc import Mapping
from typing import Any

from flows.commands.frame import console
from flows.settings import Settings
from flows.shown.terminal import Stages
from flows.system.runs import Outcome, Serving, run_flow
from flows.system.services import NAMES, Services


def run_served(settings: Settings, flow: str, parameters: Mapping[str, Any]) -> Outcome:
    """Run a served flow, with servers started for it where none run."""
    stages = Stages(console())
    with Services(settings) as services:
        services.begin(NAMES)
        with Serving(settings, services) as serving:
            with stages.stage("Servers") as stage:
                services.wait(stage.say)
                stage.say(" · ".join(s.short for s in services))
            with stages.stage("Flows") as stage:
                serving.wait_ready(stage)
                stage.say(f"served as {flow}/{settings.schedule.deployment}")
            return run_flow(settings, services, serving, stages, flow=flow, parameters=parameters)
