"""What to ask a venue for, and which of the bars it serves are closed.

Decides windows, holes and the closing rule; pure functions of times. Never asks anything.

The closing rule. A bar is stored only when it is closed, and that is decided by the venue's data,
not by our clock (accelerated markets run in another year than the wall clock): the newest bar a
venue serves is left out, because a bar is known to be closed once a later one exists. The one
exception: a caller who names an explicit end that the venue's own clock has reached vouches that
market time got there, so bars that close at or before that end are closed.
"""

import polars as pl

Window = tuple[int, int]  # open times, start inclusive, end exclusive


def closed(frame: pl.DataFrame, step_ms: int, end_ms: int | None) -> pl.DataFrame:
    """Return the closed bars of an ascending page of the venue's newest bars.

    Parameters
    ----------
    frame
        Bars ascending by ``open_ms``.
    step_ms
        Length of a bar.
    end_ms
        An explicit end the venue's clock has reached; None where there is none.
    """
    if end_ms is not None:
        return frame.filter(pl.col("open_ms") + step_ms <= end_ms)
    return frame.head(max(frame.height - 1, 0))


def windows(start_ms: int, end_ms: int, step_ms: int, page: int) -> list[Window]:
    """Return windows of at most ``page`` bars that cover ``[start_ms, end_ms)``, ascending."""
    width = page * step_ms
    return [(a, min(a + width, end_ms)) for a in range(start_ms, end_ms, width)]


def holes(open_ms: list[int], window: Window, step_ms: int) -> list[Window]:
    """Return the maximal runs of bars that ``window`` should hold and ``open_ms`` does not."""
    found: list[Window] = []
    expected = window[0]
    for time in open_ms:
        if time > expected:
            found.append((expected, time))
        expected = max(expected, time + step_ms)
    if expected < window[1]:
        found.append((expected, window[1]))
    return found


def floor(time_ms: int, step_ms: int) -> int:
    """Return the open time of the bar that ``time_ms`` falls in."""
    return time_ms // step_ms * step_ms


def ceil(time_ms: int, step_ms: int) -> int:
    """Return the first bar's open at or after ``time_ms``."""
    return -(-time_ms // step_ms) * step_ms
