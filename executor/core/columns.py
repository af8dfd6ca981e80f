"""Which feature column is which, for the decisions that look at features directly.

Decides the names the core reads beside the model: volatility, trend and range. Never
computes a feature. Rule: a column that a model's catalog lacks is None here, and the filter that
needs it passes; only the volatility is a must.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from features.errors import InputError

VOLATILITY: Final = "volatility_96"
ADX: Final = "adx_14"
ATR: Final = "atr_14"
TREND: Final = "trend_z_96"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Indices of the columns that decisions read, and of all columns by name."""

    index: Mapping[str, int]
    volatility: int
    adx: int | None
    atr: int | None
    trend: int | None

    @property
    def width(self) -> int:
        """Number of columns of a feature row."""
        return len(self.index)


def resolve(names: Sequence[str]) -> Columns:
    """Return where the columns are in a row of ``names``.

    Raises
    ------
    InputError
        Where the volatility column is missing: costs and sizes depend on it.
    """
    index = {name: i for i, name in enumerate(names)}
    if VOLATILITY not in index:
        raise InputError(f"the model's features lack {VOLATILITY!r}; train with it in the catalog")
    return Columns(
        index=index,
        volatility=index[VOLATILITY],
        adx=index.get(ADX),
        atr=index.get(ATR),
        trend=index.get(TREND),
    )
