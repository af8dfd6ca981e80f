"""The command `backtest`: a version or a file of parameters on recorded candles, or two of them.

Decides how the question is put and how the outcome reads in a terminal. Never trades by itself: the
live decision core does. Rule: a range that the model was fitted on is said before any figure.
"""

from contextlib import ExitStack
from datetime import UTC, datetime
from math import isnan, nan
from pathlib import Path

from executor.core.bundle import MANIFEST
from features.errors import InputError
from flows.backtests.runs import Ask, as_dict, run_backtest
from flows.backtests.setups import wanted
from flows.commands.frame import JsonFile, Symbols, console, split_symbols, table, write_json
from flows.commands.models import open_registry
from flows.report.backtest_page import Account, backtest_page, plain
from flows.research.simulate import EQUITY
from flows.settings import load_settings
from flows.shown.terminal import Stages
from flows.training.shelf import key_of, write_bytes

ROWS = (
    ("return, after all costs", "return_total", "{:+.2%}"),
    ("return a year", "return_annual", "{:+.2%}"),
    ("Sharpe", "sharpe", "{:.2f}"),
    ("Sortino", "sortino", "{:.2f}"),
    ("Calmar", "calmar", "{:.2f}"),
    ("max drawdown", "max_drawdown", "{:.2%}"),
    ("days below a high", "max_drawdown_days", "{:.0f}"),
    ("trades", "trades", "{:,.0f}"),
    ("won", "win_rate", "{:.1%}"),
    ("profit factor", "profit_factor", "{:.2f}"),
    ("a trade, net", "expectancy", "{:+.3%}"),
    ("hours held, mean", "hold_hours_mean", "{:.1f}"),
    ("wins in a row", "win_streak_max", "{:.0f}"),
    ("losses in a row", "loss_streak_max", "{:.0f}"),
    ("exposure, mean", "exposure_mean", "{:.1%}"),
    ("exposure, most", "exposure_max", "{:.1%}"),
    ("turnover a year", "turnover_annual", "{:,.1f}"),
)
PARTS = ("alpha", "beta", "fees", "slippage", "funding", "net")


def backtest(
    subject: str = "champion",
    /,
    *,
    compare: str | None = None,
    model: str = "champion",
    symbol: Symbols = None,
    start: str | None = None,
    until: str | None = None,
    equity: float = EQUITY,
    tuning: bool = True,
    html: Path | None = None,
    json: JsonFile = None,
) -> int:
    """Trade recorded candles with the executor's own decisions, and say what would have come of it.

    With --compare, two set-ups run on the same bars side by side: how a change is validated before
    it is made.

    Parameters
    ----------
    subject
        A version's number or alias, a bundle's folder, or a parameter file (TOML) that says what
        differs: model, profile, kappa, and the tables signal, barriers, exit_plan, costs, limits,
        sizing, selector, regime, session, guard, tuning.
    compare
        The other set-up, named in the same way.
    model
        Whose bundle a parameter file changes, where the file names none.
    symbol
        Venue ids; those of the model where not given.
    start
        First day (UTC), e.g. 2025-10-01; where not given, the end of what the model was fitted on.
    until
        End (UTC); the newest stored candle where not given.
    equity
        What the account starts with, in quote currency.
    tuning
        Whether the six adaptive parameters tune themselves, as they do live.
    html
        Where the page goes; under data/reports/backtests where not given.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    if not equity > 0.0:
        raise InputError(f"--equity: {equity:g} is no account; give more than 0")
    names = split_symbols(symbol)
    ask = Ask(
        subjects=tuple(wanted(name, model) for name in (subject, compare) if name is not None),
        symbols=tuple(names) if names else None,
        start_ms=_moment("--start", start),
        stop_ms=_moment("--until", until),
        equity=equity,
        is_tuning=tuning,
    )
    with ExitStack() as stack:
        fetched = {}
        for one in ask.subjects:
            if not (Path(one.bundle) / MANIFEST).is_file():
                fetched[one.bundle] = open_registry(settings, stack).bundle(one.bundle)
        stage = stack.enter_context(Stages(console()).stage("Backtest"))
        account = run_backtest(settings, ask, fetched.__getitem__, stage.say)
        stage.say(account.asked["line"])
    result = as_dict(account)
    name = f"{'-'.join(one.name.replace(' ', '-') for one in ask.subjects)}-{key_of(result)}.html"
    page = html or settings.paths.reports / "backtests" / name
    page.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(page, backtest_page(account).encode())
    write_json(json, {**result, "page": str(page)})
    _show(account)
    console().print(f"Page: {page}", soft_wrap=True)
    return 0


def _show(account: Account) -> None:
    out = console()
    for line in account.warnings:
        out.print(f"[yellow]![/] {line}")
    runs = account.runs
    columns = ["", *(run.name for run in runs)]
    rows = [
        [words, *(_text(run.simulation.metrics.get(name, nan), form) for run in runs)]
        for words, name, form in ROWS
    ]
    rows += [
        [f"{name}, quote currency", *(f"{r.simulation.attribution[name]:+,.2f}" for r in runs)]
        for name in PARTS
    ]
    for kind in ("stress", "delays"):
        for name in list(getattr(runs[0], kind))[1:]:
            found = (getattr(run, kind)[name]["return_total"] for run in runs)
            rows.append([f"return, {name}", *(_text(value, "{:+.2%}") for value in found)])
    held = float((1.0 + account.held).prod() - 1.0)
    rows.append(["buy and hold", *(_text(held, "{:+.2%}") for _ in runs)])
    out.print(table("", columns, rows))
    if len(runs) > 1:
        _compare(account)


def _compare(account: Account) -> None:
    out, apart = console(), account.difference
    one, other = (run.name for run in account.runs)
    between = ""
    if "low" in apart:
        between = f" (90 %: {apart['low']:+.2%} to {apart['high']:+.2%})"
    out.print(f"{one} against {other}: {apart['mean']:+.2%} a year{between}")
    for name, (left, right) in sorted(account.changes.items()):
        out.print(f"  {name}: {plain(left)} against {plain(right)}")


def _text(value: float, form: str) -> str:
    """Return a figure, a dash where there is none."""
    return "–" if isnan(value) else form.format(value)


def _moment(option: str, text: str | None) -> int | None:
    """Return a UTC day or time in milliseconds."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option}: {text!r} is no date; give one such as 2025-10-01") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)
