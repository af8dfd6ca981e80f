"""Features as kernels applied to bar columns and to each other.

Decides how a feature is written down and how far back it looks. Never computes one.
Rule: nodes are values: two equal ones are one computation, whatever features they appear in.
"""

from dataclasses import dataclass

from features.errors import InputError
from features.kernels.registry import KERNELS
from features.suggest import unknown_name

# What a bar brings by itself. ``index`` counts bars of the timeframe since the epoch; ``settled``
# is 1 where a funding settlement fell to the bar, ``rate`` its rate.
BAR_COLUMNS = (
    "index",
    "close_ms",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "settled",
    "rate",
)


@dataclass(frozen=True, slots=True)
class Node:
    """A kernel applied to bar columns and to other nodes; ``output`` picks one of its values."""

    kernel: str
    inputs: tuple["Node | str", ...]
    parameters: tuple[int | float, ...] = ()
    output: int = 0

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise InputError(unknown_name("kernel", self.kernel, KERNELS))
        kernel = KERNELS[self.kernel]
        if len(self.inputs) != kernel.inputs:
            raise InputError(
                f"kernel {self.kernel} takes {kernel.inputs} inputs, not {len(self.inputs)}"
            )
        if not 0 <= self.output < kernel.outputs:
            raise InputError(f"kernel {self.kernel} has no output {self.output}")
        for name in self.inputs:
            if isinstance(name, str) and name not in BAR_COLUMNS:
                raise InputError(unknown_name("bar column", name, BAR_COLUMNS))

    @property
    def settled_bars(self) -> int:
        """Bars of its own timeframe until the past before them has no effect on the value."""
        below = max((x.settled_bars for x in self.inputs if isinstance(x, Node)), default=0)
        return below + KERNELS[self.kernel].settled(*self.parameters)

    def reads(self, column: str) -> bool:
        """Say whether the bar column ``column`` is among its inputs, however deep."""
        return any(x.reads(column) if isinstance(x, Node) else x == column for x in self.inputs)

    def __str__(self) -> str:
        inside = ",".join(str(part) for part in (*self.inputs, *map(repr, self.parameters)))
        return f"{self.kernel}({inside})[{self.output}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column: a node computed on bars of ``timeframe`` times the base interval.

    ``unit`` says what the number means; the lookback follows from the node.
    """

    name: str
    unit: str
    node: Node
    timeframe: int = 1

    @property
    def lookback(self) -> int:
        """Base bars until the value is the same, to the last bit, whatever came before them.

        One bar of the timeframe more than its node needs: the first one may begin half-way.
        """
        settled = self.node.settled_bars
        return settled if self.timeframe == 1 else (settled + 1) * self.timeframe
