"""The record of everything the venue told.

Decides the bytes of the event log. Never holds wall time, and never overwrites a file that is no
event log. Rule: one JSON line an event, in order; the same seed and the same requests give the same
bytes, which ``digest`` sums up.
"""

from hashlib import blake2b
from pathlib import Path

import orjson

from executor.paper.replies import Row
from features.errors import InputError

BEGINNING = b"[1,"


class EventLog:
    """Counts and digests every line; writes them too where there is a file."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else _writable(path).open("wb")
        self._digest = blake2b(digest_size=16)
        self.lines = 0

    def write(self, market_ms: int, account: str, topic: str, row: Row) -> None:
        """Append one event."""
        self.lines += 1
        line = orjson.dumps([self.lines, market_ms, account, topic, row]) + b"\n"
        self._digest.update(line)
        if self._file is not None:
            self._file.write(line)

    def flush(self) -> None:
        """Hand what was written to the system."""
        if self._file is not None:
            self._file.flush()

    @property
    def digest(self) -> str:
        """Hash of all lines so far."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _writable(path: Path) -> Path:
    """Return ``path``, or refuse one that holds something else than an event log."""
    if path.is_file():
        with path.open("rb") as there:
            begins = there.read(len(BEGINNING))
        if begins and begins != BEGINNING:
            raise InputError(f"--event-log {path.name} is there and is no event log; give another")
    return path
