"""Messages for names that nobody knows.

Decides which known name is nearest to a mistyped one. Never guesses silently: the caller refuses
the name and shows the message. Rule: every "unknown X" message in the project is made here.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return one line that refuses ``name`` and offers the nearest known name, or all."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"unknown {kind} {name!r}; did you mean {near[0]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"unknown {kind} {name!r}; known: {shown or 'none'}"
