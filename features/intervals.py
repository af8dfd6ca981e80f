"""Bar intervals by name.

Decides what ``15m`` means in milliseconds. Never accepts calendar months: a bar's length is fixed.
Rule: a time in the project is an int of UTC milliseconds; only this module parses interval names.
"""

from features.errors import InputError
from features.suggest import unknown_name

INTERVALS_MS: dict[str, int] = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}


def interval_ms(name: str) -> int:
    """Return the length of the interval ``name`` in milliseconds.

    Raises
    ------
    InputError
        Where the name is not one of :data:`INTERVALS_MS`; the message offers the nearest.
    """
    try:
        return INTERVALS_MS[name]
    except KeyError:
        raise InputError(unknown_name("interval", name, INTERVALS_MS)) from None


def interval_name(length_ms: int) -> str:
    """Return the name of an interval of ``length_ms``.

    Raises
    ------
    InputError
        Where no interval has this length.
    """
    for name, known_ms in INTERVALS_MS.items():
        if known_ms == length_ms:
            return name
    raise InputError(f"no interval is {length_ms} ms long; known: {', '.join(INTERVALS_MS)}")
