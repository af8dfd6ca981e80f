"""Every use of the gate, in a file that is only ever added to.

Decides the attempt number k, which sets the level of the next test, and whether a recipe is
proven. A line is chained to the one before by its hash, so a line that is changed, taken
out or moved is noticed and said, and a file beside it remembers how many there were. Never judges.
Rule: an attempt is written, locked and flushed to disk before its verdict is computed, so that
nobody looks without paying; judging the same evidence again is the same use.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from features.errors import InputError

GENESIS = "0" * 64
ATTEMPT, VERDICT = "attempt", "verdict"
RECIPE_TIER, REFIT_TIER = "recipe", "refit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What identifies one use of the gate."""

    recipe: str
    tier: str
    model_key: str
    study: str
    evidence_sha256: str


class Ledger:
    """The ledger in one file; safe for several processes on one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> list[dict[str, Any]]:
        """Return all lines, oldest first.

        Raises
        ------
        InputError
            Where the chain is broken; the message names the first bad line and what to do.
        """
        if not self._path.is_file():
            self._remembered(0)
            return []
        with self._path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return self._read(file)

    def begin(self, use: Use, now_ms: int) -> int:
        """Write that the gate is about to be used and return k, from 1.

        The recipe tier counts the uses of every recipe: a changed search space is one more try, not
        a fresh start. The same evidence of the same recipe and tier keeps the number that it was
        given before.
        """
        with self._locked() as (file, entries):
            for entry in entries:
                if entry["kind"] == ATTEMPT and _is_of(entry, use):
                    return int(entry["attempt"])
            number: int = 1 + sum(
                e["kind"] == ATTEMPT
                and e["tier"] == use.tier
                and (use.tier == RECIPE_TIER or e["recipe"] == use.recipe)
                for e in entries
            )
            self._append(file, entries, use, {"kind": ATTEMPT, "attempt": number}, now_ms)
            return number

    def finish(self, use: Use, attempt: int, word: str, now_ms: int) -> None:
        """Write the verdict of a use that was begun; once is enough."""
        with self._locked() as (file, entries):
            told = {"kind": VERDICT, "attempt": attempt, "verdict": word}
            if not any(
                e["kind"] == VERDICT and _is_of(e, use) and e["verdict"] == word for e in entries
            ):
                self._append(file, entries, use, told, now_ms)

    def is_proven(self, recipe: str) -> bool:
        """Say whether the recipe has passed the recipe tier."""
        return any(
            e["kind"] == VERDICT
            and e["tier"] == RECIPE_TIER
            and e["recipe"] == recipe
            and e["verdict"] == "passed"
            for e in self.entries()
        )

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._path

    @contextmanager
    def _locked(self) -> Iterator[tuple[IO[bytes], list[dict[str, Any]]]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            entries = self._read(file)
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            yield file, entries

    def _append(
        self,
        file: IO[bytes],
        entries: Sequence[Mapping[str, Any]],
        use: Use,
        told: Mapping[str, Any],
        now_ms: int,
    ) -> None:
        body = {
            "number": len(entries) + 1,
            "recipe": use.recipe,
            "tier": use.tier,
            "model_key": use.model_key,
            "study": use.study,
            "evidence_sha256": use.evidence_sha256,
            "time_ms": now_ms,
            **told,
            "before": entries[-1]["hash"] if entries else GENESIS,
        }
        file.seek(0, os.SEEK_END)
        file.write(_canonical({**body, "hash": _hash(body)}) + b"\n")
        file.flush()
        os.fsync(file.fileno())
        remembered = self._head.with_name(f"{self._head.name}.part")
        remembered.write_text(str(body["number"]), encoding="ascii")
        remembered.replace(self._head)

    def _read(self, file: IO[bytes]) -> list[dict[str, Any]]:
        """Return the chained lines; a write that was cut short is left out where nobody saw it end.

        A line counts once its newline is there; the file's remembered length is written after it,
        so a cut last line that is remembered was cut later, and is refused as missing.
        """
        entries: list[dict[str, Any]] = []
        before = GENESIS
        whole, _, _ = file.read().rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            entry = self._parsed(line, number)
            body = {name: value for name, value in entry.items() if name != "hash"}
            if (
                entry.get("hash") != _hash(body)
                or entry.get("before") != before
                or entry.get("number") != number
            ):
                raise self._broken(number, "was changed, or a line before it was taken out")
            before = entry["hash"]
            entries.append(entry)
        self._remembered(len(entries))
        return entries

    @property
    def _head(self) -> Path:
        return self._path.with_name(f"{self._path.name}.head")

    def _remembered(self, count: int) -> None:
        """Refuse a ledger that is shorter than it once was."""
        known = int(self._head.read_text(encoding="ascii")) if self._head.is_file() else 0
        if known > count:
            raise self._broken(count + 1, f"of {known} is missing")

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            raise self._broken(number, "is no JSON (a write that was cut short?)") from None
        if not isinstance(entry, dict):
            raise self._broken(number, "is no JSON object")
        return entry

    def _broken(self, number: int, what: str) -> InputError:
        return InputError(
            f"the gate's ledger {self._path}: line {number} {what}; "
            "put the file back from a backup: without it nobody knows how often was tried"
        )


def _is_of(entry: Mapping[str, Any], use: Use) -> bool:
    names = ("recipe", "tier", "model_key", "evidence_sha256")
    return all(entry[name] == getattr(use, name) for name in names)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()
