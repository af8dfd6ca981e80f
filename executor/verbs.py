"""The verbs that need the whole executor: run, replay, restore, keys, alerts test.

Decides what each prints and its exit code. Loaded by name by `executor.__main__`, and by nothing
else, so that asking a running executor loads nothing of what trades.
"""

import argparse
import asyncio
import gc

from executor.alerting.process import send_test
from executor.app import App
from executor.clock import SystemClock
from executor.past import show_replay, show_restore
from executor.settings.settings import Settings, config_path
from executor.venue.keys import show_keys
from features.errors import InputError


def perform(verb: str, settings: Settings, given: argparse.Namespace) -> int:
    """Carry out one of these verbs; return the exit code."""
    match verb:
        case "run":
            return _run(settings, given)
        case "keys":
            lines, fit = asyncio.run(show_keys(settings, SystemClock()))
            return _print(lines, 0 if fit else 1)
        case "alerts":
            return asyncio.run(_alerts(settings, given.arguments))
        case "replay":
            return _print(*show_replay(settings, given.day, SystemClock()))
        case _:
            path = config_path(given.config)
            return _print(show_restore(settings, path, given.arguments, force=given.force), 0)


def _run(settings: Settings, given: argparse.Namespace) -> int:
    """Trade; what was imported is left out of garbage collection: shorter pauses, quick end."""
    gc.freeze()
    app = App(settings, SystemClock(), given.summary, config_path(given.config))
    code = asyncio.run(app.run())
    gc.freeze()
    return code


async def _alerts(settings: Settings, arguments: list[str]) -> int:
    if arguments != ["test"]:
        raise InputError("alerts: write `tribar-executor alerts test`")
    wrong = await send_test(settings.alerts)
    return _print(wrong or ["every service took a message of each level"], 1 if wrong else 0)


def _print(lines: list[str], code: int) -> int:
    print("\n".join(lines))  # noqa: T201 - the answer
    return code
