"""Which pieces of a configured address are secret.

Decides that the passwords and tokens inside of a URL must not be shown, and that host names and
plain words may. Never shows or keeps one. Rule: too much is hidden rather than too little; a piece
of fewer than eight characters is no token of any service that we know.
"""

import re
from typing import Final
from urllib.parse import unquote

TOKEN_MIN: Final = 8
_WORD = re.compile(r"^[a-z]{1,12}$")
_HOST = re.compile(r"^(localhost|[\w-]+(\.[\w-]+)+)$")


def parts_of_url(text: str) -> list[str]:
    """Return the secret pieces of one URL, or of several separated by commas or blanks."""
    found: list[str] = []
    for url in re.split(r"[,\s]+", text):
        rest = url.partition("://")[2]
        before, at, _ = rest.rpartition("@")
        if at:
            password = before.partition(":")[2]
            found += [password, unquote(password)]
        pieces = re.split(r"[/@:?&=,]+", rest)
        long = [piece for piece in pieces if len(piece) >= TOKEN_MIN]
        tokens = [piece for piece in long if not _HOST.match(piece) and not _WORD.match(piece)]
        found += [form for token in tokens for form in dict.fromkeys((token, unquote(token)))]
    return [piece for piece in dict.fromkeys(found) if piece]
