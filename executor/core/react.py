"""What each event does to the state; everything but self-tuning.

Decides the order of work at a bar close (marks, guards, exits, entries) and how fills, order
reports, funding, snapshots, models and commands are taken in. Never sends. Rule: one function an
event, exhaustive; decisions depend on market time alone; whatever the venue did is booked, whatever
it contradicts is said.
"""

from dataclasses import replace
from typing import Final, assert_never

from executor.core.adopt import default_opening, reconcile
from executor.core.columns import resolve
from executor.core.contract import CommandName, ExitReason, NoticeCode
from executor.core.draft import Draft
from executor.core.entries import enter
from executor.core.events import (
    BarClosed,
    Command,
    Event,
    FillReceived,
    FundingPaid,
    HistoryLoaded,
    ModelSwapped,
    OrderUpdated,
    Tick,
    VenueSnapshot,
)
from executor.core.exits import after_close, after_entry, after_exit, flatten, manage
from executor.core.guard import canary_share, on_close, on_model, on_trade, reset
from executor.core.learned_regime import learn
from executor.core.ledger import Opening
from executor.core.model import tuned
from executor.core.orders import Move, executed, is_active, moved
from executor.core.params import Params
from executor.core.state import FILLS_KEPT, TRADES_KEPT, TradingState
from executor.core.types import Fill, FillKind, Leg, Order, Outcome, Trade
from features.errors import InputError
from features.signals import ADAPTIVE_BOUNDS

_KIND_REASONS = {
    FillKind.STOP: ExitReason.STOP,
    FillKind.TAKE: ExitReason.TAKE,
    FillKind.LIQUIDATION: ExitReason.LIQUIDATION,
}
# What can only reduce opens nothing, so nothing of this is ever read.
_NO_OPENING: Final = Opening(
    entry_id="",
    origin="exchange",
    decided_ms=0,
    deadline_ms=0,
    reference_price=0.0,
    stop_price=0.0,
    take_price=0.0,
)


def react(state: TradingState, event: Event, params: Params) -> Outcome:
    """Take one event in and return what it wants done."""
    draft = Draft()
    match event:
        case BarClosed():
            _on_bars(state, event, params, draft)
        case FillReceived():
            _on_fill(state, event.fill, params, draft)
        case OrderUpdated():
            _on_order(state, event, params, draft)
        case FundingPaid():
            state.ledger.apply_funding(event)
        case VenueSnapshot():
            _keep(state, reconcile(state, event, params, draft), event.time_ms, params, draft)
        case ModelSwapped():
            _on_model(state, event, params, draft)
        case Command():
            _on_command(state, event, draft)
        case HistoryLoaded():
            _on_history(state, event)
        case Tick():
            _keep_flat(state, event.now_ms, draft)
        case _:
            assert_never(event)
    return draft.finish()


def _on_bars(state: TradingState, event: BarClosed, params: Params, draft: Draft) -> None:
    if event.close_ms <= state.close_ms:
        text = f"bar close {event.close_ms} is not after {state.close_ms}; ignored"
        draft.notice(NoticeCode.STALE_BAR, "", text, event.close_ms)
        return
    state.close_ms = event.close_ms
    state.bars_processed += 1
    closes, volumes = event.prices()
    state.ledger.marks.update(closes)
    state.closes.push((event.close_ms, closes, volumes))
    state.recent.append(event)
    learned = learn(
        state.learner, closes, event.close_ms, params.interval_ms, params.learned_regime
    )
    if learned is not None:
        draft.notices.append(learned)
    guard = state.guard
    draft.notices.extend(on_close(guard, state.ledger.equity(), event.close_ms, params.guard))
    if guard.killed or guard.flattening:
        _keep_flat(state, event.close_ms, draft)
    elif state.ledger.positions:
        manage(state, event.by_symbol(), event.close_ms, params, draft)
    enter(state, event, params, draft)
    if state.model is not None and params.tuning.enabled:
        tuning = state.tuning
        tuning.cycles += 1
        tuning.due = tuning.due or tuning.cycles % params.tuning.cycles == 0


def _on_fill(state: TradingState, fill: Fill, params: Params, draft: Draft) -> None:
    if fill.fill_id in state.fill_ids:
        return
    state.fill_ids[fill.fill_id] = None
    if len(state.fill_ids) > FILLS_KEPT:
        del state.fill_ids[next(iter(state.fill_ids))]
    state.suspicions.pop(f"{fill.symbol}:position", None)
    order = state.order(fill.client_order_id)
    fill, reduces = _bounded(state, fill, order, draft)
    if fill.quantity > 0.0:
        _book_fill(state, fill, order, reduces, params, draft)
    if order is not None:
        _count_fill(state, order, fill, params, draft)
    if not reduces:
        if order is not None and state.guard.killed:
            state.guard.flattening = True
        _keep_flat(state, fill.time_ms, draft)


def _bounded(
    state: TradingState, fill: Fill, order: Order | None, draft: Draft
) -> tuple[Fill, bool]:
    """Return the part of a fill that can be booked, and whether it can only reduce.

    What can only reduce never opens: the excess over what we hold is said, and left to the
    reconciliation.
    """
    reduces = fill.reduce_only or fill.kind is not FillKind.ORDER
    if order is not None and order.intent.reduce_only:
        reduces = True
    if not reduces:
        return fill, False
    position = state.ledger.positions.get(fill.symbol)
    held = position.quantity if position is not None and position.side != fill.side else 0.0
    if fill.quantity <= held:
        return fill, True
    text = f"{fill.symbol}: a reducing fill of {fill.quantity} met a position of {held}"
    draft.notice(NoticeCode.UNKNOWN_FILL, fill.symbol, text, fill.time_ms)
    if held > 0.0:
        return replace(fill, quantity=held), True
    state.ledger.cash -= fill.fee
    state.ledger.fees += fill.fee
    return replace(fill, quantity=0.0, fee=0.0), True


def _book_fill(
    state: TradingState,
    fill: Fill,
    order: Order | None,
    reduces: bool,
    params: Params,
    draft: Draft,
) -> None:
    reason = _KIND_REASONS.get(fill.kind)
    if reason is None:
        # An entry can close what somebody opened the other way: its reason is none for an exit.
        exits = order is not None and order.intent.reduce_only
        reason = ExitReason(order.intent.reason) if order and exits else ExitReason.OUTSIDE
    opening = state.openings.get(fill.client_order_id, _NO_OPENING if reduces else None)
    known = opening is not None
    if opening is None:
        opening = default_opening(fill.symbol, fill.side, fill.price, fill.time_ms, params)
    booked = state.ledger.apply_fill(fill, opening, reason)
    if not known:
        text = (
            f"{fill.symbol}: a fill of {fill.side * fill.quantity} that no intent of ours explains"
        )
        draft.notice(NoticeCode.UNKNOWN_FILL, fill.symbol, text, fill.time_ms)
    position = state.ledger.positions.get(fill.symbol)
    # What others opened may have a stop of its own: the next look shows it, and ours is set only
    # where there is none or a looser one.
    if position is not None and reason is ExitReason.PARTIAL:
        state.ledger.positions[fill.symbol] = replace(position, partial_filled=True)
    if booked.trade is not None:
        _keep(state, [booked.trade], fill.time_ms, params, draft)
        after_close(state, fill.symbol, draft)


def _count_fill(
    state: TradingState, order: Order, fill: Fill, params: Params, draft: Draft
) -> None:
    instrument = params.instruments.get(fill.symbol)
    lot = instrument.lot if instrument is not None else 0.0
    after, move = executed(order, fill.quantity, fill.time_ms, lot)
    state.put_order(after)
    if move is Move.ILLEGAL:
        text = f"{order.intent.client_order_id} was {order.status} and then executed"
        draft.notice(NoticeCode.ILLEGAL_TRANSITION, fill.symbol, text, fill.time_ms)
    if order.intent.leg is Leg.ENTRY and not is_active(after):
        after_entry(state, after, params, draft)


def _on_order(state: TradingState, event: OrderUpdated, params: Params, draft: Draft) -> None:
    order = state.order(event.client_order_id)
    if order is None:
        return  # the reconciliation speaks of orders that are not ours
    after, move = moved(order, event.status, event.time_ms, event.venue_order_id, event.reason)
    if move is Move.ILLEGAL:
        text = f"{event.client_order_id}: {order.status} cannot become {event.status}; ignored"
        draft.notice(NoticeCode.ILLEGAL_TRANSITION, order.intent.symbol, text, event.time_ms)
        return
    state.put_order(after)
    if not is_active(order) or is_active(after):
        return
    if order.intent.leg is Leg.ENTRY and after.filled_quantity > 0.0:
        after_entry(state, after, params, draft)
    elif after.filled_quantity >= event.filled_quantity * (1.0 - 1e-9):  # else it is asked for
        after_exit(state, after, event.time_ms, draft)


def _keep(
    state: TradingState, trades: list[Trade], time_ms: int, params: Params, draft: Draft
) -> None:
    """Remember closed trades and let the guards see them."""
    for trade in trades:
        state.trades.append(trade)
        state.trade_count += 1
        draft.trades.append(trade)
        draft.notices.extend(
            on_trade(state.guard, state.trades, time_ms, params.interval_ms, params.guard)
        )
    del state.trades[:-TRADES_KEPT]


def _on_model(state: TradingState, event: ModelSwapped, params: Params, draft: Draft) -> None:
    model = event.model
    if model is None:
        state.model, state.columns, state.signal_params = None, None, None
        state.model_version = ""
        draft.notice(NoticeCode.MODEL_SWAPPED, "", "no model: no entries", event.time_ms)
        return
    info = model.info
    if info.interval_ms != params.interval_ms:
        text = f"model {event.version} is for bars of {info.interval_ms} ms; the old one stays"
        draft.notice(NoticeCode.MODEL_SWAPPED, "", text, event.time_ms)
        return
    try:
        columns = resolve(info.feature_names)
    except InputError as error:
        text = f"model {event.version}: {error}; the old one stays"
        draft.notice(NoticeCode.MODEL_SWAPPED, "", text, event.time_ms)
        return
    state.model, state.columns, state.model_version = model, columns, event.version
    on_model(state.guard, event.version, event.time_ms, params.guard)
    tuning = state.tuning
    if tuning.adaptive_for != info.bundle_sha256:
        tuning.adaptive = {}
        tuning.adaptive_for = info.bundle_sha256
    state.signal_params = tuned(info.signal, tuning.adaptive)
    text = f"model {event.version} ({info.bundle_sha256[:12]}) decides from the next bar on"
    if state.guard.canary_left:
        share = canary_share(state.guard, params.guard)
        text += f", with {share:.0%} of its size for {state.guard.canary_left} trades"
    draft.notice(NoticeCode.MODEL_SWAPPED, "", text, event.time_ms)


def _on_command(state: TradingState, command: Command, draft: Draft) -> None:
    guard, by = state.guard, f" by {command.who}" if command.who else ""
    time_ms = command.time_ms
    match command.name:
        case CommandName.PAUSE:
            guard.paused = True
            draft.notice(NoticeCode.PAUSED, "", f"entries paused{by}", time_ms)
        case CommandName.RESUME:
            guard.paused = guard.flattening = False
            draft.notice(NoticeCode.RESUMED, "", f"entries resumed{by}", time_ms)
        case CommandName.KILL:
            guard.killed, guard.flattening = f"killed{by}", True
            text = f"killed{by}: all is closed, and nothing is entered until a reset"
            draft.notice(NoticeCode.KILLED, "", text, time_ms)
            flatten(state, time_ms, Leg.KILL, ExitReason.KILL, draft)
        case CommandName.FLATTEN:
            guard.paused = guard.flattening = True
            text = f"flattening and pausing{by}: resume to trade again"
            draft.notice(NoticeCode.PAUSED, "", text, time_ms)
            flatten(state, time_ms, Leg.KILL, ExitReason.FLATTEN, draft)
        case CommandName.RESET:
            reset(guard, state.equity())
            draft.notice(NoticeCode.RESET, "", f"latches reset{by}", time_ms)
        case CommandName.SET:
            _set_adaptive(state, command, draft)
        case _:
            pass  # reload is the shell's: the core sees its ModelSwapped


def _set_adaptive(state: TradingState, command: Command, draft: Draft) -> None:
    """Set adaptive parameters by hand: all of them, or none where one is out of bounds."""
    if state.model is None or state.signal_params is None:
        text = "set refused: no model is loaded"
        draft.notice(NoticeCode.PARAMS_REFUSED, "", text, command.time_ms)
        return
    bounds = {**ADAPTIVE_BOUNDS, **state.model.info.adaptive_bounds}
    values: dict[str, float] = {}
    for name, value in command.arguments.items():
        low, high = bounds[name][1:] if name in bounds else (1.0, 0.0)
        if isinstance(value, str) or not low <= value <= high:
            text = f"set refused: {name}={value} is not an adaptive parameter within its bounds"
            draft.notice(NoticeCode.PARAMS_REFUSED, "", text, command.time_ms)
            return
        values[name] = float(value)
    state.tuning.adaptive.update(values)
    state.signal_params = tuned(state.signal_params, values)
    said = ", ".join(f"{name}={value:g}" for name, value in sorted(values.items()))
    text = f"set by {command.who or 'hand'}: {said}"
    draft.notice(NoticeCode.PARAMS_ADOPTED, "", text, command.time_ms)


def _on_history(state: TradingState, event: HistoryLoaded) -> None:
    """Fill the memories that a restart lost; nothing is decided on past bars."""
    known = {row[0] for row in state.closes.rows}
    rows = list(state.closes.rows)
    rows.extend(
        (
            bars.close_ms,
            {bar.symbol: bar.candle.close for bar in bars.bars},
            {bar.symbol: bar.candle.volume for bar in bars.bars},
        )
        for bars in event.closes
        if bars.close_ms not in known
    )
    state.closes.load(sorted(rows, key=lambda row: row[0])[-state.closes.size :])
    first = state.recent[0].close_ms if state.recent else event.closes[-1].close_ms + 1
    older = [bars for bars in event.closes if bars.close_ms < first]
    kept = [*older, *state.recent]
    state.recent.clear()
    state.recent.extend(kept)


def _keep_flat(state: TradingState, now_ms: int, draft: Draft) -> None:
    """After a kill or a flatten, ask again for every position whose exit came to nothing."""
    guard = state.guard
    if guard.killed:
        flatten(state, now_ms, Leg.KILL, ExitReason.KILL, draft)
    elif guard.flattening:
        flatten(state, now_ms, Leg.KILL, ExitReason.FLATTEN, draft)
