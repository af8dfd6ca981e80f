"""The real executor in virtual time, with nothing going wrong."""

from tests.simulation.runner import run


def test_a_quiet_hour() -> None:
    """It starts, trades, protects what it holds, and its journal is the venue's."""
    result = run(1, hours=1.0, quiet=True)
    assert result.violations == []
    assert result.entries >= 4
    assert result.starts == 1
    assert result.faults == {}
