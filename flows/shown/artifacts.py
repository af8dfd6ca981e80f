"""What a flow shows in the Prefect UI while it works and when it has ended.

Decides how often progress is sent. Outside a flow run (tests, scripts) nothing is sent. Rule: a
server that is slow or away must not slow the work down, so progress goes through a thread.
"""

import contextvars
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext

from flows.lake.progress import OnProgress, silent

SEND_EVERY_S = 2.0


@contextmanager
def progress_page(key: str, names: Sequence[str]) -> Iterator[OnProgress]:
    """Show one progress artifact a name while the block runs inside a flow run."""
    if FlowRunContext.get() is None:
        yield silent
        return
    told: dict[str, float] = dict.fromkeys(names, 0.0)
    artifacts = {name: _created(f"{key}-{name.lower()}", f"{key} {name}") for name in names}
    done = threading.Event()

    def send() -> None:
        sent = dict.fromkeys(names, 0.0)
        while True:
            ended = done.wait(SEND_EVERY_S)
            for name, fraction in dict(told).items():
                if fraction != sent[name]:
                    update_progress_artifact(artifacts[name], progress=100.0 * fraction)
                    sent[name] = fraction
            if ended:
                return

    def tell(name: str, fraction: float, note: str) -> None:
        del note  # the artifact has no room for words
        told[name] = max(told[name], fraction)

    context = contextvars.copy_context()
    sender = threading.Thread(target=context.run, args=(send,), daemon=True)
    sender.start()
    try:
        yield tell
    finally:
        done.set()
        sender.join(30)


def _created(key: str, description: str) -> UUID:
    # Called from a flow's own thread, where Prefect answers at once and not with a coroutine.
    return cast("UUID", create_progress_artifact(0.0, key=key, description=description))
