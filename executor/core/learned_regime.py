"""A classifier that learns, while the bot runs, which way the market goes in the next window.

Decides a forecast (up or down) for each window of `window_bars`, how much it is trusted, and what
that takes off a bet whose side it speaks against: nothing until 100 forecasts were judged and an
e-process says that they are right more often than the majority class, then (samples - 100)/500, at
most a fifth; nothing again once the evidence is gone. Never refuses an entry, never makes a bet
larger, never sees the model. Rule: windows do not overlap and each is forecast before it begins;
all symbols together are one sample, because coins move together; the same bars give the same state.

The market is the mean log return of the symbols that closed at both ends of a window. What is
learned is a table: after windows like the newest three facts (its direction, that of the last six,
whether it was wild), how often the next one went up, drawn towards the overall share.

Sources: Ville (1939); Waudby-Smith & Ramdas (2024), betting on bounded means. Wealth is capped,
which keeps it a supermartingale, so that what was earned long ago does not outlive its reason.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from executor.core.contract import NoticeCode
from executor.core.params import LearnedRegime
from executor.core.types import Notice

UP: Final = "up"
DOWN: Final = "down"
SAMPLES_MIN: Final = 100
SAMPLES_SPAN: Final = 500
INFLUENCE_MAX: Final = 0.20
EVIDENCE_MIN: Final = 20.0  # 1/alpha: a worthless forecaster ever gets here once in twenty
EVIDENCE_KEPT: Final = 100.0
BETS: Final = (0.1, 0.2, 0.4)
TREND_WINDOWS: Final = 6
MOVES_KEPT: Final = 24
CELL_MEMORY: Final = 0.98  # of a cell's counts at each of its windows: about its newest fifty
PRIOR_WINDOWS: Final = 10.0


@dataclass(slots=True, kw_only=True)
class RegimeLearner:
    """What the classifier remembers. Changed only by :func:`learn`.

    ``closes`` are the prices at ``at_ms``, where the newest window ended; ``moves`` the market's
    newest moves. ``seen`` and ``ups`` count windows, ``samples`` forecasts that were judged and
    ``hits``, ``majority_hits`` those that were right. ``cells`` holds [ups, windows] by what went
    before, ``wealth`` one number a bet.
    """

    at_ms: int = 0
    closes: dict[str, float] = field(default_factory=dict)
    moves: list[float] = field(default_factory=list)
    seen: int = 0
    ups: int = 0
    samples: int = 0
    hits: int = 0
    majority_hits: float = 0.0
    cell: str = ""
    forecast: str = ""
    cells: dict[str, list[float]] = field(default_factory=dict)
    wealth: list[float] = field(default_factory=lambda: [1.0] * len(BETS))

    def evidence(self) -> float:
        """Return the e-value against "right no more often than the majority class"."""
        return sum(self.wealth) / len(self.wealth)

    def influence(self) -> float:
        """Return the fraction of a bet that a contrary forecast takes off, 0 to a fifth."""
        if self.samples < SAMPLES_MIN or self.evidence() < EVIDENCE_MIN:
            return 0.0
        return min(INFLUENCE_MAX, (self.samples - SAMPLES_MIN) / SAMPLES_SPAN)

    def share(self, side: int) -> float:
        """Return what is left of a bet on ``side`` (+1, -1), 1 where nothing speaks against it."""
        against = DOWN if side > 0 else UP
        return 1.0 - self.influence() if self.forecast == against else 1.0


def learn(
    learner: RegimeLearner,
    closes: Mapping[str, float],
    close_ms: int,
    interval_ms: int,
    settings: LearnedRegime,
) -> Notice | None:
    """Take in the closes of one bar; say where the forecasts begin or cease to have influence."""
    window_ms = settings.window_bars * interval_ms
    if not settings.enabled or close_ms % window_ms:
        return None
    before = learner.influence()
    move = _move(learner.closes, closes) if close_ms - learner.at_ms == window_ms else math.nan
    learner.at_ms, learner.closes = close_ms, dict(closes)
    if math.isnan(move):  # a window is missing: nothing before it says anything of the next
        learner.moves.clear()
        learner.forecast = learner.cell = ""
    else:
        _take(learner, move)
    now = learner.influence()
    if (before > 0.0) == (now > 0.0):
        return None
    text = (
        f"learned regime: {'has' if now > 0.0 else 'no longer has'} influence on sizes; "
        f"{learner.hits} of {learner.samples} forecasts were right, {learner.majority_hits:g} by "
        f"the majority class (evidence {learner.evidence():.1f} to 1, {EVIDENCE_MIN:g} needed)"
    )
    return Notice(code=NoticeCode.LEARNED_REGIME, symbol="", text=text, time_ms=close_ms)


def _move(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Return the mean log return of the symbols known at both ends, NaN where there is none."""
    moves = [math.log(now[s] / price) for s, price in sorted(before.items()) if s in now]
    return math.fsum(moves) / len(moves) if moves else math.nan


def _take(learner: RegimeLearner, move: float) -> None:
    """Judge the forecast of the window that ended, learn from it, and forecast the next one."""
    if move != 0.0:
        went = UP if move > 0.0 else DOWN
        if learner.forecast:
            _judge(learner, went)
        learner.seen += 1
        learner.ups += went == UP
        if learner.cell:
            ups, windows = learner.cells.get(learner.cell, (0.0, 0.0))
            learner.cells[learner.cell] = [
                CELL_MEMORY * ups + (went == UP),
                CELL_MEMORY * windows + 1.0,
            ]
    learner.moves.append(move)
    del learner.moves[:-MOVES_KEPT]
    learner.cell = learner.forecast = ""
    if len(learner.moves) >= TREND_WINDOWS:
        learner.cell = _cell(learner.moves)
        learner.forecast = _forecast(learner)


def _judge(learner: RegimeLearner, went: str) -> None:
    """Let each bet win or lose what the forecast was better or worse than the majority class."""
    majority = 0.5 if 2 * learner.ups == learner.seen else float(_majority(learner) == went)
    hit = learner.forecast == went
    learner.samples += 1
    learner.hits += hit
    learner.majority_hits += majority
    learner.wealth = [
        min(EVIDENCE_KEPT, wealth * (1.0 + bet * (hit - majority)))
        for bet, wealth in zip(BETS, learner.wealth, strict=True)
    ]


def _majority(learner: RegimeLearner) -> str:
    return UP if 2 * learner.ups > learner.seen else DOWN


def _cell(moves: list[float]) -> str:
    """Return what is looked up: direction of the newest window and of the last six, wild or not."""
    usual = math.sqrt(math.fsum(move * move for move in moves) / len(moves))
    newest, trend = moves[-1], math.fsum(moves[-TREND_WINDOWS:])
    words = (UP if newest > 0.0 else DOWN, UP if trend > 0.0 else DOWN)
    return "/".join((*words, "wild" if abs(newest) > usual else "calm"))


def _forecast(learner: RegimeLearner) -> str:
    """Return the likelier direction after windows like these, "" where both are as likely."""
    share = (learner.ups + 1.0) / (learner.seen + 2.0)
    ups, windows = learner.cells.get(learner.cell, (0.0, 0.0))
    likelihood = (ups + PRIOR_WINDOWS * share) / (windows + PRIOR_WINDOWS)
    if likelihood == 0.5:
        return ""
    return UP if likelihood > 0.5 else DOWN
