"""Bringing the ledger in line with the venue.

Decides how each difference of ``core.reconcile`` is carried into the state, when a difference
counts, and when a flattening is over. Never guesses: a difference must be seen twice, ``grace_ms``
apart and with nothing of ours in flight on the symbol, unless this is the first snapshot after a
start. Rule: a snapshot that shows nothing new changes nothing that a decision looks at.
"""

from dataclasses import replace

from executor.core.contract import ExitReason, NoticeCode
from executor.core.decide import is_passed
from executor.core.draft import Draft
from executor.core.events import VenuePosition, VenueSnapshot
from executor.core.exits import after_close, exit_in_flight, protect, send_exit
from executor.core.fills import quantise_barriers
from executor.core.ledger import Opening
from executor.core.params import Params
from executor.core.reconcile import Action, Difference, differences
from executor.core.state import Suspicion, TradingState
from executor.core.types import CancelIntent, Fill, Leg, Position, Trade
from features.barriers import barrier_prices

_POSITIONS = frozenset({Action.ADOPT, Action.DROP, Action.RESIZE, Action.FLIP})
_RESTING = frozenset({Action.VERIFIED, Action.TIGHTENED})


def reconcile(
    state: TradingState, snapshot: VenueSnapshot, params: Params, draft: Draft
) -> list[Trade]:
    """Take in one snapshot; returns the trades that it closed."""
    first = state.reconciled_ms == 0
    trades: list[Trade] = []
    seen: set[str] = set()
    for difference in differences(state.ledger.positions, state.active, snapshot, params.reconcile):
        key = f"{difference.symbol}:{'order' if difference.order else 'position'}"
        if difference.action in _POSITIONS or difference.action is Action.CANCEL:
            seen.add(key)
            if not first and not _counts(state, key, difference, snapshot.time_ms, params):
                continue
        _carry_out(state, difference, snapshot.time_ms, params, draft, trades)
        state.suspicions.pop(key, None)
        if difference.action in _RESTING:
            _look_beyond(state, difference, snapshot.time_ms, params, seen, draft)
    for key in [key for key in state.suspicions if key not in seen]:
        del state.suspicions[key]
    _balance(state, snapshot, params, draft)
    _end_flattening(state, snapshot, params)
    state.reconciled_ms = snapshot.time_ms
    return trades


def _end_flattening(state: TradingState, snapshot: VenueSnapshot, params: Params) -> None:
    """End a flattening where the venue shows nothing either.

    Our own word does not do: a start obeys a flatten before it knows what is held.
    """
    least = params.reconcile.quantity_tolerance
    held = any(position.quantity > least for position in snapshot.positions)
    if not (held or state.ledger.positions or state.active):
        state.guard.flattening = False


def _counts(
    state: TradingState, key: str, difference: Difference, time_ms: int, params: Params
) -> bool:
    """Say whether a difference was seen long enough, with nothing of ours under way."""
    if difference.action is not Action.CANCEL and any(
        order.intent.symbol == difference.symbol and not order.intent.price
        for order in state.active.values()
    ):
        state.suspicions.pop(key, None)
        return False
    known = state.suspicions.get(key)
    if known is None or known.signature != difference.signature:
        state.suspicions[key] = Suspicion(signature=difference.signature, since_ms=time_ms)
        return False
    return time_ms - known.since_ms >= params.reconcile.grace_ms


def _carry_out(
    state: TradingState,
    difference: Difference,
    time_ms: int,
    params: Params,
    draft: Draft,
    trades: list[Trade],
) -> None:
    symbol, venue = difference.symbol, difference.venue
    if difference.order is not None:
        order = difference.order
        draft.cancels.append(
            CancelIntent(
                symbol=symbol,
                client_order_id=order.client_order_id,
                venue_order_id=order.venue_order_id,
                reason="orphan",
            )
        )
        text = f"{symbol}: cancelling an open order that is not ours ({order.venue_order_id})"
        draft.notice(NoticeCode.ORPHAN_ORDER, symbol, text, time_ms)
        return
    if difference.action in {Action.DROP, Action.FLIP}:
        trades.append(_drop(state, symbol, time_ms, venue, draft))
    if venue is None:
        return
    if difference.action in {Action.ADOPT, Action.FLIP}:
        _adopt(state, venue, time_ms, params, draft)
    elif difference.action is Action.RESIZE:
        _resize(state, venue, time_ms, draft)
    else:
        _stops(state, difference.action, venue, time_ms, params, draft)


def _drop(
    state: TradingState, symbol: str, time_ms: int, venue: VenuePosition | None, draft: Draft
) -> Trade:
    position = state.ledger.positions[symbol]
    price = venue.mark_price if venue is not None and venue.mark_price > 0.0 else 0.0
    price = price or state.ledger.mark(position)
    trade = state.ledger.drop(symbol, price, time_ms, ExitReason.OUTSIDE)
    text = f"{symbol}: the venue no longer holds our position; booked as closed at {price}"
    draft.notice(NoticeCode.DROPPED, symbol, text, time_ms)
    after_close(state, symbol, draft)
    return trade


def default_opening(symbol: str, side: int, price: float, time_ms: int, params: Params) -> Opening:
    """Return what to assume of a position that somebody else opened: stop and take by default."""
    policy = params.reconcile
    take, stop = barrier_prices(price, side, policy.default_profit, policy.default_loss)
    instrument = params.instruments.get(symbol)
    if instrument is not None:
        take, stop = quantise_barriers(side, take, stop, instrument.tick)
    return Opening(
        entry_id="",
        origin="exchange",
        decided_ms=time_ms,
        deadline_ms=time_ms + policy.default_horizon_ms,
        reference_price=price,
        stop_price=stop,
        take_price=take,
        profit=policy.default_profit,
        loss=policy.default_loss,
    )


def _adopt(
    state: TradingState, venue: VenuePosition, time_ms: int, params: Params, draft: Draft
) -> None:
    symbol, side = venue.symbol, venue.side
    mark = venue.mark_price if venue.mark_price > 0.0 else venue.entry_price
    # A default stop is measured from where the market is, so that it does not fire at once.
    opening = default_opening(symbol, side, mark, time_ms, params)
    opening = replace(
        opening,
        stop_price=venue.stop_price if venue.stop_price > 0.0 else opening.stop_price,
        take_price=venue.take_price if venue.take_price > 0.0 else opening.take_price,
    )
    state.ledger.marks[symbol] = mark
    state.ledger.apply_fill(
        _fill(venue.symbol, side, venue.quantity, venue.entry_price, time_ms),
        opening,
        ExitReason.OUTSIDE,
    )
    position = state.ledger.positions[symbol]
    text = f"{symbol}: adopted a position of {side * venue.quantity} loaded from the exchange"
    draft.notice(NoticeCode.ADOPTED, symbol, text, time_ms)
    if not params.reconcile.adopt_unknown:
        _close(state, position, mark, time_ms, ExitReason.FLATTEN, draft)
    elif venue.stop_price <= 0.0 or venue.take_price <= 0.0:
        protect(position, time_ms, "adopted", draft)


def _resize(state: TradingState, venue: VenuePosition, time_ms: int, draft: Draft) -> None:
    """Follow the venue's quantity at the mark, without a fee: it was not our order."""
    position = state.ledger.positions[venue.symbol]
    change = round(venue.quantity - position.quantity, 12)
    price = venue.mark_price if venue.mark_price > 0.0 else state.ledger.mark(position)
    side = position.side if change > 0.0 else -position.side
    fill = _fill(venue.symbol, side, abs(change), price, time_ms)
    opening = opening_of(position)
    state.ledger.apply_fill(fill, opening, ExitReason.OUTSIDE)
    text = (
        f"{venue.symbol}: quantity at the venue is {venue.quantity}, ours was {position.quantity}"
    )
    draft.notice(NoticeCode.RESIZED, venue.symbol, text, time_ms)


def opening_of(position: Position) -> Opening:
    """Return the opening a position already has: more of it changes nothing of its plan."""
    return Opening(
        entry_id=position.entry_id,
        origin=position.origin,
        decided_ms=position.decided_ms,
        deadline_ms=position.deadline_ms,
        reference_price=position.reference_price,
        stop_price=position.stop_price,
        take_price=position.take_price,
        profit=position.profit,
        loss=position.loss,
        plan=position.plan,
    )


def _stops(
    state: TradingState,
    action: Action,
    venue: VenuePosition,
    time_ms: int,
    params: Params,
    draft: Draft,
) -> None:
    symbol = venue.symbol
    position = state.ledger.positions[symbol]
    if action is not Action.PROTECT:
        moved = replace(
            position,
            stop_price=venue.stop_price,
            stop_verified=True,
            naked_since_ms=0,
            protect_tries=0,
        )
        state.ledger.positions[symbol] = moved
        return
    if exit_in_flight(state, symbol):
        return
    naked_since = position.naked_since_ms or time_ms
    mark = venue.mark_price if venue.mark_price > 0.0 else state.ledger.mark(position)
    if venue.stop_price <= 0.0:
        position = replace(position, stop_verified=False, naked_since_ms=naked_since)
    if position.stop_price <= 0.0:
        opening = default_opening(symbol, position.side, mark, time_ms, params)
        position = replace(position, stop_price=opening.stop_price)
    position = replace(position, protect_tries=position.protect_tries + 1)
    state.ledger.positions[symbol] = position
    reason = _hopeless(position, venue, mark, time_ms, params)
    if reason is None:
        text = f"{symbol}: the venue shows stop {venue.stop_price}, ours is {position.stop_price}"
        draft.notice(NoticeCode.STOP_MISSING, symbol, text, time_ms)
        wanted = venue.take_price <= 0.0 and not is_passed(
            -position.side, position.take_price, mark
        )
        protect(position, time_ms, "missing stop", draft, with_take=wanted)
        return
    text = (
        f"{symbol}: the stop {position.stop_price} does not rest at the venue after "
        f"{position.protect_tries - 1} requests, the market is at {mark}; closing the position"
    )
    draft.notice(NoticeCode.NAKED_POSITION, symbol, text, time_ms)
    _close(state, position, mark, time_ms, reason, draft)


def _look_beyond(
    state: TradingState,
    difference: Difference,
    time_ms: int,
    params: Params,
    seen: set[str],
    draft: Draft,
) -> None:
    """Close a position whose stop rests although the market has long passed it.

    A venue can fill a triggered stop in part and leave its price standing: it protects nothing.
    """
    symbol, venue = difference.symbol, difference.venue
    if venue is None or not venue.mark_price > 0.0:
        return
    position = state.ledger.positions[symbol]
    if not is_passed(position.side, venue.stop_price, venue.mark_price):
        return
    key = f"{symbol}:stop"
    seen.add(key)
    known = state.suspicions.setdefault(key, Suspicion(signature="passed", since_ms=time_ms))
    lasted_ms = time_ms - known.since_ms
    if lasted_ms < params.reconcile.passed_ms_max or exit_in_flight(state, symbol):
        return
    text = (
        f"{symbol}: the market at {venue.mark_price} has been beyond the stop {venue.stop_price} "
        f"for {lasted_ms / 1000:.0f} s and the venue did not fire it; closing the position"
    )
    draft.notice(NoticeCode.NAKED_POSITION, symbol, text, time_ms)
    _close(state, position, venue.mark_price, time_ms, ExitReason.STOP, draft)


def _close(
    state: TradingState,
    position: Position,
    price: float,
    time_ms: int,
    reason: ExitReason,
    draft: Draft,
) -> None:
    send_exit(
        state,
        position,
        leg=Leg.RECONCILE,
        time_ms=time_ms,
        price=price,
        reason=reason,
        draft=draft,
    )


def _hopeless(
    position: Position, venue: VenuePosition, mark: float, time_ms: int, params: Params
) -> ExitReason | None:
    """Return why a position is better closed than protected once more, None where it is not."""
    policy = params.reconcile
    if is_passed(position.side, position.stop_price, mark):
        return ExitReason.STOP
    naked = venue.stop_price <= 0.0 and time_ms - position.naked_since_ms >= policy.naked_ms_max
    if naked or position.protect_tries > policy.protect_tries_max:
        return ExitReason.NAKED
    return None


def _balance(state: TradingState, snapshot: VenueSnapshot, params: Params, draft: Draft) -> None:
    """Explain the wallet by our cash; what cannot be explained is said once."""
    offset = snapshot.wallet_balance - state.ledger.cash
    if state.balance_offset is None:
        state.balance_offset = offset
        return
    drift = offset - state.balance_offset
    if state.active or abs(drift) <= params.reconcile.balance_tolerance * abs(state.ledger.cash):
        return
    state.balance_offset = offset
    text = f"wallet moved by {drift:.4f} beyond our profit, fees and funding"
    draft.notice(NoticeCode.BALANCE_MISMATCH, "", text, snapshot.time_ms)


def _fill(symbol: str, side: int, quantity: float, price: float, time_ms: int) -> Fill:
    return Fill(
        fill_id="",
        symbol=symbol,
        side=side,
        quantity=quantity,
        price=price,
        fee=0.0,
        time_ms=time_ms,
        client_order_id="",
    )
