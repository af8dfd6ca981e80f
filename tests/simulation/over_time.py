"""Monitors of what lasts: a position without a stop, a kill that is not flat, nobody who leads.

Decides what has lasted too long, in healthy or calm seconds (`outside`). Never looks more often
than every two seconds. Rule: a clock runs only while the executor could have done something.
"""

from typing import Any

from tests.simulation import market
from tests.simulation.on_change import OnChange
from tests.simulation.venue_port import Held

SAMPLE_S = 2.0
NAKED_S = 30.0
FLAT_S = 45.0
LEAD_S = 90.0
LOOK_S = 60.0
HEAR_S = 90.0
STOP_FAR = 0.02
PASSED_S = 10.0
BAR_S = market.INTERVAL_MS / 1000


class OverTime(OnChange):
    """What is looked at every few seconds."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.leaderless_s = 0.0
        self._naked: dict[str, float] = {}
        self._naked_since: dict[str, float] = {}
        self._first_look: dict[tuple[str, str], float] = {}
        self._deaf_s = 0.0
        self._flattened_at = -1.0
        world.loop.call_later(SAMPLE_S, self._sample)

    def _sample(self) -> None:
        world = self.world
        now = world.loop.time()
        world.loop.call_later(SAMPLE_S, self._sample)
        held = world.venue.held()
        if self._hands:
            self.take_hands_off(held, now)
        if not held:  # a flatten is done; whatever a person opens later is held, with a stop
            self._flattened_at = self.commanded_at[0]
        leader = self.leader()
        self._look_for_leader(leader, now)
        if not self.is_healthy(now, leader):
            return
        self.healthy_s += SAMPLE_S
        for symbol in [s for s in self._naked if s not in held]:
            self._is_protected(symbol)
        for symbol, position in held.items():
            self._look_at_stop(symbol, position, now, leader)
        if self.command and held and self._command_is_old(now):
            self.bad("KILL_NOT_FLAT", f"{self.command}: still held: {sorted(held)}")
        if self.healthy_s % 10.0 < SAMPLE_S and not self.is_left_alone(now):
            self._look_at_bars(leader)

    def _look_for_leader(self, leader: Any, now: float) -> None:
        """Somebody leads: holds the lease and asks the venue what it holds."""
        leads = leader is not None and now - self._looked.get(leader.name, -LOOK_S) < LOOK_S
        if leads:
            self.leaderless_s = 0.0
        elif self.is_calm(now) and not self.is_left_alone(now):
            self.leaderless_s += SAMPLE_S
            if self.leaderless_s > LEAD_S:
                self.bad("NOBODY_LEADS", f"for {LEAD_S:.0f} s of calm; {self.holder()!r} holds")
                self.leaderless_s = 0.0

    def _look_at_bars(self, leader: Any) -> None:
        """The leader hears of every close and writes it down."""
        if self.behind_ms(leader) < market.INTERVAL_MS:
            self._deaf_s = 0.0
            return
        self._deaf_s += 10.0
        if self._deaf_s > HEAR_S:
            behind_s = self.behind_ms(leader) // 1000
            self.bad("DEAF", f"the last close it knows is {behind_s} s old")
            self._deaf_s = 0.0

    def behind_ms(self, leader: Any) -> int:
        """Return how old the newest close is that the leader wrote down.

        What closed before it led is history to a new journal: 0 until it can have heard of one.
        """
        query = "SELECT MAX(market_ms) FROM events WHERE kind = 'BarClosed'"
        newest = int(self.reader(leader.host.journal).execute(query).fetchone()[0] or 0)
        since = max(leader.started_at, self._held_since[leader.name])
        if newest == 0 and self.world.loop.time() - since < 2.0 * BAR_S:
            return 0
        return int(self.world.venue.parts.mover.close_ms - newest)

    def _command_is_old(self, now: float) -> bool:
        if self.command == "flatten" and self._flattened_at == self.commanded_at[0]:
            return False
        touched = max(self._hands.values(), default=-1e9)
        return self.healthy_s - self.commanded_at[1] > FLAT_S and now - touched > 90.0

    def _is_protected(self, symbol: str) -> None:
        self._naked.pop(symbol, None)
        for key in [key for key in self._first_look if key[0] == symbol]:
            del self._first_look[key]

    def _is_known(self, symbol: str, leader: str, lasts_s: float) -> bool:
        """Say whether the leader looked since, and looked again where one look is not enough.

        A stop that the market passed a moment ago may be firing: only a second look tells.
        """
        saw = self._saw.get(leader, 0.0)
        if saw < self._naked_since[symbol]:
            return False
        return saw - self._first_look.setdefault((symbol, leader), saw) >= lasts_s

    def _look_at_stop(self, symbol: str, held: Held, now: float, leader: Any) -> None:
        far = abs(held.entry_price - held.stop) / held.entry_price > STOP_FAR
        beyond = held.quantity * (self.world.venue.price(symbol) - held.stop) < 0.0
        if held.stop > 0.0 and not far and not beyond:
            self._is_protected(symbol)
            return
        if symbol not in self._naked:
            self._naked[symbol], self._naked_since[symbol] = 0.0, now
        known = self._is_known(symbol, leader.name, PASSED_S if beyond else 0.0)
        if self.is_left_alone(now) and (symbol in self._hands or not known):
            return  # nobody was allowed to look since, so nobody can know
        self._naked[symbol] += SAMPLE_S
        if self._naked[symbol] > NAKED_S:
            self.bad("UNPROTECTED", f"{symbol}: {self._naked[symbol]:.0f} s with stop {held.stop}")
            self._naked[symbol] = 0.0
