"""One champion after another: how the alias moves when two people promote at once.

Decides the order of reads and writes around MLflow's alias, which has no compare-and-set. On one
machine a file lock makes promotions wait for each other, so that the comparison is exact. Between
machines a claim, written before and looked at before and after, narrows the window to the one
request that moves the alias; whoever was overtaken in it is told. Rule: of two promotions that saw
the same champion at most one ends without an error.
"""

import fcntl
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Protocol

from features.errors import InputError

CHAMPION, PREVIOUS, CLAIM = "champion", "champion_previous", "champion_claim"


class Aliases(Protocol):
    """What moving an alias needs of an MLflow client."""

    def get_registered_model(self, name: str) -> Any:
        """Return the model with ``aliases`` and ``tags``."""
        ...

    def set_registered_model_tag(self, name: str, key: str, value: Any) -> None:
        """Write a tag of the model."""
        ...

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias point to a version."""
        ...


@contextmanager
def alone(url: str, name: str) -> Iterator[None]:
    """Wait until no other process of this machine promotes in this registry."""
    key = hashlib.sha256(f"{url}|{name}".encode()).hexdigest()[:16]
    path = Path(gettempdir()) / f"tribar-promote-{key}.lock"
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def move_champion(client: Aliases, name: str, version: int, expected: int | None) -> None:
    """Let ``champion`` point to ``version`` where it points to ``expected`` (0: nowhere) now.

    Parameters
    ----------
    expected
        None where the caller does not mind what it replaces.

    Raises
    ------
    InputError
        Where the champion is another, or another promotion came at the same moment.
    """
    token = secrets.token_hex(8)
    client.set_registered_model_tag(name, CLAIM, token)
    model = client.get_registered_model(name)
    before = _champion(model.aliases)
    if expected is not None and before != expected:
        raise InputError(
            f"the champion is version {before or 'none'} by now, not {expected or 'none'}; "
            "look at `tribar models` and promote again"
        )
    if before == version:
        return
    if before:
        client.set_registered_model_tag(name, PREVIOUS, str(before))
    _require_claim(client.get_registered_model(name), token)
    client.set_registered_model_alias(name, CHAMPION, str(version))
    _require_claim(client.get_registered_model(name), token)


def _require_claim(model: Any, token: str) -> None:
    if model.tags.get(CLAIM) != token:
        raise InputError(
            "another promotion came at the same moment; the champion is version "
            f"{_champion(model.aliases) or 'none'}: look at `tribar models` and promote again"
        )


def _champion(aliases: Mapping[str, Any]) -> int:
    return int(aliases.get(CHAMPION, 0))
