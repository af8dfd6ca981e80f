"""How the executor speaks: structured lines, secrets taken out.

Decides the form of a log line (JSON or console), that every line goes to stderr, and that the
value of a known secret never appears in one. Never decides what is worth saying. Rule: modules get
a logger by name from structlog; only this module configures it.
"""

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Final

import structlog

HIDDEN: Final = "***"
LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}


class Redactor:
    """Replaces the values of secrets wherever they stand in a line."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True)

    def __call__(
        self, _logger: Any, _name: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Return the line without secrets; a structlog processor."""
        return {key: self.clean(value) for key, value in line.items()}

    def clean(self, value: Any) -> Any:
        """Return ``value`` with secrets replaced, through containers and exceptions."""
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, dict):
            return {key: self.clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in value]
        if isinstance(value, BaseException):
            return self.clean(repr(value))
        return value


def configure(level: str, form: str, secrets: Iterable[str]) -> Redactor:
    """Set up structlog and the libraries' logging; return the redactor in use."""
    redactor = Redactor(secrets)
    render: Any = structlog.processors.JSONRenderer()
    if form == "console":
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redactor,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("ccxt").setLevel(logging.ERROR)
    return redactor
