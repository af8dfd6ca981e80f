"""What labels assume of a bar is what the simulation and the paper exchange do in it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from executor.core.fills import FillKind, Resting, RestingLimit, walk_bar
from features.barriers import NONE, PROFIT, traded_through
from features.costs import Costs
from features.exit_plan import exit_step
from features.types import Candle

FREE = Costs(taker_fee=0.0, maker_fee=0.0, slippage_base=0.0, slippage_volatility=0.0)
TICK = 0.25  # a power of two, so that prices on the grid are exact
_grid = st.integers(360, 440).map(lambda ticks: ticks * TICK)


@settings(max_examples=300)
@given(
    side=st.sampled_from([1, -1]),
    prices=st.tuples(_grid, _grid, _grid, _grid),
    levels=st.tuples(st.integers(1, 30), st.integers(1, 20), st.integers(1, 30)),
    resting=st.booleans(),
)
def test_a_bar_is_walked_alike(side, prices, levels, resting):
    low, open_, close, high = sorted(prices)
    near, beyond, below = levels
    partial_price = 100.0 + side * near * TICK
    take_price = partial_price + side * beyond * TICK
    stop_price = 100.0 - side * below * TICK
    fills, reason, price, _ = exit_step(
        side,
        take_price,
        stop_price,
        traded_through(side, partial_price, TICK),
        resting,
        open_,
        high,
        low,
    )
    wanted = [(FillKind.ORDER, 0.4, partial_price)] if fills else []
    if reason != NONE:
        kind = FillKind.TAKE if reason == PROFIT else FillKind.STOP
        wanted.append((kind, 0.6 if fills else 1.0, price))

    limit = RestingLimit(client_order_id="p1", quantity=0.4, price=partial_price)
    walked = walk_bar(
        Resting(
            side=side,
            quantity=1.0,
            take_price=take_price,
            stop_price=stop_price,
            limits=(limit,) if resting else (),
        ),
        Candle(open_ms=0, open=open_, high=high, low=low, close=close, volume=1.0),
        0.0,
        FREE,
        TICK,
    )
    assert [(f.kind, f.quantity, f.price) for f in walked] == wanted
