"""The options of ``tribar-paper``, and what its ``--help`` says.

Decides names, kinds, defaults and words. Never judges a value (``settings`` does). Rule: an option
that is not known is one line that guesses which was meant.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from executor.paper.scenarios import SCENARIOS
from features.errors import InputError
from features.suggest import unknown_name

LOCKSTEP = "lockstep"
SIMULATED = "simulated"
REPLAY = "replay:"
DESCRIPTION = """\
A Bybit v5 exchange on localhost: REST and websockets that unmodified ccxt trades against.
It replays recorded candles (--market replay:FOLDER) or makes a market up (--market simulated)."""
EXAMPLES = """\
examples:
  tribar-paper --interval 1m --speed 60                a made-up market, a minute a second
  tribar-paper --market replay:data/lake --symbols BTCUSDT --speed 900
  tribar-paper --scenario crash:BTCUSDT:40 --fault-rate 0.01 --fault-seed 7

docs/PAPER-EXCHANGE.md says how time goes, how orders are filled, and which faults there are."""


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one line and guesses the option that was meant."""

    def error(self, message: str) -> NoReturn:
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            word = message.removeprefix(prefix).split()[0].split("=")[0]
            message = unknown_name("option", word, self._option_string_actions)
        raise InputError(message.replace("\n", " "))


def read(arguments: list[str]) -> argparse.Namespace:
    """Return the options of a command line as they were given.

    Raises
    ------
    InputError
        Where an option is unknown, or its value is of the wrong kind.
    """
    for word in arguments:
        if word.startswith("--") and word.endswith("=--"):
            # argparse of Python 3.11 takes the two dashes out and leaves a list where a text was.
            raise InputError(f"{word.removesuffix('=--')} needs a value")
    return _parser().parse_args(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tribar-paper",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_market(parser.add_argument_group("market").add_argument)
    _add_trading(parser.add_argument_group("trading").add_argument)
    _add_faults(parser.add_argument_group("what happens and what fails").add_argument)
    _add_server(parser.add_argument_group("server and files").add_argument)
    return parser


def _add_market(add: Callable[..., object]) -> None:
    add(
        "--market",
        default=SIMULATED,
        metavar="MARKET",
        help="simulated (default), or replay:WHERE: a folder of SYMBOL-15m.parquet files, or a "
        "lake, which is a folder too or an address such as s3://bucket/lake",
    )
    add("--venue", default="", help="whose candles, where a lake has those of several venues")
    add(
        "--symbols",
        default="BTCUSDT,ETHUSDT,SOLUSDT",
        help="venue ids, separated by commas (default BTCUSDT,ETHUSDT,SOLUSDT)",
    )
    add("--interval", default="15m", help="bar length (default 15m)")
    add(
        "--now",
        "--start-ms",
        dest="now",
        type=int,
        metavar="MS",
        help="UTC ms at which streaming begins; what lies before is history",
    )
    add(
        "--bars",
        type=int,
        help="bars to stream (default: all of a replay; 10000 simulated, fewer for many symbols)",
    )
    add(
        "--history",
        type=int,
        help="simulated bars before --now (default: 50000, fewer for many symbols)",
    )
    add(
        "--seed",
        type=int,
        default=1,
        help="seed of the simulated market and of all ids (default 1)",
    )
    add("--speed", default="1", help="market seconds a second, or lockstep (default 1)")
    add("--clients", type=int, default=1, help="clients a lockstep waits for (default 1)")


def _add_trading(add: Callable[..., object]) -> None:
    add("--taker-fee", type=float, default=0.00055, help="fraction (default 0.00055)")
    add("--maker-fee", type=float, default=0.0002, help="fraction (default 0.0002)")
    add(
        "--slippage-base", type=float, default=0.0001, help="fraction of the price (default 0.0001)"
    )
    add(
        "--slippage-volatility",
        type=float,
        default=0.1,
        help="per unit of bar volatility (default 0.1)",
    )
    add(
        "--participation",
        type=float,
        default=0.0,
        help="share of a bar's volume that an order may take; 0, the default: no limit",
    )
    add("--balance", default="10000", help="first deposit in USDT (default 10000)")
    add("--api-key", default="paper", help="key of the first account (default paper)")
    add("--api-secret", default="paper", help="secret of the first account (default paper)")
    add(
        "--account",
        action="append",
        default=[],
        metavar="NAME:KEY:SECRET:BALANCE",
        help="one more account; may be given several times",
    )


def _add_faults(add: Callable[..., object]) -> None:
    add(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME[:SYMBOL[:BAR]]",
        help=f"what happens in a simulated market: {', '.join(SCENARIOS)}",
    )
    add("--faults", type=Path, metavar="FILE", help="JSON list of planned faults")
    add("--fault-seed", type=int, default=0, help="seed of the random faults (default 0)")
    add(
        "--fault-rate",
        type=float,
        default=0.0,
        help="share of requests and messages that fail (default 0)",
    )
    add(
        "--rate-limits",
        choices=("auto", "bybit", "none"),
        default="auto",
        help="refuse what Bybit would (auto: at speed 1)",
    )


def _add_server(add: Callable[..., object]) -> None:
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, default=8790, help="port, 0 for any free one (default 8790)")
    add("--event-log", type=Path, metavar="FILE", help="write every venue event as a JSON line")
    add("--journal", type=Path, metavar="FILE", help="go on where this file ends; kept up to date")
