"""The `tribar` command: what it offers, and how an error ends it.

Decides the names, their groups and the exit codes: 0 done, 1 something did not work, 2 bad input,
130 interrupted. Holds no command itself: each lives in `flows.commands` and is imported only when
it is asked for, so that `tribar --help` answers at once.
Rule: what a person did wrong is answered with one line on stderr, never with a traceback.
"""

import errno
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final, NoReturn

from cyclopts import App, CycloptsError, Group, UnknownCommandError
from rich.console import Console

from features.errors import InputError
from features.suggest import unknown_name
from flows.system.processes import ProgramError

HELP: Final = """Candles in, a model trained, proven and promoted, an executor trading it.

**New here?** `tribar demo` runs the whole loop once on this machine, in about five minutes. It
starts every server that it needs on 127.0.0.1, asks for no key and no account, and ends with a
report and the addresses to look at. `tribar doctor` says what to do where something does not work.

**Day to day.** `tribar up` keeps the system running. Retraining is scheduled and started in the
Prefect UI or by `tribar retrain`; a model is promoted in the MLflow UI or by `tribar promote`.

Every setting is in configs/flows.toml, and as `TRIBAR_<SECTION>__<KEY>` in the environment.
Each command explains itself: `tribar retrain --help`. `--json FILE` writes what a command found."""

INSIST_S: Final = 1.0  # so long after a signal it is raised once more where it was lost
START: Final = Group("Start here", sort_key=1)
DATA: Final = Group("Data", sort_key=2)
MODELS: Final = Group("Models", sort_key=3)
COMMANDS: Final = (
    # name, where it lives, group, one line
    ("demo", "start:demo", START, "Run the whole loop once, from candles to a trading executor."),
    ("up", "start:up", START, "Keep the servers, the schedule and the executor running."),
    ("status", "state:status", START, "Say what runs, since when, and how the executor is."),
    (
        "doctor",
        "state:doctor",
        START,
        "Check this machine, and give the next step for each problem.",
    ),
    ("ingest", "data:ingest", DATA, "Bring candles into the lake, from the venue or from files."),
    ("quality", "data:quality", DATA, "Judge the lake's candles, symbol by symbol."),
    ("coverage", "data:coverage", DATA, "Say which symbols can be trained on, and why not."),
    ("lake", "lake:app", DATA, "Export stored candles, compact the lake's files."),
    (
        "features",
        "features:app",
        DATA,
        "Check that training and trading compute the same features.",
    ),
    ("retrain", "models:retrain", MODELS, "Ingest, search, train, gate and register a model."),
    (
        "onboard",
        "models:onboard",
        MODELS,
        "Train a new symbol and join it to a version; the other symbols stay as they are.",
    ),
    (
        "backtest",
        "backtest:backtest",
        MODELS,
        "Trade recorded candles with a version or a parameter file, or two side by side.",
    ),
    ("gate", "gate:app", MODELS, "Measure the gate itself; list every use of it."),
    ("models", "models:models", MODELS, "List the model's versions."),
    (
        "register",
        "register:register",
        MODELS,
        "Register a model whose training ended while MLflow was down.",
    ),
    ("promote", "models:promote", MODELS, "Make a version the champion: the executor trades it."),
    ("rollback", "models:rollback", MODELS, "Return to the champion before."),
)

app = App(name="tribar", help=HELP, version=version("tribar"), help_format="markdown")
for _name, _place, _group, _line in COMMANDS:
    app.command(
        f"flows.commands.{_place}",
        name=_name,
        group=_group,
        help=_line,
        sort_key=[name for name, *_ in COMMANDS].index(_name),
    )


def main() -> NoReturn:
    """Run the command of the command line and exit with its code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        sys.exit(run(sys.argv[1:]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told in one line."""
    told = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        code = app(
            list(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except UnknownCommandError as error:
        wrong = (error.unused_tokens or [""])[0]
        line = unknown_name("command", wrong, [name for name, *_ in COMMANDS])
        return _told(told, f"{line} (see: tribar --help)", 2)
    except (InputError, CycloptsError) as error:
        return _told(told, str(error), 2)
    except ProgramError as error:
        return _told(told, str(error), 1)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}:
            raise
        return _told(told, f"{error.strerror}: {error.filename}; nothing was lost, try again", 1)
    return code if isinstance(code, int) else 0


def _told(console: Console, message: str, code: int) -> int:
    console.print(f"[red]tribar:[/] {_escaped(' '.join(message.split()))}")
    return code


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


class _Ended(SystemExit):
    """The end that a polite signal asked for."""


def _end(number: int, _frame: object) -> NoReturn:
    """End in order on a polite signal: every open context is left on the way.

    Ctrl-C too: under `python -m`, CPython remembers a KeyboardInterrupt that left an `exec` of
    text (so imports make classes) and ends by the signal, however it was caught.
    """
    ended = _Ended(128 + number)

    def insist(_number: int, _frame: object) -> None:
        if not _is_handled(ended):
            raise ended

    signal.signal(signal.SIGALRM, insist)
    signal.setitimer(signal.ITIMER_REAL, INSIST_S, INSIST_S)
    raise ended


def _is_handled(ended: _Ended) -> bool:
    """Say whether contexts are being left for it now.

    Whatever a signal raises is lost where it strikes in a `__del__`, a weak reference's callback
    or a bare `except:` of a library: who pressed Ctrl-C would be waiting for ever.
    """
    error = sys.exc_info()[1]
    while error is not None and error is not ended:
        error = error.__context__
    return error is ended


if __name__ == "__main__":
    main()
