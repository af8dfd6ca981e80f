"""Where every command is judged, whichever way it came: Redis or HTTP.

Decides whether a message is a command, whether it may be obeyed (signature, age, lease, the
replay's verdict on parameters), and the answer. A command is taken once: the same id again gets the
same answer and changes nothing. Never carries one out itself: it goes through the trader's queue,
where it is journaled with who and when; until then it is not remembered on disk, so that a process
which dies takes it again (each says how things shall be: twice is as good as once). Rule: kill and
flatten are obeyed whenever they are genuine, whatever else is wrong, and what ends them wherever
they are; nothing else passes in doubt.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from executor.clock import Clock
from executor.control.names import ALWAYS, EVERYWHERE, FLAT_S, NAMES, REVERT
from executor.control.signatures import is_signed, signature
from executor.core.contract import CommandName
from executor.core.events import Command, Event
from executor.core.tuning import BARS_MIN, judged
from executor.core.types import Outcome
from executor.errors import JournalError
from executor.journal.store import Journal
from executor.parts import Parts
from features.signals import ADAPTIVE_BOUNDS, SignalParams
from features.suggest import unknown_name

STALE_MS: Final = 300_000
SEEN: Final = "commands_seen"
SEEN_KEPT: Final = 300
FLAT_LOOK_S: Final = 0.2
AGAIN: Final = "an instance that knows of it"
TEXT_MAX: Final = 200
STOPS: Final = frozenset({CommandName.KILL, CommandName.FLATTEN, CommandName.PAUSE})

log = structlog.get_logger("commands")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a command: taken, done, failed, refused, or elsewhere (not ours to obey)."""

    verdict: str
    text: str


class CommandDesk:
    """Takes commands. ``token`` is empty where signatures are not asked for."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        parts: Parts,
        *,
        token: str,
        put: Callable[[Command], None],
        market_ms: Callable[[], int],
        reload: Callable[[Callable[[SignalParams], str]], Awaitable[str]],
        holds_lease: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._parts = parts
        self._token = token
        self._put = put
        self._market_ms = market_ms
        self._reload = reload
        self._holds_lease = holds_lease
        self._seen: dict[str, list[str]] = orjson.loads(journal.meta(SEEN) or "{}")
        self._unwritten = 0
        self._stopping = 0
        self._marks: dict[str, str] = {}

    async def take(
        self, body: Any, *, entry_id: str = "", age_ms: int = 0, trusted: bool = False
    ) -> Answer:
        """Obey one message, or say why not.

        ``trusted`` says that the bearer was proven another way; ``age_ms`` is how long ago it was
        given, as far as the carrier knows.
        """
        refusal = self._refusal(body, trusted=trusted)
        if refusal:
            log.warning("command_refused", reason=refusal)
            return Answer(verdict="refused", text=refusal)
        name, who = body["name"], str(body.get("who", ""))[:TEXT_MAX]
        seen = self._seen.get(str(body.get("id") or entry_id))
        if seen is not None:
            return Answer(verdict=seen[0], text=f"{seen[1]} (this command was given before)")
        elsewhere = not self._holds_lease() and name not in ALWAYS
        if elsewhere and name not in EVERYWHERE:
            return Answer(verdict="elsewhere", text="the lease is held elsewhere; not obeyed here")
        late = self._late(body, age_ms, entry_id)
        answer = late or await self._obey(name, who, body)
        if elsewhere and answer.verdict == "taken":  # who holds the lease answers for the bot
            answer = Answer(verdict="elsewhere", text="the lease is held elsewhere; noted here")
        log.warning("command", name=name, who=who, verdict=answer.verdict, text=answer.text)
        self._remember(str(body.get("id") or entry_id), answer)
        return answer

    def _refusal(self, body: Any, *, trusted: bool) -> str:
        """Return why a message is no command of ours, "" where it is."""
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            return 'write {"name": "pause", "who": "you"}'
        if self._token and not trusted and not is_signed(body, self._token):
            return "the signature is missing or wrong"
        if self._token and not trusted and not (body.get("id") and _number(body, "time_ms")):
            return "a signed command holds an id and the time it was given"
        if body["name"] not in NAMES:
            return unknown_name("command", body["name"][:TEXT_MAX], NAMES)
        arguments = body.get("arguments") or {}
        if not isinstance(arguments, dict) or not all(
            isinstance(value, str | int | float) for value in arguments.values()
        ):
            return "arguments must be an object of numbers or text"
        return ""

    def _late(self, body: Mapping[str, Any], age_ms: int, entry_id: str) -> Answer | None:
        """Return the refusal of what was given too long ago; a kill is never too old.

        What ends a kill or a pause is read in order wherever the kill was: it need only have been
        put on the stream when it was given.
        """
        given_ms, now_ms = _number(body, "time_ms"), self._clock.now_ms()
        if entry_id and body["name"] in EVERYWHERE:
            age_ms, now_ms = 0, int(entry_id.partition("-")[0])
        if given_ms:
            age_ms = max(age_ms, abs(now_ms - given_ms))
        if age_ms <= STALE_MS or body["name"] in ALWAYS:
            return None
        text = f"{body['name']} was given {age_ms // 1000} s ago; give it again"
        return Answer(verdict="refused", text=text)

    async def _obey(self, name: str, who: str, body: Mapping[str, Any]) -> Answer:
        arguments: dict[str, float | str] = dict(body.get("arguments") or {})
        if name == REVERT:
            state = self._parts.state
            signal = state.model.info.signal if state is not None and state.model else None
            if signal is None:
                return Answer(verdict="refused", text="no model is loaded")
            own = _adaptive(signal)
            said, _ = self._verdict(own)
            self._give(CommandName.SET, who, own)
            text = f"back to the model's own, by {who or 'somebody'}; {said}"
            return Answer(verdict="taken", text=text)
        if name == CommandName.SET:
            answer, values = self._judge(arguments, force=body.get("force") is True)
            if answer.verdict != "refused":
                self._give(name, who, values)
            return answer
        self._give(name, who, arguments)
        if name == CommandName.RELOAD:
            return Answer(verdict="done", text=await self._reload(self._of_a_model))
        text = f"{name} by {who or 'somebody'}{self._still_shut(name)}"
        return Answer(verdict="taken", text=text)

    def _still_shut(self, name: str) -> str:
        """Return what goes on holding entries back after a resume or a reset."""
        guard = self._parts.state.guard if self._parts.state is not None else None
        if guard is None:
            return ""
        latch = guard.killed or guard.halted or ("daily loss" if guard.daily_latched else "")
        if name == CommandName.RESUME and latch:
            return f"; entries stay halted ({latch}) until a reset"
        if name == CommandName.RESET and guard.paused:
            return "; entries stay paused until a resume"
        return ""

    def _give(self, name: str, who: str, arguments: Mapping[str, float | str]) -> None:
        """Put the command into the trader's queue."""
        command = Command(
            name=CommandName(name), time_ms=self._market_ms(), who=who, arguments=dict(arguments)
        )
        self._unwritten += 1
        self._stopping += command.name in STOPS
        self._put(command)

    def is_stopping(self) -> bool:
        """Say whether a kill, flatten or pause was taken that the trader has not handled yet."""
        return self._stopping > 0

    def latched(self) -> list[dict[str, Any]]:
        """Return the commands that are in force here, as somebody gives them."""
        guard = self._parts.state.guard if self._parts.state is not None else None
        if guard is None:
            return []
        names = [CommandName.KILL] * bool(guard.killed) + [CommandName.PAUSE] * guard.paused
        now_ms = self._clock.now_ms()
        bodies: list[dict[str, Any]] = [
            {"name": str(name), "who": AGAIN, "id": f"again-{name}-{now_ms}", "time_ms": now_ms}
            for name in names
        ]
        for body in bodies:  # who gives it again need not obey it again
            self._remember(body["id"], Answer(verdict="taken", text="it is in force here"))
        if self._token:
            bodies = [{**body, "signature": signature(body, self._token)} for body in bodies]
        return bodies

    def after(self, event: Event, _outcome: Outcome) -> None:
        """Learn what the journal holds."""
        if isinstance(event, Command) and self._unwritten:
            self._unwritten -= 1
            self._stopping -= event.name in STOPS
            self._write()

    def keep(self, key: str, value: str) -> None:
        """Keep a mark of what was read, on disk once the journal holds all that was given."""
        self._marks[key] = value
        self._write()

    def _write(self) -> None:
        """Write the marks, now or later: a disk that is full keeps no kill back."""
        try:
            while self._marks and not self._unwritten:
                self._journal.set_meta(*next(iter(self._marks.items())))
                self._marks.pop(next(iter(self._marks)))
        except JournalError as error:
            log.warning("commands_not_marked", error=str(error))

    def _judge(
        self, arguments: Mapping[str, float | str], *, force: bool
    ) -> tuple[Answer, dict[str, float]]:
        """Return the replay's verdict on parameters that a person wants to set, as numbers."""
        values: dict[str, float] = {}
        problem = self._read(arguments, values)
        if problem:
            return Answer(verdict="refused", text=problem), {}
        said, is_better = self._verdict(values)
        if is_better or force:
            text = said + ("" if is_better else "; forced")
            return Answer(verdict="taken", text=text), values
        text = f"{said}; give it with --force to set it all the same"
        return Answer(verdict="refused", text=text), {}

    def _read(self, arguments: Mapping[str, float | str], values: dict[str, float]) -> str:
        """Read parameters into ``values``; return what is wrong with them, "" where nothing is."""
        state = self._parts.state
        if state is None or state.model is None:
            return "no model is loaded"
        bounds = {**ADAPTIVE_BOUNDS, **state.model.info.adaptive_bounds}
        for key, value in arguments.items():
            if key not in bounds:
                return unknown_name("parameter", key, bounds)
            low, high = bounds[key][1:]
            number = _as_number(value)
            if number is None or not low <= number <= high:
                return f"{key} is {value}; give a number from {low:g} to {high:g}"
            values[key] = number
        return "" if values else "name a parameter and its value"

    def _of_a_model(self, signal: SignalParams) -> str:
        """Return what a replay says of the six parameters that a new model brings."""
        state, own = self._parts.state, _adaptive(signal)
        if state is not None and state.model is not None and state.adaptive() == own:
            return "its parameters are those in use"
        said = ", ".join(f"{key}={value:g}" for key, value in sorted(own.items()))
        return f"{said}; {self._verdict(own)[0]}"

    def _verdict(self, values: Mapping[str, float]) -> tuple[str, bool]:
        """Return what a replay of the recent bars says of other parameters: better, or not."""
        state, params = self._parts.state, self._parts.params
        found = None
        if state is not None and params is not None:
            found = judged(state, params, values)
        if state is None or found is None:
            seen = len(state.recent) if state is not None else 0
            return f"the replay has {seen} bars, too few for a verdict ({BARS_MIN})", False
        mean, bound = found
        word = "better" if bound > 0.0 else "worse" if mean < 0.0 else "no better for certain"
        said = (
            f"the replay of {len(state.recent)} bars says {word}: "
            f"{mean:+.2e} a bar, at least {bound:+.2e}"
        )
        return said, bound > 0.0

    async def verified_flat(self) -> Answer:
        """Wait until nothing is held and the venue, asked after that, agrees; or say what is."""
        state = self._parts.state
        if state is None:
            return Answer(verdict="failed", text="the start is not over; give it again")
        began = self._clock.monotonic()
        while self._clock.monotonic() - began < FLAT_S:
            reconciler = self._parts.reconciler
            if not state.ledger.positions and not state.active and reconciler is not None:
                asked_ms = (self._clock.monotonic() - began) * 1000
                if reconciler.age_ms < asked_ms and not reconciler.problem:
                    return Answer(verdict="done", text="flat, and the venue confirms it")
                reconciler.nudge(False)
            await self._clock.sleep(FLAT_LOOK_S)
        held = ", ".join(sorted(state.ledger.positions)) or "orders are still open"
        why = self._parts.reconciler.problem if self._parts.reconciler is not None else ""
        text = (
            f"not flat after {FLAT_S:.0f} s: {held}{f' ({why})' if why else ''}; it goes on trying"
        )
        return Answer(verdict="failed", text=text)

    def _remember(self, entry_id: str, answer: Answer) -> None:
        if not entry_id:
            return
        self._seen[entry_id] = [answer.verdict, answer.text]
        while len(self._seen) > SEEN_KEPT:
            del self._seen[next(iter(self._seen))]
        self.keep(SEEN, orjson.dumps(self._seen).decode())


def _number(body: Mapping[str, Any], key: str) -> int:
    """Return a positive whole number of a message, 0 where it holds none."""
    value = body.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _adaptive(signal: SignalParams) -> dict[str, float]:
    """Return the six adaptive parameters of a model's own signal."""
    return {key: float(getattr(signal, key)) for key in ADAPTIVE_BOUNDS}


def _as_number(value: float | str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
