"""A model that replaces another one begins small, for as many trades as the settings say."""

from executor.core.events import ModelSwapped
from executor.core.state import restore, save
from tests.support.trading import LONG_ROW, Desk, FixedModel, model_info


def quantity(desk: Desk) -> float:
    """Enter, note the size, and close the trade again."""
    (intent,) = desk.close({"BTCUSDT": LONG_ROW}).intents
    desk.fill(intent)
    desk.execute(symbol="BTCUSDT", side=-1, quantity=intent.quantity, price=100.5, reduce_only=True)
    return intent.quantity


def swap(desk: Desk, version: str) -> None:
    model = FixedModel(model_info(("BTCUSDT",)))
    desk.do(ModelSwapped(model=model, version=version, time_ms=desk.close_ms))


def test_a_promotion_bets_a_quarter_for_ten_trades_and_the_first_model_all() -> None:
    desk = Desk()
    whole = quantity(desk)
    model = FixedModel(model_info(("BTCUSDT",)))
    outcome = desk.do(ModelSwapped(model=model, version="2", time_ms=desk.close_ms))
    assert outcome.notices[-1].text.endswith("with 25% of its size for 10 trades")
    small = [quantity(desk) for _ in range(10)]
    assert all(0.2 * whole < one < 0.3 * whole for one in small), (whole, small)
    assert quantity(desk) > 0.9 * whole, "then it bets as any model does"


def test_trades_of_the_model_before_do_not_count_and_a_restart_forgets_nothing() -> None:
    desk = Desk()
    (intent,) = desk.close({"BTCUSDT": LONG_ROW}).intents
    desk.fill(intent)
    desk.close()
    swap(desk, "2")
    desk.execute(symbol="BTCUSDT", side=-1, quantity=intent.quantity, price=100.5, reduce_only=True)
    assert desk.state.guard.canary_left == desk.params.guard.canary_trades
    again = restore(save(desk.state), desk.params)
    assert again.guard.canary_left == desk.params.guard.canary_trades
    desk.state = again
    swap(desk, "2")
    assert desk.state.guard.canary_left == desk.params.guard.canary_trades, "the same version"
