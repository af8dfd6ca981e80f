"""An asyncio event loop in virtual time, and the simulated processes that live on it.

Decides what runs next: ready handles in order, then the earliest timer, to which the clock jumps;
timers of one moment in an order drawn from the seed. Knows which process a handle belongs to (by a
context variable), so that a process can be frozen like by SIGSTOP. Never waits, opens nothing and
reads no clock. Rule: a deadlock is an error, never a hang.
"""

import asyncio
import contextvars
import heapq
import random
from asyncio import base_events, events
from collections import deque
from collections.abc import Callable
from typing import Any


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is left."""


class Dead(BaseException):
    """The process was killed: raised at its next touch of the outside, so that nothing goes on."""


class Process:
    """One operating system process: it can be frozen, paused inside a call, and killed."""

    def __init__(self, loop: "VirtualLoop", name: str) -> None:
        self.loop = loop
        self.name = name
        self.dead = False
        self.frozen_until = 0.0
        self.backlog: deque[Handle] = deque()
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.failures: list[str] = []
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)

    def freeze(self, seconds: float) -> None:
        """Run nothing of this process for a while; what falls due meanwhile runs afterwards."""
        self.frozen_until = max(self.frozen_until, self.loop.time() + seconds)
        self.loop.frozen_until = max(self.loop.frozen_until, self.frozen_until)
        self.loop.call_at(self.frozen_until, self._thaw, context=WORLD)

    def pause(self, seconds: float) -> None:
        """Stop in the midst of what it is doing: its own clock goes on, its effects come later."""
        self.loop.ahead += seconds
        self.freeze(0.0)

    def _thaw(self) -> None:
        if self.loop.time() >= self.frozen_until or self.dead:
            self.loop.run_again(self.backlog)

    def kill(self) -> None:
        """End every task of the process; the ports let nothing of it through any more."""
        self.dead = True
        self.loop.run_again(self.backlog)
        for task in list(self.tasks):
            task.cancel()

    def ended(self, task: "asyncio.Task[Any]") -> None:
        """Forget a task; how one of a dead process ended is nobody's business."""
        self.tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.dead:
            self.failures.append(repr(error))


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
WORLD = contextvars.Context()


class Handle:
    """A callback that is due: what asyncio's own handle is, without what nobody asks for here."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context")

    def __init__(self, callback: Any, args: Any, context: contextvars.Context | None) -> None:
        self._callback = callback
        self._args = args
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """Let the callback not run; a cancelled timer is thrown away when it falls due."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Say whether it was cancelled."""
        return self._cancelled


class VirtualLoop(base_events.BaseEventLoop):
    """The loop. ``ahead`` is how far the process that runs now is ahead of the world."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._now = 0.0
        self._due: deque[Handle] = deque()
        self._heap: list[tuple[float, float, int, Handle]] = []
        self._number = 0
        self._tie = rng.random
        self._ended = False
        self.frozen_until = 0.0
        self.ahead = 0.0
        self.handles = 0
        self.problems: list[str] = []
        self.set_task_factory(_make_task)
        self.set_exception_handler(self._note)

    # Futures ask this of their loop; as a builtin it costs no Python frame.
    get_debug = staticmethod(bool)  # type: ignore[assignment]  # bool() is False

    def _note(self, _loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Dead):
            self.problems.append(f"{context.get('message')}: {error!r}")

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now + self.ahead

    @property
    def world_time(self) -> float:
        """Return when what runs now began: the world's time, whatever the process paused since."""
        return self._now

    def run_again(self, handles: "deque[Handle]") -> None:
        """Put handles back that were held for a frozen process."""
        self._due.extend(handles)
        handles.clear()

    def call_soon(  # type: ignore[override]  # a handle by shape
        self, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context)
        self._due.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there are no threads

    def call_later(  # type: ignore[override]  # a handle by shape
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context)
        self._number += 1
        when = self._now + self.ahead + delay
        heapq.heappush(self._heap, (when, self._tie(), self._number, handle))
        return handle

    def call_at(  # type: ignore[override]  # a handle by shape
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context)
        self._number += 1
        heapq.heappush(self._heap, (when, self._tie(), self._number, handle))
        return handle

    def run_in_executor(self, _executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Run at once: a thread would bring the wall clock in."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed on, as a thread would
            future.set_exception(error)
        return future

    def stop(self) -> None:
        """End :meth:`run_forever` after the callback that runs now."""
        self._ended = True

    def run_forever(self) -> None:
        """Run until :meth:`stop`: what is due in order, then the earliest timer."""
        events._set_running_loop(self)
        self._ended = False
        due, run = self._due, self._run
        try:
            while not self._ended:
                if not due:
                    self._advance()
                handle = due.popleft()
                if not handle._cancelled:
                    run(handle)
        finally:
            events._set_running_loop(None)

    def _run(self, handle: Handle) -> None:
        """Run one callback, unless its process is frozen."""
        context = handle._context
        if self.frozen_until > self._now:
            process = context.get(PROCESS)
            if process is not None and process.frozen_until > self._now and not process.dead:
                process.backlog.append(handle)
                return
        self.handles += 1
        try:
            context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio's own handle does
            self.call_exception_handler({"message": "a callback failed", "exception": error})
        self.ahead = 0.0

    def _advance(self) -> None:
        """Jump to the earliest timer that still counts, and make all of its moment due."""
        heap, due = self._heap, self._due
        while heap and not due:
            self._now = when = max(self._now, heap[0][0])
            while heap and heap[0][0] <= when:
                handle = heapq.heappop(heap)[3]
                if not handle._cancelled:
                    due.append(handle)
        if not due:
            raise DeadlockError(f"nothing is left to happen after {self._now:.3f} s")

    def _process_events(self, _events: Any) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is nobody to wake."""


def _make_task(loop: Any, coro: Any, context: contextvars.Context | None = None) -> Any:
    """Make a task and note whose it is."""
    task = asyncio.Task(coro, loop=loop, context=context)
    process = context.get(PROCESS) if context is not None else PROCESS.get()
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(process.ended, context=WORLD)
    return task
