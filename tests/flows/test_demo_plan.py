"""The demo's plan: which bars train and which are traded, and that nothing real is touched."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.errors import InputError
from flows.demo.plan import DAY_MS, Plan, make_plan, parse_until
from flows.settings import Settings, load_settings
from flows.training.plan import recipe_key

BAR_MS = 900_000
NOW_MS = 1_780_000_000_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def file_of(folder: Path, symbol: str, first: str, last: str) -> None:
    """Write a file whose first and last bars open at these times."""
    times = [ms(first), ms(last)]
    one = pl.Series([1.0, 1.0])
    pl.DataFrame(
        {"timestamp": times, "open": one, "high": one, "low": one, "close": one, "volume": one}
    ).write_parquet(folder / f"{symbol}-15m.parquet")


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Files as they are in the real data: BTC from 2023, SOL from 2024, both to the end of 2025."""
    folder = tmp_path / "binance-perp"
    folder.mkdir()
    file_of(folder, "BTCUSDT", "2023-01-01T00:00", "2025-12-31T23:45")
    file_of(folder, "SOLUSDT", "2024-01-01T00:00", "2025-12-31T23:45")
    return folder


def plan(home: Path, **changes: Any) -> Plan:
    asked: dict[str, Any] = {
        "market": "simulated",
        "symbols": ["BTCUSDT", "SOLUSDT"],
        "interval": "15m",
        "train_until": None,
        "days": None,
        "bars": None,
        "seed": 7,
        "trials": 12,
        "now_ms": NOW_MS,
    }
    return make_plan(load_settings(home, {}), **(asked | changes))


def test_a_replay_trains_on_what_all_symbols_have_and_trades_the_last_eighth(
    tmp_path: Path, recorded: Path
) -> None:
    """The issue's own windows: train on 2024-01-01 … 2025-09-30, trade what comes after."""
    made = plan(tmp_path, market=f"replay:{recorded}")
    assert made.from_ms == ms("2024-01-01T00:00")
    assert made.until_ms == ms("2025-10-01T00:00")
    assert made.days == 639
    assert made.bars == 92 * 96 - 1


def test_a_bare_date_is_included_whole_and_a_time_is_exact() -> None:
    assert parse_until("2025-09-30") == ms("2025-10-01T00:00")
    assert parse_until("2025-09-30T12:00") == ms("2025-09-30T12:00")
    assert parse_until("2025-09-30T12:00:00+02:00") == ms("2025-09-30T10:00")


def test_days_shorten_the_training_but_never_reach_before_the_candles(
    tmp_path: Path, recorded: Path
) -> None:
    market = f"replay:{recorded}"
    assert plan(tmp_path, market=market, days=200).days == 200
    assert plan(tmp_path, market=market, days=4000).from_ms == ms("2024-01-01T00:00")


def test_a_simulated_market_has_a_year_before_its_trading(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert made.days == 365
    assert made.history == 365 * DAY_MS // BAR_MS


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train_until": "2026-02-01"}, "leaves nothing to trade"),
        ({"train_until": "2022-02-01"}, "leaves nothing to trade"),
        ({"train_until": "2024-01-20"}, "are too few"),
        ({"bars": 100_000}, "bars lie after 2025-09-30"),
        ({"symbols": ["SOLUSD"]}, "did you mean 'SOLUSDT'?"),
        ({"symbols": ["SOLUSDT", "SOLUSDT"]}, "name each symbol once"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    tmp_path: Path, recorded: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError) as raised:
        plan(tmp_path, market=f"replay:{recorded}", **changes)
    assert told in str(raised.value)


def test_files_without_a_time_in_common_are_refused(tmp_path: Path, recorded: Path) -> None:
    file_of(recorded, "OLDUSDT", "2019-01-01T00:00", "2019-12-31T00:00")
    with pytest.raises(InputError, match="no time in common"):
        plan(tmp_path, market=f"replay:{recorded}", symbols=["SOLUSDT", "OLDUSDT"])


def test_times_that_are_no_milliseconds_are_refused(tmp_path: Path, recorded: Path) -> None:
    path = recorded / "BTCUSDT-15m.parquet"
    frame = pl.read_parquet(path)
    frame.with_columns(pl.from_epoch("timestamp", "ms")).write_parquet(path)
    with pytest.raises(InputError, match="int64 milliseconds"):
        plan(tmp_path, market=f"replay:{recorded}", symbols=["BTCUSDT"])


def test_nothing_of_a_real_system_is_touched(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    variables = plan(tmp_path).environment("http://127.0.0.1:1", "ws://127.0.0.1:1")
    demo = load_settings(tmp_path, variables)
    assert demo.registry.model_name != settings.registry.model_name
    assert demo.schedule.deployment != settings.schedule.deployment
    assert demo.schedule.cron == ""
    for path in (
        Path(demo.paths.lake),
        demo.paths.reports,
        demo.paths.datasets,
        demo.paths.ledger,
    ):
        assert path.is_relative_to(settings.paths.demo)
    assert demo.venue.url == "http://127.0.0.1:1"


def test_what_one_demo_proves_is_not_proven_for_another_market(tmp_path: Path) -> None:
    """And the attempts of all of them are counted in one place."""

    def of(**changes: Any) -> Settings:
        variables = plan(tmp_path, **changes).environment("http://127.0.0.1:1", "ws://127.0.0.1:1")
        return load_settings(tmp_path, variables)

    first, other = of(), of(seed=8)
    assert recipe_key(first, "a" * 64) == recipe_key(of(now_ms=NOW_MS + 60_000), "a" * 64)
    assert recipe_key(first, "a" * 64) != recipe_key(other, "a" * 64)
    assert first.paths.ledger == other.paths.ledger


def test_the_lake_is_shared_by_the_same_market_only(tmp_path: Path) -> None:
    first = plan(tmp_path)
    assert plan(tmp_path, now_ms=NOW_MS + 60_000).lake == first.lake
    assert plan(tmp_path, trials=3).lake == first.lake
    for changes in ({"seed": 8}, {"days": 300}, {"bars": 50}, {"symbols": ["BTCUSDT"]}):
        assert plan(tmp_path, **changes).lake != first.lake
