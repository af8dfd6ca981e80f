"""What a failed call to the venue means: the one place that reads ccxt's exceptions.

Decides the class of every failure from what was attempted and what may have happened::

    failure
    ├─ the fence refused, nothing was sent ......................... FenceError, as raised
    ├─ a reply with the venue's code
    │   ├─ keys, permissions, account (10003 10004 10005 10010 …) .. FatalError
    │   ├─ too often (10006 10018, HTTP 429/403) ................... RateLimitedError
    │   ├─ our clock (10002): refused before it was read ........... RetryableError
    │   ├─ the venue's own trouble (10000 10016 5004, unknown 10…)
    │   │   ├─ a change ............................................ UnknownOutcomeError
    │   │   └─ a query ............................................. RetryableError
    │   └─ any other code: understood and refused .................. RejectedError
    └─ no code
        ├─ refused by ccxt before sending (precision, arguments) ... RejectedError
        └─ timeout, disconnect, 5xx, HTML, unparseable
            ├─ a change ............................................ UnknownOutcomeError
            └─ a query ............................................. RetryableError

Never retries and never asks. Rule: a change is *rejected* only where the venue provably said so.
"""

import re
from typing import Any, Final

from executor.errors import (
    FatalError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnknownOutcomeError,
    VenueError,
)
from executor.logs import hide
from executor.venue import lean_ccxt

FATAL: Final = frozenset({"10003", "10004", "10005", "10007", "10009", "10010", "10029", "33004"})
RATE: Final = frozenset({"10006", "10018"})
CLOCK: Final = frozenset({"10002"})
PARAMETERS: Final = frozenset({"10001"})
DUPLICATE_ID: Final = "110072"
ORDER_GONE: Final = frozenset({"110001", "110010", "110008"})
NOT_MODIFIED: Final = frozenset({"34040", "110043", "110025", "110026"})
BANNED_WAIT_S: Final = 600.0
RATE_WAIT_S: Final = 1.0

_MESSAGE = re.compile(r'"retMsg"\s*:\s*"([^"]+)"')
_CODE = re.compile(r'"retCode"\s*:\s*"?(-?\d+)"?')


def code_of(error: BaseException) -> str:
    """Return the venue's code inside ccxt's message, "" where it holds none."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def classify(error: Exception, *, change: bool) -> VenueError:
    """Return what ``error`` means for a change or a query; see the tree above."""
    ccxt: Any = lean_ccxt.errors()
    code = code_of(error)
    text = _shorten(error)
    if isinstance(error, ccxt.RateLimitExceeded | ccxt.DDoSProtection) or code in RATE:
        banned = "403" in str(error) and not code
        wait_s = BANNED_WAIT_S if banned else RATE_WAIT_S
        return RateLimitedError(text, code=code, wait_s=wait_s)
    if code in FATAL or (isinstance(error, ccxt.AuthenticationError) and code):
        return FatalError(f"{text} (what the key may do: tribar-executor keys)", code=code)
    if code in CLOCK:
        return RetryableError(text, code=code)
    if code and _understood(code):
        return RejectedError(text, code=code)
    if not code and _before_sending(error, ccxt):
        return RejectedError(text)
    return UnknownOutcomeError(text, code=code) if change else RetryableError(text, code=code)


def _understood(code: str) -> bool:
    """Say whether ``code`` proves that the request was read and refused."""
    own_trouble = len(code) < 5 or (len(code) == 5 and code.startswith("10"))
    return code in PARAMETERS or not own_trouble


def _before_sending(error: Exception, ccxt: Any) -> bool:
    """Say whether ccxt refused the arguments itself: a plain ExchangeError may be a 5xx."""
    return isinstance(error, ccxt.ExchangeError) and type(error) is not ccxt.ExchangeError


def _shorten(error: Exception) -> str:
    said = str(error) or type(error).__name__
    if found := _MESSAGE.search(said):
        said = f"{code_of(error)}: {found[1]}"
    cause = error.__cause__ or error.__context__
    if cause is not None and not code_of(error):  # ccxt names the request; why it failed is below
        said = f"{said}: {cause or type(cause).__name__}"
    text = hide(" ".join(said.split()))
    return text if len(text) <= 300 else text[:297] + "..."
