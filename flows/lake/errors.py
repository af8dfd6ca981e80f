"""What the lake raises.

Decides the one typed error of storage. Never wraps a programmer's error. Rule: the message is one
line that names the table and the next step; what was stored before is untouched when it is raised.

    InputError          bad input: a file, a symbol, an interval
      LakeError         the storage refused: disk full, no permission, broken or contended table
      VenueError        the venue refused or stayed away: unknown, unreachable, banned
"""

from features.errors import InputError

DENIED = ("permission denied", "os error 13", "operation not permitted", "necessary privileges")


class LakeError(InputError):
    """The lake cannot be read or written; the table is as it was."""


class VenueError(InputError):
    """The venue cannot serve what was asked; what was stored so far stays."""


def lake_error(action: str, uri: str, error: Exception) -> LakeError:
    """Return a :class:`LakeError` of one line for a storage ``error``."""
    text = " ".join(str(error).split())
    lowered = text.lower()
    if "no space left" in lowered or "os error 28" in lowered:
        reason = "no space left on the device; free some and run again"
    elif any(words in lowered for words in DENIED):
        reason = "permission denied; give this user the right to write there and run again"
    elif "read-only file system" in lowered or "os error 30" in lowered:
        reason = "the file system is read-only; choose another lake folder"
    elif "file too large" in lowered or "os error 27" in lowered:
        reason = (
            "a file may not grow that large here (see ulimit -f); raise the limit and run again"
        )
    elif "error sending request" in lowered or "error trying to connect" in lowered:
        reason = "the store does not answer; check its address (AWS_ENDPOINT_URL) and the network"
    else:
        reason = text[:200]
    return LakeError(f"cannot {action} {uri}: {reason} (the table is as it was)")
