"""What is wrong with a running executor, in words.

Decides which findings make it critical (each a reason for 503) and which are warnings, by the
thresholds of the settings. Never acts on one. Rule: a line begins with the part it is about and
holds the figure that made it; nothing is found twice.
"""

from executor.clock import iso
from executor.parts import Parts
from executor.settings.settings import Settings
from executor.venue.breaker import Circuit
from executor.vitals.process import Vitals


def stale_after_ms(settings: Settings, parts: Parts) -> int:
    """Return how old data may be: two intervals and a minute, unless configured otherwise."""
    interval_ms = parts.params.interval_ms if parts.params is not None else 0
    return int(settings.feed.stale_intervals * interval_ms) + settings.feed.stale_margin_ms


def critical(
    settings: Settings, parts: Parts, vitals: Vitals, now: float, *, market_open: bool
) -> list[str]:
    """Return what makes a running process unhealthy."""
    reasons = []
    if parts.lease is not None and not parts.lease.remaining_ms():
        reasons.append(f"lease: not held ({parts.lease.absence()}); orders cannot be signed")
    feed = parts.feed
    if feed is not None and market_open and feed.silent_ms > stale_after_ms(settings, parts):
        reasons.append(f"data: no candle for {feed.silent_ms // 1000} s")
    limit_ms = parts.params.limits.reconciled_age_ms_max if parts.params else 60_000
    if parts.reconciler is not None and parts.reconciler.age_ms > limit_ms:
        reasons.append(f"venue: not reconciled for {parts.reconciler.age_ms // 1000} s")
    if parts.orders is not None and parts.orders.fatal:
        reasons.append(f"venue: {parts.orders.fatal}")
    late = late_components(settings, vitals, now)
    reasons += [f"task {name}: no sign of life for {age:.0f} s" for name, age in late.items()]
    return reasons


def late_components(settings: Settings, vitals: Vitals, now: float) -> dict[str, float]:
    """Return the tasks that are silent for longer than they may be, and for how long."""
    most_s = settings.health.heartbeat_ms_max / 1000
    return {name: age for name, age in vitals.hearts.overdue_s(now).items() if age > most_s}


def warnings(settings: Settings, parts: Parts, vitals: Vitals, memory_mb: float) -> list[str]:
    """Return what a person should know although trading goes on."""
    reasons, loader = [], parts.loader
    if loader is not None and loader.asked:
        if not loader.reachable:
            reasons.append(f"registry: {loader.refusal}; the model there is stays")
        if loader.refusal and loader.reachable:
            reasons.append(f"model: {loader.refusal}")
        if loader.current is None:
            reasons.append("model: none; no entries")
        untold = loader.quarantine.untold()
        reasons += [f"registry: version {v} is not tagged as quarantined yet" for v in untold]
    lost = sorted(parts.lost_streams.items())
    reasons += [f"venue: the stream of {name} is lost: {why}" for name, why in lost]
    if parts.reconciler is not None and parts.reconciler.problem:
        reasons.append(f"venue: {parts.reconciler.problem}")
    return reasons + _figures(settings, parts, vitals, memory_mb)


def held_back(parts: Parts) -> list[str]:
    """Return what holds entries back although nothing is wrong, and until when."""
    if parts.state is None:
        return []
    guard, now_ms, found = parts.state.guard, parts.state.close_ms, []
    if guard.paused:
        found.append("entries: paused until a resume")
    if guard.daily_latched:
        found.append("entries: none after the daily loss until the next UTC day or a reset")
    if guard.cool_until_ms > now_ms:
        until = iso(guard.cool_until_ms)
        found.append(f"entries: none after losses in a row until {until}")
    if guard.performance_until_ms > now_ms:
        until = iso(guard.performance_until_ms)
        found.append(f"entries: none after poor trades until {until}")
    often = sorted(guard.repeated_latched)
    found += [f"entries: none of {s}, entered too often in a day, until a reset" for s in often]
    return found


def _figures(settings: Settings, parts: Parts, vitals: Vitals, memory_mb: float) -> list[str]:
    """Return the figures that are above their thresholds."""
    reasons, health, calls = [], settings.health, parts.calls
    scan_s = parts.universe.scan_s if parts.universe is not None else 0.0
    if 1000 * scan_s > health.scan_ms_max:
        reasons.append(f"scan: choosing the universe took {scan_s:.1f} s")
    if parts.universe is not None and parts.universe.problem:
        reasons.append(f"universe: {parts.universe.problem}")
    scan_ms = vitals.scan_ms_last()
    if scan_ms > health.scan_ms_max:
        reasons.append(f"scan: the newest close took {scan_ms / 1000:.1f} s")
    if memory_mb > health.memory_mb_max:
        reasons.append(f"memory: {memory_mb:.0f} MB")
    if calls is None:
        return reasons
    if calls.error_rate() > health.error_rate_max:
        reasons.append(f"calls: {calls.error_rate():.0%} of the newest failed")
    if calls.mean_ms() > health.call_ms_max:
        reasons.append(f"calls: {calls.mean_ms() / 1000:.1f} s each in the mean")
    broken = [name for name, state in calls.states().items() if state is not Circuit.CLOSED]
    reasons += [f"calls: those for {name} rest after failures in a row" for name in broken]
    return reasons
