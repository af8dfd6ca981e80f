"""The one door into the decision core.

Decides only when self-tuning runs: before the first event that follows the close at which it fell
due, whatever that event is, so that every driver tunes on the same state (the shell sends a
``Tick`` once its orders are out). Everything else is ``core.react``. Rule: whoever drives the core
(the live trader, a simulation, the paper run) calls ``step`` with events in order and carries out
the outcome; nothing else changes a ``TradingState``.
"""

from dataclasses import replace

from executor.core.events import Event
from executor.core.params import Params
from executor.core.react import react
from executor.core.state import TradingState
from executor.core.tuning import tune
from executor.core.types import Outcome


def step(state: TradingState, event: Event, params: Params) -> Outcome:
    """Take one event in and return what it wants done."""
    if not state.tuning.due:
        return react(state, event, params)
    notices = tune(state, params)
    outcome = react(state, event, params)
    return replace(outcome, notices=(*notices, *outcome.notices))
