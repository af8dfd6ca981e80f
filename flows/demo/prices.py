"""The closes of the traded bars, as any client of the exchange would fetch them.

Decides the paging alone. Never reads the market's files: what was streamed is what is shown.
Rule: bars are asked for by their opening time, newest last.
"""

from typing import Final

import httpx
import numpy as np

from features.intervals import interval_ms
from features.types import FloatArray, IntArray
from flows.demo.plan import Plan
from flows.system.processes import ProgramError

PAGE: Final = 1_000
BYBIT_NAMES: Final = {"1d": "D"}
TIMEOUT_S: Final = 30.0


def closes(url: str, plan: Plan, symbol: str) -> tuple[IntArray, FloatArray]:
    """Return close times (UTC ms) and closes of the bars that were traded, shape (n,).

    Raises
    ------
    ProgramError
        Where the exchange does not answer.
    """
    length_ms = interval_ms(plan.interval)
    name = BYBIT_NAMES.get(plan.interval, str(length_ms // 60_000))
    rows: dict[int, float] = {}
    start_ms, end_ms = plan.until_ms, plan.until_ms + plan.bars * length_ms
    while start_ms < end_ms:
        query: dict[str, str | int] = {
            "category": "linear",
            "symbol": symbol,
            "interval": name,
            "start": start_ms,
            "end": min(end_ms, start_ms + PAGE * length_ms) - 1,
            "limit": PAGE,
        }
        try:
            reply = httpx.get(f"{url}/v5/market/kline", params=query, timeout=TIMEOUT_S)
            found = reply.raise_for_status().json()["result"]["list"]
        except httpx.HTTPError as error:
            raise ProgramError(f"the paper exchange does not answer: {error}") from None
        rows.update({int(row[0]) + length_ms: float(row[4]) for row in found})
        start_ms += PAGE * length_ms
    times = np.array(sorted(rows), dtype=np.int64)
    return times, np.array([rows[t] for t in sorted(rows)], dtype=np.float64)
