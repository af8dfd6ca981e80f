"""The time of the day and of the week at a bar's close.

Decides how the clock becomes numbers that have no edge at midnight. Never reads a clock: the time
is the bar's own close, UTC. Rule: kernels as in ``moving``.
"""

import math

DAY_MS = 86_400_000
WEEK_MS = 604_800_000
MONDAY_MS = 345_600_000  # the first Monday after the epoch's Thursday


def session_start() -> int:
    """Return the state of :func:`session`: none."""
    return 0


def session(
    state: int, close_ms: int
) -> tuple[int, tuple[float, float, float, float, float, float]]:
    """Return (day sine, day cosine, week sine, week cosine, US session, weekend).

    The angles turn once a day and once a week from Monday 00:00 UTC. US session: how far into
    13:30-20:00 UTC of a weekday, 0 outside, up to 1; weekend: 1 on Saturday and Sunday. A close on
    the hour belongs to what follows it.
    """
    day = float(close_ms % DAY_MS) / 86_400_000.0
    week = float((close_ms - MONDAY_MS) % WEEK_MS) / 604_800_000.0
    turn = 6.283185307179586
    weekend = 1.0 if week * 7.0 >= 5.0 else 0.0
    hours = day * 24.0
    us = (hours - 13.5) / 6.5 if 13.5 <= hours < 20.0 and weekend == 0.0 else 0.0
    return state, (
        math.sin(turn * day),
        math.cos(turn * day),
        math.sin(turn * week),
        math.cos(turn * week),
        us,
        weekend,
    )
