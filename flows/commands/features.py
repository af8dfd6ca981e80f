"""The commands on features: `tribar features check`.

Decides how findings are shown; `flows.feature_check` finds them.
Rule: a difference of one bit is a failure, with the feature's name.
"""

from dataclasses import asdict

import numpy as np
from cyclopts import App
from rich.console import Console

from features.catalog import default_catalog
from features.errors import InputError
from features.signals import SignalParams
from flows.commands.frame import JsonFile, Symbols, console, split_symbols, table, write_json
from flows.feature_check import Findings, check_features
from flows.lake.store import Lake
from flows.settings import Settings, load_settings
from flows.shown.terminal import Stage, Stages

BARS = 20_000
LEGEND = """\
stream     bar by bar, as in trading, equals all at once, as in training
cut        a row stays the same when the bars after it are cut off
warm       first bar that has a number
identical  bars until the worst of three cold starts has the history's bits
declared   bars that the catalog asks for; in time: identical is not more
–          cannot be told: no funding in the lake, or too few bars"""

app = App(name="features", help="Look into what the model learns from.", help_format="markdown")


@app.command
def check(
    *,
    symbol: Symbols = None,
    interval: str | None = None,
    bars: int = BARS,
    seed: int = 7,
    json: JsonFile = None,
) -> int:
    """Check on your own candles that training and trading see the same features.

    For each feature: is the live stream equal to the batch, to the last bit? Does a row stay as it
    was when the future is cut off at random points? After how many bars is a cold start
    bit-identical? And how often does each primary rule fire? Exit code 1 where something differs.

    Parameters
    ----------
    symbol
        Venue ids; those of configs/flows.toml where not given.
    interval
        Bar length: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    bars
        How many of the newest bars to check.
    seed
        Chooses the cuts and the cold starts.
    json
        Write what was found to this file, for machines.
    """
    settings = load_settings()
    if bars < 2:
        raise InputError(f"--bars: {bars} is too few; give 2 or more")
    out = console()
    stages = Stages(out)
    findings = []
    for one in split_symbols(symbol) or settings.data.symbols:
        with stages.stage(one) as stage:
            found = _check(
                settings, one, interval or settings.data.interval, bars, seed=seed, stage=stage
            )
            findings.append(found)
            stage.say(_verdict(found))
    for found in findings:
        _show(out, found)
    out.print(LEGEND, highlight=False)
    write_json(json, [{**asdict(found), "is_good": found.is_good} for found in findings])
    return 0 if all(found.is_good for found in findings) else 1


def _check(
    settings: Settings, symbol: str, interval: str, bars: int, *, seed: int, stage: Stage
) -> Findings:
    lake = Lake(settings.paths.lake)
    candles = lake.candles(settings.venue.id, symbol, interval)
    if candles.n == 0:
        raise InputError(f"the lake has no {interval} candles of {symbol}; run tribar ingest first")
    return check_features(
        symbol,
        candles.slice(max(0, candles.n - bars), candles.n),
        lake.funding(settings.venue.id, symbol),
        default_catalog(),
        SignalParams(**settings.signal.model_dump()),
        generator=np.random.default_rng(seed),
        tell=lambda done, what: stage.advance(done, 1.0, what),
    )


def _verdict(found: Findings) -> str:
    word = "equal to the last bit" if found.is_good else "NOT the same"
    return f"{found.bars:,} bars, {len(found.features)} features: stream and batch {word}"


def _show(out: Console, found: Findings) -> None:
    rows = [
        (
            one.name,
            "equal" if one.same_in_stream else "DIFFERS",
            "equal" if one.unchanged_by_future else "DIFFERS",
            one.warm_from,
            one.identical_from,
            one.declared,
            None if one.identical_from is None else "NO" if one.is_late else "yes",
        )
        for one in found.features
    ]
    columns = ("feature", "stream", "cut", "warm", "identical", "declared", "in time")
    out.print(table(found.symbol, columns, rows))
    shares = ", ".join(
        f"{rule} {'–' if share is None else f'{share:.1%}'}" for rule, share in found.firing.items()
    )
    out.print(f"Share of bars on which a rule fires: {shares}", highlight=False)
