"""The other end of `alert_sender`: starts it, hands it messages, ends it when it hangs.

Decides when the process is started (at the first message) and when it is given up (it ended, or the
caller's patience did). Never waits without the caller's bound and never shows an address.
Rule: one message at a time; a cancelled hand-over kills the process, so that no late answer is ever
taken for another message's.
"""

import asyncio
import re
import sys
from typing import Any, Final

import orjson
import structlog

from executor.alerting.desk import Level, Message
from executor.settings.sections import Alerts as AlertSettings

READY_S: Final = 30.0
END_S: Final = 2.0

log = structlog.get_logger("alerts")


def addresses(text: str) -> list[str]:
    """Return Apprise's addresses out of a text that separates them by commas or blanks.

    A comma inside of one belongs to it: only one that a scheme follows separates.
    """
    return [part for part in re.split(r"[,\s]+(?=[a-zA-Z0-9+.-]+://)", text.strip()) if part]


class AlertProcess:
    """Delivers messages through the child process."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self.refused: list[int] = []

    async def deliver(self, message: Message) -> bool:
        """Hand one message over; say whether a service took it."""
        body = {"title": message.title, "body": message.body, "level": message.level.name}
        try:
            await self._up()
            answer = await self._ask(body)
        except (OSError, EOFError, orjson.JSONDecodeError) as error:
            log.warning("alert_process_failed", error=repr(error))
            self._kill()
            return False
        except asyncio.CancelledError:
            if self._starting is None or self._starting.done():
                self._kill()  # it hangs; while it only starts, the next message finds it ready
            raise
        return bool(answer.get("sent"))

    async def _up(self) -> None:
        """Start the process where there is none; a start goes on when the waiting is given up."""
        if self._starting is not None and not self._starting.done():
            await asyncio.shield(self._starting)
        elif self._process is None or self._process.returncode is not None:
            self._starting = asyncio.get_running_loop().create_task(self._start())
            self._starting.add_done_callback(_seen)
            await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "executor.alerting.sender",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us: the last words are still to be sent
        )
        async with asyncio.timeout(READY_S):
            answer = await self._ask({"urls": self._urls})
        self.refused = [n for n, taken in enumerate(answer.get("taken", ()), 1) if not taken]
        if self.refused:
            log.error("alert_address_refused", numbers=self.refused, of=len(self._urls))

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise EOFError("the alert process is not there")
        process.stdin.write(orjson.dumps(body) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise EOFError("the alert process ended")
        answer = orjson.loads(line)
        return answer if isinstance(answer, dict) else {}

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def close(self) -> None:
        """End the process."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        process = self._process
        if process is None:
            return
        self._kill()
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            log.warning("alert_process_stays", pid=process.pid)


async def send_test(settings: AlertSettings) -> list[str]:
    """Send one message of each level through the configured services; return what went wrong."""
    urls = addresses(settings.urls.get_secret_value())
    if not urls:
        return ["[alerts] urls: none; set TRIBAR_ALERTS__URLS (https://github.com/caronc/apprise)"]
    process, wrong = AlertProcess(urls), []
    try:
        for level in Level:
            message = Message(
                level=level,
                title=f"tribar: {level.name.lower()}: test",
                body="A test, sent by: tribar-executor alerts test",
            )
            try:
                async with asyncio.timeout(READY_S + settings.timeout_ms / 1000):
                    sent = await process.deliver(message)
            except TimeoutError:
                sent = False
            if not sent:
                wrong.append(f"{level.name.lower()}: not every service took it")
    finally:
        await process.close()
    wrong += [f"address {number} is not one that Apprise knows" for number in process.refused]
    return wrong


def _seen(task: asyncio.Task[None]) -> None:
    """Take note of a failed start that nobody waited for any more."""
    if not task.cancelled() and task.exception() is not None:
        log.warning("alert_process_failed", error=repr(task.exception()))
