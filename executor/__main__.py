"""The command line of the executor: `python -m executor`, or `tribar-executor`.

Decides the verbs and what they print. Never trades by itself (`app` does). Rule: bad input is one
line on stderr and exit code 2; `--check` and `status` answer with an exit code for containers, and
load nothing of what trades: a container asks every few seconds.
"""

import argparse
import asyncio
import getpass
import importlib
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

from executor.clock import SystemClock
from executor.control.client import check, command, status
from executor.control.names import NAMES
from executor.core.contract import CommandName
from executor.errors import JournalError
from executor.logs import configure
from executor.settings.settings import CONFIG_NAME, Settings, load_settings
from features.errors import InputError
from features.suggest import unknown_name

BAD_INPUT: Final = 2
DESCRIPTION: Final = """\
Trades the promoted model through ccxt and reports to Redis.

  run      trade until SIGTERM; stops stay at the exchange
  check    exit 0 when a running executor is healthy, 1 when not (also: --check)
  status   what a running executor says of itself, as JSON
  config   the settings in use, secrets left out, and their hash
  keys     what the API key may do; exit 0 when it is fit for real money, else 1
  replay   derive every decision of a day again from the journal; exit 1 where one differs
  restore [BACKUP]
           put journal, models and configuration of a backup back, else of the newest
  alerts test
           send one message of each level to the configured services
  pause | resume | reset | reload | revert
           give a running executor a command through Redis, else by HTTP
  kill | flatten
           the same; the exit code is 0 once everything is flat and the venue confirms it
  set NAME=VALUE ... [--force]
           set adaptive parameters; against the replay's verdict only with --force"""


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one line and guesses what was meant."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message:
            word = message.partition("invalid choice: ")[2].split()[0].strip("'\"")
            message = unknown_name("command", word, VERBS)
        raise InputError(message.replace("\n", " ") + " (see --help)")


WITH_ARGUMENTS: Final = ("restore", "alerts", CommandName.SET)
HEAVY: Final = ("run", "keys", "alerts", "replay", "restore")
VERBS: Final = (*HEAVY, "check", "status", "config", *NAMES)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tribar-executor",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("verb", nargs="?", choices=VERBS, metavar="COMMAND", help="see above")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="of the command")
    parser.add_argument("--check", action="store_true", help="the same as the command check")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings (default {CONFIG_NAME})"
    )
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="run: write figures at the end"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="set: against the replay's verdict; restore: move aside the journal that is there",
    )
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="replay: a UTC day, else yesterday")
    parser.add_argument(
        "--who", default=_user(), help="commands: who gives it, journaled (default: %(default)s)"
    )
    return parser


def _user() -> str:
    """Return the name of who is logged in, "cli" where the system knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "cli"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        given = _parser().parse_args(arguments)
        verb = "check" if given.check else given.verb
        if given.arguments and verb not in WITH_ARGUMENTS:
            return _fail(f"{verb} takes no {given.arguments[0]!r} (see --help)", BAD_INPUT)
        if verb is None:
            _parser().print_help()
            return BAD_INPUT
        settings = load_settings(given.config)
        file = settings.log.file if verb == "run" else ""
        configure(settings.log.level, settings.log.format, settings.secrets(), file)
        match verb:
            case "check":
                return asyncio.run(check(settings))
            case "status":
                return asyncio.run(status(settings))
            case "config":
                _show(settings)
                return 0
            case _ if verb in HEAVY:
                verbs = importlib.import_module("executor.verbs")  # by name: see the rule above
                return int(verbs.perform(verb, settings, given))
            case _:
                return asyncio.run(_command(settings, verb, given))
    except InputError as error:
        return _fail(str(error), BAD_INPUT)
    except JournalError as error:
        return _fail(str(error), 74)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the answer has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _show(settings: Settings) -> None:
    print(settings.model_dump_json(indent=2))  # noqa: T201 - the answer
    print(f"hash {settings.config_hash()}", file=sys.stderr)  # noqa: T201 - the answer


async def _command(settings: Settings, verb: str, given: argparse.Namespace) -> int:
    arguments = _pairs(given.arguments)
    return await command(settings, SystemClock(), verb, given.who, arguments, force=given.force)


def _pairs(arguments: list[str]) -> dict[str, float | str]:
    """Return NAME=VALUE arguments as a mapping."""
    found: dict[str, float | str] = {}
    for argument in arguments:
        name, mark, value = argument.partition("=")
        if not mark or not name:
            raise InputError(f"{argument!r}: write NAME=VALUE, for example momentum_threshold=0.01")
        found[name] = value
    return found


def _fail(message: str, code: int) -> int:
    print(f"tribar-executor: {message}", file=sys.stderr)  # noqa: T201 - the answer
    return code


if __name__ == "__main__":
    sys.exit(main())
