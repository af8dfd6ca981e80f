"""What models say of rows: raw probabilities, calibrated ones, and what the rule expects of them.

Decides the shape of an answer and how several parts' answers become one. Never fits and never
predicts. Rule: answers know their rows, and come in order of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from features.types import FloatArray
from flows.research.economics import Expectation
from flows.research.splits import Rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unseen:
    """Raw probabilities of rows that the parts which gave them had not seen; shape (n,) each."""

    rows: Rows
    boosted: FloatArray
    linear: FloatArray

    def but(self, others: "Unseen") -> "Unseen":
        """Return these rows and those of ``others`` that are not among them."""
        new = ~np.isin(others.rows, self.rows)
        return Unseen(
            rows=np.concatenate([self.rows, others.rows[new]]),
            boosted=np.concatenate([self.boosted, others.boosted[new]]),
            linear=np.concatenate([self.linear, others.linear[new]]),
        )

    def within(self, rows: Rows) -> "Unseen":
        """Return those that are among ``rows``."""
        return self.at(np.flatnonzero(np.isin(self.rows, rows)))

    def at(self, places: Rows) -> "Unseen":
        """Return those at ``places``."""
        return Unseen(
            rows=self.rows[places], boosted=self.boosted[places], linear=self.linear[places]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a fitted model, and its logistic part alone, say of rows; arrays of shape (n,)."""

    raw: Unseen
    probability: FloatArray
    linear_probability: FloatArray
    expected: Expectation
    linear_expected: Expectation

    @property
    def rows(self) -> Rows:
        """The rows judged."""
        return self.raw.rows


def together(answers: Iterable[Answers]) -> Answers:
    """Return the parts' answers as one, in order of the rows where there are several."""
    found = list(answers)
    if len(found) == 1:
        return found[0]
    if not found:
        nothing = np.empty(0)
        expected = Expectation(net=nothing, error=nothing, second_moment=nothing)
        return Answers(
            raw=Unseen(rows=np.empty(0, dtype=np.intp), boosted=nothing, linear=nothing),
            probability=nothing,
            linear_probability=nothing,
            expected=expected,
            linear_expected=expected,
        )
    order = np.argsort(np.concatenate([one.rows for one in found]), kind="stable")

    def column(values: Iterable[FloatArray]) -> FloatArray:
        return np.concatenate(list(values))[order]

    def expectation(values: list[Expectation]) -> Expectation:
        return Expectation(
            net=column(one.net for one in values),
            error=column(one.error for one in values),
            second_moment=column(one.second_moment for one in values),
        )

    return Answers(
        raw=Unseen(
            rows=np.concatenate([one.rows for one in found])[order],
            boosted=column(one.raw.boosted for one in found),
            linear=column(one.raw.linear for one in found),
        ),
        probability=column(one.probability for one in found),
        linear_probability=column(one.linear_probability for one in found),
        expected=expectation([one.expected for one in found]),
        linear_expected=expectation([one.linear_expected for one in found]),
    )
