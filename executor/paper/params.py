"""The parameters of one request, read with their types.

Decides what a parameter's text means and refuses what it cannot mean. Never knows an endpoint.
Rule: whatever a client sends becomes a value or a ``VenueError`` 10001; nothing a client sends can
raise anything else here.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from executor.paper.venue.errors import PARAMS_ERROR, VenueError
from executor.paper.venue.orders import ZERO

FIELDS_MAX = 100
NUMBER_LENGTH_MAX = 40
INTEGER_MAX = 1 << 62
TIME_MS_MAX = 253_402_300_800_000


def json_of(text: str) -> Any:
    """Return the value of a client's JSON text, fractions as they are written.

    None where it is no JSON, is nested too deep or holds half a character (a lone surrogate), which
    no reply could show again.
    """
    try:
        value = json.loads(text, parse_float=str)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value


def query_of(text: str) -> dict[str, str]:
    """Return the parameters of a query; the last of a name counts."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise VenueError(PARAMS_ERROR, "params error: too many parameters") from None


def _refuse(name: str, problem: str) -> VenueError:
    return VenueError(PARAMS_ERROR, f"params error: {name} {problem}")


class Params:
    """A request's parameters: a query's texts or a JSON body's values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, "")

    def text(self, name: str, default: str = "") -> str:
        """Return a text; numbers are taken as they are written."""
        value = self._values.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _refuse(name, "invalid")
        return str(value)

    def needed(self, name: str) -> str:
        """Return a text that must be there."""
        value = self.text(name)
        if not value:
            raise _refuse(name, "is required")
        return value

    def integer(self, name: str, default: int) -> int:
        """Return a whole number."""
        found = self.integer_or_none(name)
        return default if found is None else found

    def integer_or_none(self, name: str) -> int | None:
        """Return a whole number, or None where it is absent."""
        value = self.text(name)
        if not value:
            return None
        try:
            number = int(value) if len(value) <= NUMBER_LENGTH_MAX else INTEGER_MAX + 1
        except ValueError:
            raise _refuse(name, "invalid") from None
        if abs(number) > INTEGER_MAX:
            raise _refuse(name, "invalid")
        return number

    def time_or_none(self, name: str) -> int | None:
        """Return UTC ms, or None where it is absent; nothing lies before 1970 or beyond 9999."""
        found = self.integer_or_none(name)
        return None if found is None else max(0, min(found, TIME_MS_MAX))

    def decimal(self, name: str) -> Decimal:
        """Return a number; zero where it is absent."""
        found = self.decimal_or_none(name)
        return ZERO if found is None else found

    def decimal_or_none(self, name: str) -> Decimal | None:
        """Return a number, or None where it is absent."""
        value = self.text(name)
        if not value:
            return None
        try:
            number = Decimal(value) if len(value) <= NUMBER_LENGTH_MAX else Decimal("nan")
        except InvalidOperation:
            raise _refuse(name, "invalid") from None
        # A number of the venue has at most 20 digits on either side of the point.
        if not number.is_finite() or (number and not -20 <= number.adjusted() <= 20):
            raise _refuse(name, "invalid")
        return number

    def flag(self, name: str) -> bool:
        """Return a truth value, written true, "true" or "True"."""
        value = self._values.get(name)
        if isinstance(value, bool):
            return value
        return value in ("true", "True")

    def choice(self, name: str, choices: Mapping[str, Any], default: str = "") -> Any:
        """Return what ``choices`` holds for the text."""
        value = self.text(name, default)
        if value not in choices:
            raise _refuse(name, "invalid")
        return choices[value]

    def objects(self, name: str, most: int) -> list["Params"]:
        """Return the elements of a list of objects, one to ``most``."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise _refuse(name, "invalid")
        if not 1 <= len(value) <= most:
            raise _refuse(name, f"must hold 1 to {most} elements")
        return [Params(item) for item in value]

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object, empty where it is absent."""
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _refuse(name, "invalid")
        return dict(value)

    def with_value(self, name: str, value: str) -> "Params":
        """Return these parameters with one of them set."""
        return Params({**self._values, name: value})

    def limit(self, default: int, most: int) -> int:
        """Return the page size, at most ``most`` rows."""
        return max(1, min(self.integer("limit", default), most))
