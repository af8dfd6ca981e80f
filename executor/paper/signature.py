"""Who sends a request, and whether they may.

Decides whether a REST request or a websocket's auth frame is signed as the documentation says.
Never looks at what is asked. Rule: keys before times before signatures, as the venue checks them;
signatures are compared in constant time.
"""

import hashlib
import hmac
from collections.abc import Mapping

from executor.paper.venue.account import Account
from executor.paper.venue.errors import VenueError

BAD_TIME = 10002
BAD_KEY = 10003
BAD_SIGN = 10004
AHEAD_MS = 1_000
RECV_WINDOW_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000


def sign(secret: str, payload: str) -> str:
    """Return the HMAC-SHA256 of ``payload`` in hex."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def _header(headers: Mapping[str, str], name: str) -> str:
    """Return a header; one with bytes that no client of the venue sends is never right."""
    value = headers.get(name, "")
    return value if value.isascii() else "?"


def authenticate(
    accounts: Mapping[str, Account], headers: Mapping[str, str], payload: str, now_ms: int
) -> Account:
    """Return the account that signed a request whose query or body is ``payload``.

    Raises
    ------
    VenueError
        10003 unknown key, 10002 time outside the window, 10004 signature wrong.
    """
    key = _header(headers, "X-BAPI-API-KEY")
    stamp = _header(headers, "X-BAPI-TIMESTAMP")
    window = _header(headers, "X-BAPI-RECV-WINDOW") or str(RECV_WINDOW_MS)
    account = accounts.get(key)
    if account is None:
        raise VenueError(BAD_KEY, "API key is invalid.")
    check_time(stamp, window, now_ms)
    wanted = sign(account.secret, stamp + key + window + payload)
    given = _header(headers, "X-BAPI-SIGN")
    if not hmac.compare_digest(wanted.encode(), given.encode()):
        raise VenueError(BAD_SIGN, f"error sign! origin_string[{stamp}{key}{window}{payload}]")
    return account


def check_time(stamp: str, window: str, now_ms: int) -> None:
    """Refuse a request whose time lies outside its own window, or in the future."""
    in_window = stamp.isdecimal() and window.isdecimal() and len(stamp) < 20 and len(window) < 20
    if in_window:
        reach = min(int(window), RECV_WINDOW_MAX_MS)
        in_window = now_ms - reach <= int(stamp) < now_ms + AHEAD_MS
    if not in_window:
        raise VenueError(
            BAD_TIME,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
        )


def check_frame_time(header: object, now_ms: int) -> None:
    """Refuse an order frame whose header says a time outside its window; one without is taken."""
    said = header if isinstance(header, dict) else {}
    stamp = said.get("X-BAPI-TIMESTAMP")
    if stamp is not None:
        check_time(str(stamp), str(said.get("X-BAPI-RECV-WINDOW", RECV_WINDOW_MS)), now_ms)


def authenticate_socket(
    accounts: Mapping[str, Account], arguments: object, now_ms: int
) -> Account | None:
    """Return the account of an auth frame's ``[key, expires, signature]``, or None."""
    if not isinstance(arguments, list) or len(arguments) != 3:
        return None
    key, expires, given = (str(argument) for argument in arguments)
    account = accounts.get(key)
    if account is None or not expires.isdecimal() or len(expires) >= 20 or int(expires) <= now_ms:
        return None
    wanted = sign(account.secret, f"GET/realtime{expires}")
    return account if hmac.compare_digest(wanted.encode(), given.encode()) else None
