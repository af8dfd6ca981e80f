"""Simulations by the peers: ``python peer_simulation.py NAME BARS.npz REPS``, in their environment.

An EMA cross 240/960 on one symbol; fees as ours. The averages are given where the peer takes them.
"""

import sys
from decimal import Decimal
from importlib import import_module

import numpy as np
from measure import cpu_seconds, report, versions

FAST, SLOW = 240, 960


def ema(values, span: int):
    out, share = np.empty(values.size), 2.0 / (span + 1.0)
    level = values[0]
    for i, value in enumerate(values):
        level += share * (value - level)
        out[i] = level
    return out


def crosses(close):
    above = ema(close, FAST) > ema(close, SLOW)
    change = np.diff(above.astype(np.int8), prepend=above[0])
    return change > 0, change < 0


def frame(bars):
    pd = import_module("pandas")
    index = pd.date_range("2024-01-01", periods=bars["close"].size, freq="min", tz="UTC")
    columns = {name: bars[name] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns, index=index)


def vectorbt(bars, reps: int) -> None:
    portfolio = import_module("vectorbt").Portfolio
    data = frame(bars)
    entries, exits = crosses(bars["close"])

    def work() -> object:
        done = portfolio.from_signals(
            data["close"],
            entries=entries,
            exits=exits,
            open=data["open"],
            high=data["high"],
            low=data["low"],
            sl_stop=0.01,
            tp_stop=0.02,
            fees=0.0005,
            init_cash=1e6,
            freq="1min",
        )
        return done.value()

    seconds = cpu_seconds(work, reps)
    report("vectorbt", seconds, units=data.shape[0], reps=reps, versions=versions("vectorbt"))


def backtesting(bars, reps: int) -> None:
    module = import_module("backtesting")
    data = frame(bars).rename(columns=str.capitalize).tz_localize(None)
    up, down = (flags.astype(float) for flags in crosses(bars["close"]))

    class Cross(module.Strategy):
        def init(self) -> None:
            self.up = self.I(lambda: up)
            self.down = self.I(lambda: down)

        def next(self) -> None:
            price = self.data.Close[-1]
            if self.up[-1]:
                self.buy(size=1, sl=price * 0.99, tp=price * 1.02)
            elif self.down[-1]:
                self.sell(size=1, sl=price * 1.01, tp=price * 0.98)

    def work() -> object:
        return module.Backtest(data, Cross, cash=1e7, commission=0.0005).run()

    seconds = cpu_seconds(work, reps)
    found = versions("backtesting", "pandas")
    report("backtesting", seconds, units=data.shape[0], reps=reps, versions=found)


def nautilus(bars, reps: int) -> None:
    engine_module = import_module("nautilus_trader.backtest.engine")
    config = import_module("nautilus_trader.config")
    cross = import_module("nautilus_trader.examples.strategies.ema_cross")
    data_module = import_module("nautilus_trader.model.data")
    enums = import_module("nautilus_trader.model.enums")
    identifiers = import_module("nautilus_trader.model.identifiers")
    money = import_module("nautilus_trader.model.objects").Money
    usdt = import_module("nautilus_trader.model.currencies").USDT
    wranglers = import_module("nautilus_trader.persistence.wranglers")
    provider = import_module("nautilus_trader.test_kit.providers").TestInstrumentProvider
    instrument = provider.btcusdt_perp_binance()
    kind = data_module.BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    recorded = wranglers.BarDataWrangler(kind, instrument).process(frame(bars))
    terms = cross.EMACrossConfig(
        instrument_id=instrument.id,
        bar_type=kind,
        trade_size=Decimal("0.010"),
        fast_ema_period=FAST,
        slow_ema_period=SLOW,
    )

    def work() -> object:
        quiet = config.LoggingConfig(bypass_logging=True)
        engine = engine_module.BacktestEngine(engine_module.BacktestEngineConfig(logging=quiet))
        engine.add_venue(
            venue=identifiers.Venue("BINANCE"),
            oms_type=enums.OmsType.NETTING,
            account_type=enums.AccountType.MARGIN,
            starting_balances=[money(1_000_000, usdt)],
        )
        engine.add_instrument(instrument)
        engine.add_data(recorded)
        engine.add_strategy(cross.EMACross(config=terms))
        engine.run()
        engine.dispose()
        return None

    seconds = cpu_seconds(work, reps)
    found = versions("nautilus_trader", "pandas")
    report("nautilus", seconds, units=len(recorded), reps=reps, versions=found)


if __name__ == "__main__":
    contender, path, count = sys.argv[1:4]
    contenders = {"vectorbt": vectorbt, "backtesting": backtesting, "nautilus": nautilus}
    contenders[contender](dict(np.load(path)), int(count))
