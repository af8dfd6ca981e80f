"""The journal that a restart replays.

Decides how what moved the exchange is written to a file and read back. Never holds a wall time or
a result: replaying the same entries gives the same state, to the byte of the event log. Rule: an
entry is on disk before it is acted on; a last line that was cut off never happened.
"""

import json
from io import BufferedWriter
from pathlib import Path
from typing import Any

from features.errors import InputError

Entry = list[Any]
BEGINNING = b'{"now_ms":'  # of the header: what begins otherwise is somebody else's file


class Journal:
    """An append-only file of entries, or nothing where there is no path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: BufferedWriter | None = None
        self._lines = [] if path is None else _whole_lines(path)
        self.is_replaying = False

    @property
    def header(self) -> dict[str, Any] | None:
        """What the journal says of the run it belongs to; None where it is new."""
        return dict(self._lines[0]) if self._lines else None

    @property
    def past(self) -> list[Entry]:
        """The entries that are there already."""
        return [list(line) for line in self._lines[1:]]

    def begin(self, header: dict[str, Any]) -> None:
        """Open the file for appending.

        Raises
        ------
        InputError
            Where the journal belongs to another run.
        """
        if self._path is None:
            return
        known = self.header
        if known is not None and known != header:
            names = [name for name in header if known.get(name) != header[name]]
            raise InputError(
                f"journal {self._path.name} is of another run: {', '.join(names)} differ; "
                "give its options, or another file"
            )
        kept = b"".join(map(_line, self._lines))
        self._path.write_bytes(kept)
        self._file = self._path.open("ab")
        if known is None:
            self._append(header)

    def write(self, entry: Entry) -> None:
        """Append an entry, unless it is just being replayed."""
        if self._file is not None and not self.is_replaying:
            self._append(entry)

    def _append(self, line: Any) -> None:
        if self._file is not None:
            self._file.write(_line(line))
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _line(value: Any) -> bytes:
    # Not orjson: what a client sent may hold numbers of any length.
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _whole_lines(path: Path) -> list[Any]:
    """Return the lines of a journal up to the first that is not whole."""
    if not path.exists():
        return []
    content = path.read_bytes()
    if content and not content.startswith(BEGINNING[: len(content)]):
        raise InputError(f"{path.name} is no journal of tribar-paper; give another file")
    lines: list[Any] = []
    for raw in content.split(b"\n")[:-1]:
        try:
            lines.append(json.loads(raw))
        except ValueError:
            break
    return lines
