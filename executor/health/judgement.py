"""How the process is at one moment: what is wrong, the level, and the word for it.

Decides how findings become healthy, warning or critical, 200 or 503, and a word of
``bot:status``. Never finds anything itself (`complaints` does). Rule: made once an answer, so that
all parts of the answer agree and nothing is measured twice for it.
"""

from dataclasses import dataclass

from executor.core.contract import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Findings of one moment; ``halted`` says which latch is shut, "" where none is.

    ``held_back`` says what keeps entries back although nothing is wrong; it changes no level.
    """

    phase: Status
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    memory_mb: float
    held_back: tuple[str, ...] = ()
    halted: str = ""
    is_paused: bool = False
    is_optimizing: bool = False

    @property
    def level(self) -> str:
        """Return healthy, warning or critical."""
        if self.critical or self.halted:
            return "critical"
        return "warning" if self.warnings else "healthy"

    @property
    def status(self) -> Status:
        """Return the word for ``bot:status``."""
        if self.phase is not Status.RUNNING:
            return self.phase
        if self.halted:
            return Status.HALTED
        if self.is_paused:
            return Status.PAUSED
        if self.critical or self.warnings:
            return Status.DEGRADED
        return Status.OPTIMIZING if self.is_optimizing else Status.RUNNING

    @property
    def is_healthy(self) -> bool:
        """Say whether `/health` answers 200."""
        return not self.critical and self.status is not Status.HALTED

    @property
    def reasons(self) -> list[str]:
        """Return everything found, the worst first."""
        halted = [f"halted: {self.halted}; until a reset"] if self.halted else []
        return [*self.critical, *halted, *self.warnings, *self.held_back]
