"""A model whose answers to expected questions were computed at once.

Decides nothing: the trees answer ten thousand rows in the time of a hundred single ones, and every
answer is the one the model would give alone. Never guesses: a question that was not expected goes
to the model itself. Rule: for replays only; live, a question is known when it is asked.
"""

from collections.abc import Sequence

from executor.core.model import Model, ModelInfo, Prediction, Request


class Foreseen:
    """Wraps a model; answers what was expected from memory."""

    def __init__(self, model: Model, expected: Sequence[Request]) -> None:
        self._model = model
        answers = model.predict_many(expected) if expected else []
        self._known = {
            (q.symbol, q.close_ms, q.signal): a for q, a in zip(expected, answers, strict=True)
        }

    @property
    def info(self) -> ModelInfo:
        """Return the facts of the model."""
        return self._model.info

    def predict_many(self, requests: Sequence[Request]) -> list[Prediction]:
        """Answer as the model itself would."""
        found = [self._known.get((q.symbol, q.close_ms, q.signal)) for q in requests]
        missing = [place for place, answer in enumerate(found) if answer is None]
        if missing:
            asked = self._model.predict_many([requests[place] for place in missing])
            for place, answer in zip(missing, asked, strict=True):
                found[place] = answer
        return [answer for answer in found if answer is not None]
