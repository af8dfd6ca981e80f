"""What the API key may do, and whether that is too much or too little for real money.

Decides which properties of a key keep the live environment shut: it may withdraw, it works from any
address, it ends within two weeks, it cannot trade. Never sees the secret and never changes a key.
Rule: an answer that cannot be read counts as a key that must not be used; on testnet and on paper
the same is said as a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from executor.clock import Clock
from executor.errors import FatalError, VenueError
from executor.settings.settings import Settings
from executor.venue.adapter import Venue
from features.errors import InputError

DAY_MS: Final = 86_400_000
DAYS_LEFT_MIN: Final = 14
ANYWHERE: Final = frozenset({"*", "0.0.0.0", "0.0.0.0/0", "::/0"})  # noqa: S104  # nosec B104 - compared, never bound

log = structlog.get_logger("keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What the venue says of our key. ``ends_ms`` is None where it has no end."""

    read_only: bool
    withdraws: bool
    orders: bool
    addresses: tuple[str, ...]
    ends_ms: int | None


def read_facts(result: Mapping[str, Any], now_ms: int) -> KeyFacts:
    """Return the facts in the ``result`` of Bybit's ``GET /v5/user/query-api``.

    Raises
    ------
    InputError
        Where a field that decides is missing or of another shape.
    """
    try:
        permissions = result["permissions"]
        contract = {str(word) for word in permissions.get("ContractTrade", ())}
        return KeyFacts(
            read_only=int(result["readOnly"]) != 0,
            withdraws=any("withdraw" in str(word).lower() for word in permissions["Wallet"]),
            orders={"Order", "Position"} <= contract,
            addresses=tuple(str(address).strip() for address in result["ips"]),
            ends_ms=_ends_ms(result, now_ms),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the venue's answer about the key cannot be read: {error!r}") from None


def _ends_ms(result: Mapping[str, Any], now_ms: int) -> int | None:
    """Return when the key ends: the earlier of the date and the days left, None without either.

    A key without an end has a negative ``deadlineDay`` and a date of 1970.
    """
    days = int(result["deadlineDay"])
    date = datetime.fromisoformat(str(result["expiredAt"]))
    date_ms = round(date.replace(tzinfo=date.tzinfo or UTC).timestamp() * 1000)
    found = [now_ms + days * DAY_MS] if days >= 0 else []
    found += [date_ms] if date_ms > 0 else []
    return min(found, default=None)


def problems(facts: KeyFacts, now_ms: int) -> list[str]:
    """Return everything that makes the key unfit for real money, each with what to do."""
    found = []
    if facts.withdraws:
        found.append("it may withdraw: make a key without the withdrawal permission")
    if not facts.addresses or any(address in ANYWHERE for address in facts.addresses):
        found.append("it works from any address: bind it to this machine's IP")
    if facts.ends_ms is not None and facts.ends_ms - now_ms < DAYS_LEFT_MIN * DAY_MS:
        days = max(0, (facts.ends_ms - now_ms) // DAY_MS)
        found.append(f"it ends in {days} days, {DAYS_LEFT_MIN} are needed: make a new one")
    if facts.read_only or not facts.orders:
        found.append("it cannot trade: allow contract orders and positions")
    return found


async def check_keys(venue: Venue, environment: str, clock: Clock) -> None:
    """Let a start go on, or refuse it where real money is at stake and the key is unfit.

    Raises
    ------
    InputError
        On live, where the key is unfit or the venue rejects it; the start ends.
    VenueError
        Where the venue did not answer; to be tried again.
    """
    now_ms = clock.now_ms()
    try:
        found = problems(read_facts(await venue.key_info(), now_ms), now_ms)
    except InputError as error:
        found = [str(error)]
    except FatalError as error:
        found = [f"the venue rejects it: {error}"]
    except VenueError:
        if environment == "live":
            raise
        return
    if not found:
        log.info("key_checked", environment=environment)
        return
    if environment == "live":
        raise InputError("the API key may not trade live: " + "; ".join(found))
    if environment == "testnet":
        log.warning("key_unfit_for_live", problems=found)


async def show_keys(settings: Settings, clock: Clock) -> tuple[list[str], bool]:
    """Return lines that say what the key may do, and whether it is fit for real money."""
    environment = settings.trading.environment
    venue = Venue(
        settings.venue,
        environment=environment,
        clock=clock,
        fence=_nothing_is_signed,
        emit=lambda _event: None,
    )
    try:
        await venue.sync_clock()
        now_ms = clock.now_ms()
        facts = read_facts(await venue.key_info(), now_ms)
    except (VenueError, InputError) as error:
        return [f"environment {environment}: {error}"], False
    finally:
        await venue.close()
    unfit = problems(facts, now_ms)
    left = "never" if facts.ends_ms is None else f"{(facts.ends_ms - now_ms) // DAY_MS} days left"
    return [
        f"environment  {environment}",
        f"trades       {'yes' if facts.orders and not facts.read_only else 'no'}",
        f"withdraws    {'YES' if facts.withdraws else 'no'}",
        f"addresses    {', '.join(facts.addresses) or 'any'}",
        f"ends         {left}",
        *(f"unfit for live: {line}" for line in unfit),
    ], not unfit


def _nothing_is_signed(_path: str, _params: Mapping[str, Any]) -> None:
    raise FatalError("a look at the keys changes nothing")
