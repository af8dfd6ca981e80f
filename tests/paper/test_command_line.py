"""Any command line is a market or one line of refusal, and destroys nothing.

Paths are drawn from the test's own folder and nowhere else: a file option writes.
"""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from executor.paper.assembly import assemble
from executor.paper.clock import Clock
from executor.paper.settings import parse
from features.errors import InputError
from tests.support.paper import wandering, write_market

SMALL = ["--history", "30", "--bars", "5"]
FILES = ("--faults", "--event-log", "--journal")
OPTIONS = (
    *("--market", "--venue", "--symbols", "--interval", "--now", "--seed", "--host", "--port"),
    *("--speed", "--clients", "--taker-fee", "--maker-fee", "--slippage-base", "--participation"),
    *("--slippage-volatility", "--rate-limits", "--scenario", "--fault-seed", "--fault-rate"),
    *("--balance", "--api-key", "--api-secret", "--account", "--nothing"),
)
VALUES = st.one_of(
    st.sampled_from(
        (
            *("", "0", "-1", "1", "2.5", "nan", "inf", "1e400", "9" * 21, "--", "[]", "\n", "a\nb"),
            *("simulated", "replay:", "replay:HERE/market", "replay:HERE/empty", "replay:HERE/no"),
            *("lockstep", "BTCUSDT", "btcusdt,ETHUSDT", ",", "USDT", "BTC-PERP", "15m", "1m"),
            *("crash", "crash:BTCUSDT", "crash::5", "halt:BTCUSDT:1", "delisting:BTCUSDT:99"),
            *("a:b:c:1", "a:b:c:nan", ":::", "1700006400000", "1700051400000", "bybit", "none"),
        )
    ),
    st.text(max_size=8),
)
GIVEN = st.one_of(
    st.tuples(st.sampled_from(OPTIONS), VALUES),
    st.tuples(
        st.sampled_from(FILES), st.sampled_from(("HERE/new", "HERE/notes", "HERE/no/x", "HERE"))
    ),
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder with a market; files of refused starts are collected under their own test's rule."""
    (tmp_path / "market").mkdir()
    (tmp_path / "empty").mkdir()
    write_market(tmp_path / "market", {"BTCUSDT": wandering(1, 90)})
    (tmp_path / "notes").write_text("not yours\n")
    yield tmp_path
    gc.collect()


def refusal(words: list[str]) -> str:
    """Return why the program would not start; empty where it would."""
    try:
        parts = assemble(parse(words), Clock())
    except (InputError, OSError) as error:
        return str(error)
    parts.exchange.log.close()
    parts.journal.close()
    return ""


@pytest.mark.slow
# A refusal ends the program, and its files with it; here they are left to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(options=st.lists(GIVEN, min_size=1, max_size=4), joined=st.booleans())
@example(options=[("--event-log", "HERE/notes")], joined=False)
@example(options=[("--journal", "HERE/notes")], joined=False)
@example(options=[("--faults", "HERE/notes")], joined=False)
@example(options=[("--bars", "--")], joined=True)
@example(options=[("--seed", "-1")], joined=False)
@example(options=[("--fault-seed", "-1")], joined=False)
def test_any_command_line(here: Path, options: list[tuple[str, str]], joined: bool) -> None:
    words = list(SMALL)
    for name, value in options:
        said = value.replace("HERE", str(here))
        words += [f"{name}={said}"] if joined else [name, said]
    refusal(words)  # whatever else it raised would be a traceback to the user
    assert (here / "notes").read_text() == "not yours\n"
    (here / "new").unlink(missing_ok=True)
