"""How the executor speaks: structured lines, secrets taken out.

Decides the form of a log line (JSON or console on stderr, JSON in a rotating file of five times
10 MB), and that the value of a known secret never appears in one: not in a field, not in a
traceback, not in a line of a library, not in the traceback that ends the process. Never decides
what is worth saying. Rule: modules get a logger by name from structlog; only this module configures
it, and a log that cannot be written never stops trading.
"""

import logging
import sys
import traceback
from collections import deque
from collections.abc import Iterable, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import structlog

from features.errors import InputError

HIDDEN: Final = "***"
LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}
FILE_BYTES: Final = 10_000_000
FILES_KEPT: Final = 5

ERRORS_KEPT: Final = 1_000

Line = MutableMapping[str, Any]

_errors: deque[str] = deque(maxlen=ERRORS_KEPT)
_known: list[str] = []


def hide(text: str) -> str:
    """Return words of somebody else's as they may be kept and shown: a venue may echo a key."""
    return str(Redactor(_known).clean(text))


def recent_errors() -> deque[str]:
    """Return the newest warnings and errors, oldest first, each as one short line."""
    return _errors


class Redactor:
    """Replaces the values of secrets wherever they stand in a line."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True)

    def __call__(self, _logger: Any, _name: str, line: Line) -> Line:
        """Return the line without secrets; a structlog processor."""
        return {str(self.clean(key)): self.clean(value) for key, value in line.items()}

    def clean(self, value: Any) -> Any:
        """Return ``value`` with secrets replaced, through containers and exceptions."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, HIDDEN)
            return value
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {self.clean(key): self.clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean(item) for item in value]
        return self.clean(repr(value))


class _Terminal:
    """Writes a rendered line to whatever stderr is at that moment."""

    def msg(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the terminal is the first log

    debug = info = warning = error = exception = critical = msg


class _File(RotatingFileHandler):
    """The log on disk; a full disk costs lines there and nothing else."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Leave it: the same line went to the terminal."""


class _Both:
    """The last processor: JSON to the file, where there is one; the rest to the terminal."""

    def __init__(self, form: str, file: _File | None) -> None:
        self._json = structlog.processors.JSONRenderer()
        self._console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        self._render: Any = self._json if form == "json" else self._console
        self._file = file

    def __call__(self, logger: Any, name: str, line: Line) -> str:
        if line.get("level") in {"warning", "error", "critical"}:
            rest = {k: v for k, v in line.items() if k not in {"event", "timestamp", "exception"}}
            _errors.append(f"{line.get('timestamp', '')} {line.get('event', '')} {rest}"[:500])
        if self._file is not None:
            text = str(self._json(logger, name, dict(line)))
            self._file.handle(logging.LogRecord("", logging.INFO, "", 0, text, None, None))
        return str(self._render(logger, name, line))


class _Plain(logging.Formatter):
    """Lines of libraries, secrets taken out."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(name)s: %(message)s")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the line as it may be shown."""
        return str(self._redactor.clean(super().format(record)))


def configure(level: str, form: str, secrets: Iterable[str], file: str = "") -> Redactor:
    """Set up structlog, the libraries' logging and the last traceback; return the redactor."""
    _known[:] = secrets
    redactor = Redactor(_known)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redactor,
            _Both(form, _open(file) if file else None),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_names: _Terminal(),
        cache_logger_on_first_use=False,
    )
    libraries = logging.StreamHandler()
    libraries.setFormatter(_Plain(redactor))
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)
    logging.getLogger("ccxt").setLevel(logging.ERROR)
    sys.excepthook = _last_words(redactor)
    return redactor


def _open(path: str) -> _File:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return _File(path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8")
    except OSError as error:
        raise InputError(f"[log] file: cannot open {path}: {error.strerror}") from None


def _last_words(redactor: Redactor) -> Any:
    """Return the hook that prints the traceback that ends the process, secrets taken out."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        print(redactor.clean(text), file=sys.stderr)  # noqa: T201 - the last word

    return show
