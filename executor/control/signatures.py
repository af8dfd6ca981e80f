"""Who signed a command: a keyed hash over everything it says.

Decides the form that is signed and whether a signature is right. Never knows what a command means
and never shows the token. Rule: comparisons take the same time for every wrong answer; what is not
signed (a field added on the way) makes the signature wrong.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

SIGNATURE: Final = "signature"


def signature(body: Mapping[str, Any], token: str) -> str:
    """Return the HMAC-SHA256 of a command without its signature, as hexadecimal text."""
    signed = {key: value for key, value in body.items() if key != SIGNATURE}
    text = orjson.dumps(signed, option=orjson.OPT_SORT_KEYS)
    return hmac.new(token.encode(), text, hashlib.sha256).hexdigest()


def is_signed(body: Mapping[str, Any], token: str) -> bool:
    """Say whether a command holds the right signature."""
    given = body.get(SIGNATURE)
    if not isinstance(given, str) or not given.isascii():
        return False
    try:
        return hmac.compare_digest(given, signature(body, token))
    except (TypeError, ValueError):  # something that orjson cannot write is not ours
        return False


def same_token(given: str, token: str) -> bool:
    """Say whether a token is the right one, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())
