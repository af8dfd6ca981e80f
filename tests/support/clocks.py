"""Clocks that a test moves by hand."""

import asyncio


class FakeClock:
    """Time passes only when somebody sleeps or the test says so; `sleeps` lists the waits."""

    def __init__(self, now_ms: int = 1_735_689_600_000) -> None:
        self._now_ms = now_ms
        self._seconds = 1_000.0
        self.sleeps: list[float] = []

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._seconds

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += seconds
        self._now_ms += round(seconds * 1000)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.pass_s(seconds)
        await asyncio.sleep(0)
