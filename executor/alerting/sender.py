"""The program that talks to the alert services: Apprise in a process of its own.

Decides nothing: the first line of stdin holds the addresses, each further line a message, and every
line is answered by one line on stdout. A process of its own, because Apprise's plugins take 45 MB
and a second to load, and because a service that hangs can then be ended from outside.
Rule: it ends when stdin does; an address never appears on stdout or stderr.
"""

import logging
import sys
from typing import Any, Final

import apprise
import orjson

KINDS: Final = {
    "INFO": apprise.NotifyType.INFO,
    "WARNING": apprise.NotifyType.WARNING,
    "CRITICAL": apprise.NotifyType.FAILURE,
}


def main() -> None:
    """Read lines until there are no more."""
    logging.disable(logging.CRITICAL)  # Apprise's lines may hold addresses
    service = apprise.Apprise()
    first = orjson.loads(sys.stdin.buffer.readline() or b"{}")
    taken = [bool(service.add(url)) for url in first.get("urls", ())]
    _answer({"taken": taken})
    for line in sys.stdin.buffer:
        message = orjson.loads(line)
        sent = service.notify(
            title=message["title"], body=message["body"], notify_type=KINDS[message["level"]]
        )
        _answer({"sent": bool(sent)})


def _answer(body: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(body) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
