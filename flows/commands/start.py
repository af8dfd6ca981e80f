"""The commands that start things: `tribar demo` and `tribar up`.

Decides their options. The choreography is in `flows.demo` and `flows.system.up`.
Rule: an option is checked before anything is started.
"""

from typing import Annotated

from cyclopts import Parameter

from flows.clock import now_ms
from flows.commands.frame import JsonFile, console, split_symbols, write_json
from flows.demo.plan import SIMULATED, make_plan
from flows.demo.show import Demo
from flows.settings import load_settings
from flows.system.up import keep_up


def demo(
    *,
    market: str = SIMULATED,
    symbols: Annotated[tuple[str, ...], Parameter(negative=())] = (
        "BTCUSDT",
        "ETHUSDT",
        "SOLUSDT",
    ),
    interval: str = "15m",
    train_until: str | None = None,
    days: int | None = None,
    bars: int | None = None,
    seed: int = 7,
    trials: int = 12,
    keep: bool = False,
    json: JsonFile = None,
) -> int:
    """Run the whole loop once: candles, training, gate, promotion, an executor that trades.

    Everything runs on this machine, on 127.0.0.1, with play money: Valkey, MLflow and Prefect
    servers, an exchange that speaks Bybit's protocol, the training through Prefect, and the
    executor in its own lean environment. It takes about five minutes, shows what it does, and ends
    with a report page and the addresses to look at. It touches nothing of a real system: its own
    lake, its own model (tribar-demo), its own Redis names (demo:).

    Parameters
    ----------
    market
        simulated, or replay:FOLDER with files SYMBOL-INTERVAL.parquet of real candles
        (columns timestamp in ms, open, high, low, close, volume; SYMBOL-funding.parquet beside).
    symbols
        Venue ids, separated by commas.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    train_until
        Train on candles up to this UTC date (included whole), trade what comes after. By default
        the last eighth of a replay is for trading.
    days
        Length of the training window; by default 365, or all there is in a replay.
    bars
        Bars to trade; by default 3000 of a simulated market, or all that a replay has left.
    seed
        Seed of the simulated market and of the training: the same seed gives the same run.
    trials
        Hyperparameter trials.
    keep
        Keep everything running afterwards, until Ctrl-C.
    json
        Write the summary to this file, for machines.
    """
    settings = load_settings()
    plan = make_plan(
        settings,
        market=market,
        symbols=split_symbols(symbols) or [],
        interval=interval,
        train_until=train_until,
        days=days,
        bars=bars,
        seed=seed,
        trials=trials,
        now_ms=now_ms(),
    )
    show = Demo(settings, plan, console())
    summary = show.run(keep=keep, on_summary=lambda found: write_json(json, found))
    return 0 if summary["executor"]["bars"] else 1


def up(*, executor: bool = True) -> int:
    """Keep the servers, the served flows and the executor running, until Ctrl-C.

    Servers are started on 127.0.0.1 unless their URL is configured. `retrain` is scheduled as
    [schedule] of configs/flows.toml says, and can be edited and started in the Prefect UI. What
    ends by itself is started again.

    Parameters
    ----------
    executor
        Run the executor too, with configs/executor.toml.
    """
    keep_up(load_settings(), console(), with_executor=executor)
    return 0
