"""Indicators by the peers: ``python peer_indicators.py talib|talipp BARS.npz REPS``."""

import sys
from importlib import import_module

import numpy as np
from measure import cpu_seconds, report, versions

STREAMED = 20_000


def talib(bars, reps: int) -> None:
    ta = import_module("talib")
    high, low, close = bars["high"], bars["low"], bars["close"]
    cases = {
        "EMA 50": lambda: ta.EMA(close, 50),
        "SMA 20": lambda: ta.SMA(close, 20),
        "STDDEV 20": lambda: ta.STDDEV(close, 20),
        "RSI 14": lambda: ta.RSI(close, 14),
        "ATR 14": lambda: ta.ATR(high, low, close, 14),
        "ADX 14": lambda: ta.ADX(high, low, close, 14),
        "MACD 12 26 9": lambda: ta.MACD(close, 12, 26, 9),
        "BBANDS 20": lambda: ta.BBANDS(close, 20),
        "MAX 48": lambda: ta.MAX(close, 48),
        "MIN 48": lambda: ta.MIN(close, 48),
    }
    for name, work in cases.items():
        seconds = cpu_seconds(work, reps)
        report(f"talib {name}", seconds, units=close.size, reps=reps, versions=versions("TA-Lib"))


def talipp(bars, reps: int) -> None:
    indicators, ohlcv = import_module("talipp.indicators"), import_module("talipp.ohlcv").OHLCV
    columns = [
        bars[name][:STREAMED].tolist() for name in ("open", "high", "low", "close", "volume")
    ]

    def work() -> None:
        closes = (
            indicators.EMA(50),
            indicators.RSI(14),
            indicators.MACD(12, 26, 9),
            indicators.BB(20, 2),
        )
        ranges = (indicators.ATR(14), indicators.ADX(14, 14))
        for bar in zip(*columns, strict=True):
            for one in closes:
                one.add(bar[3])
            candle = ohlcv(*bar)
            for one in ranges:
                one.add(candle)

    seconds = cpu_seconds(work, min(reps, 2))
    report("talipp six", seconds, units=STREAMED, reps=reps, versions=versions("talipp"))


if __name__ == "__main__":
    contender, path, count = sys.argv[1:4]
    {"talib": talib, "talipp": talipp}[contender](dict(np.load(path)), int(count))
