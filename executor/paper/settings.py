"""What the paper exchange was told on its command line.

Decides the settings and their limits. Never opens a file or a port. Rule: anything wrong is an
``InputError`` of one line, with the nearest valid choice where there is one; no default depends on
the machine.
"""

import argparse
import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from executor.paper.options import LOCKSTEP, REPLAY, SIMULATED, read
from executor.paper.scenarios import Scenario, parse_scenario
from features.errors import InputError
from features.intervals import interval_ms
from features.suggest import unknown_name

BARS_IN_ALL = 2_400_000  # of all symbols of a simulated market, where nothing is said
BARS_MOST = 100_000_000
NOW_MOST_MS = 4_102_444_800_000  # the year 2100
START_MS = 1_735_689_600_000  # 2025-01-01, where a simulated market begins to trade
KNOWN_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """One account: its name, its keys and its first deposit in USDT."""

    name: str
    api_key: str
    secret: str
    balance: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration of one run; ``speed`` is 0 in lockstep, else market s a wall s."""

    recordings: str | None
    venue: str
    symbols: tuple[str, ...]
    interval: str
    interval_ms: int
    now_ms: int | None
    bars: int | None
    history: int
    seed: int
    host: str
    port: int
    speed: float
    clients: int
    taker_fee: float
    maker_fee: float
    slippage_base: float
    slippage_volatility: float
    participation: float
    limited: bool
    fault_seed: int
    fault_rate: float
    faults: Path | None
    scenarios: tuple[Scenario, ...]
    accounts: tuple[AccountSettings, ...]
    event_log: Path | None
    journal: Path | None


def parse(arguments: list[str]) -> Settings:
    """Return the settings of a command line.

    Raises
    ------
    InputError
        Where a value cannot be used.
    """
    given = read(arguments)
    symbols = tuple(part.strip().upper() for part in given.symbols.split(",") if part.strip())
    if not symbols or len(set(symbols)) != len(symbols):
        raise InputError(f"--symbols {given.symbols!r} names none or one twice; give BTCUSDT,…")
    recordings = _recordings(given.market)
    for symbol in symbols:
        is_linear = symbol.endswith("USDT") and symbol != "USDT" and symbol.isalnum()
        if recordings is None and not is_linear:
            raise InputError(unknown_name("linear USDT symbol", symbol, KNOWN_SYMBOLS))
    _check_numbers(given, len(symbols))
    scenarios = tuple(parse_scenario(text) for text in given.scenario)
    if scenarios and recordings is not None:
        raise InputError("--scenario bends a simulated market only; a replay shows what was")
    speed = _speed(given.speed)
    first = AccountSettings(
        name="main",
        api_key=given.api_key,
        secret=given.api_secret,
        balance=_balance(given.balance),
    )
    return Settings(
        recordings=recordings,
        venue=given.venue,
        symbols=symbols,
        interval=given.interval,
        interval_ms=interval_ms(given.interval),
        now_ms=given.now,
        bars=given.bars,
        history=given.history or default_bars(len(symbols))[0],
        seed=given.seed,
        host=given.host,
        port=given.port,
        speed=speed,
        clients=given.clients,
        taker_fee=given.taker_fee,
        maker_fee=given.maker_fee,
        slippage_base=given.slippage_base,
        slippage_volatility=given.slippage_volatility,
        participation=given.participation,
        limited=given.rate_limits == "bybit" or (given.rate_limits == "auto" and speed == 1.0),
        fault_seed=given.fault_seed,
        fault_rate=given.fault_rate,
        faults=given.faults,
        scenarios=scenarios,
        accounts=_accounts(first, given.account),
        event_log=given.event_log,
        journal=given.journal,
    )


def default_bars(symbols: int) -> tuple[int, int]:
    """Return how many bars lie before and after the beginning of a simulated market.

    Many symbols get fewer, so that any number of them is ready in seconds and fits in memory.
    """
    share = BARS_IN_ALL // symbols
    return max(3_000, min(50_000, share * 5 // 6)), max(1_000, min(10_000, share // 6))


def _check_numbers(given: argparse.Namespace, symbols: int) -> None:
    for name in ("history", "clients", "bars"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} is {value}; give 1 or more")
    for name in ("seed", "fault_seed"):
        if getattr(given, name) < 0:
            value = getattr(given, name)
            raise InputError(f"--{name.replace('_', '-')} is {value}; give 0 or more")
    wanted = ((given.history or 0) + (given.bars or 0)) * symbols
    if wanted > BARS_MOST:
        raise InputError(
            f"--history and --bars: {wanted:,} bars of all symbols; at most {BARS_MOST:,} fit"
        )
    if given.now is not None and not 0 <= given.now <= NOW_MOST_MS:
        raise InputError(f"--now is {given.now}; give UTC ms from 0 to {NOW_MOST_MS}")
    if given.fault_rate > 1:
        raise InputError(f"--fault-rate is {given.fault_rate}; give 0 to 1")
    for name in (
        "taker_fee",
        "slippage_base",
        "slippage_volatility",
        "participation",
        "fault_rate",
    ):
        if not 0 <= getattr(given, name) < math.inf:
            raise InputError(f"--{name.replace('_', '-')} is {getattr(given, name)}; 0 or more")
    if not 0 <= given.port <= 65535:
        raise InputError(f"--port is {given.port}; give 0 to 65535")


def _recordings(market: str) -> str | None:
    if market == SIMULATED:
        return None
    where = market.removeprefix(REPLAY)
    if market.startswith(REPLAY) and where:
        return where if "://" in where else str(Path(where).expanduser())
    raise InputError(f"{unknown_name('market', market, [SIMULATED])}; or replay:FOLDER")


def _speed(text: str) -> float:
    if text == LOCKSTEP:
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise InputError(f"--speed is {text!r}; give lockstep or a number above 0")
    return speed


def _balance(text: str) -> Decimal:
    try:
        balance = Decimal(text)
    except InvalidOperation:
        balance = Decimal(-1)
    if not balance.is_finite() or balance < 0:
        raise InputError(f"balance is {text!r}; give USDT, 0 or more")
    return balance


def _accounts(first: AccountSettings, texts: list[str]) -> tuple[AccountSettings, ...]:
    accounts = [first]
    for text in texts:
        parts = text.split(":")
        if len(parts) != 4 or not all(parts):
            raise InputError(f"--account is {text!r}; give NAME:KEY:SECRET:BALANCE")
        name, key, secret, balance = parts
        if any(name == a.name or key == a.api_key for a in accounts):
            raise InputError(f"--account {name!r}: the name or the key is taken")
        accounts.append(
            AccountSettings(name=name, api_key=key, secret=secret, balance=_balance(balance))
        )
    return tuple(accounts)
