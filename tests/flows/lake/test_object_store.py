"""The lake in an object store: the same tables, named by a URL, with the usual AWS variables."""

import pytest

from flows.cli import run
from flows.lake.assess import assess, verdicts
from flows.lake.defects import Rules
from flows.lake.errors import LakeError
from flows.lake.rows import series_of
from flows.lake.store import Lake
from flows.lake.tables import CANDLES
from flows.lake.verdict import Thresholds
from tests.flows.lake.test_defects import made
from tests.support.object_store import object_store

URL = "s3://bucket/lake"


@pytest.fixture
def store():
    with object_store() as (environment, objects):
        yield environment, objects


def stored(lake: Lake) -> list[tuple]:
    return lake.frame(CANDLES, series_of("bybit", "BTCUSDT", "15m")).rows()


def test_everything_that_a_lake_does(store):
    """Upserts, a pin that outlives changes, quality, compaction: all by options."""
    environment, objects = store
    lake, frame = Lake(URL, storage_options=environment), made(1000)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", frame.head(700))
    again = lake.upsert_candles("bybit", "BTCUSDT", "15m", frame.tail(500))
    assert (again.inserted, again.restated) == (300, 0)
    assert stored(lake) == frame.rows()
    pin = lake.pin("bybit", ["BTCUSDT"], "15m")
    changed = frame.with_columns(volume=frame["volume"] + 1).tail(10)
    assert lake.upsert_candles("bybit", "BTCUSDT", "15m", changed).restated == 10
    assert stored(lake.at(pin.version)) == frame.rows()
    assess(lake, "bybit", ["BTCUSDT"], "15m", rules=Rules(), limits=Thresholds())
    assert verdicts(lake, "bybit", "15m")["BTCUSDT"].verdict == "fail"
    assert lake.optimize()["candles"]["compacted"] >= 2
    assert stored(lake)[-10:] == changed.rows()
    assert all(path.startswith("bucket/lake/") for path in objects.objects)


@pytest.mark.slow
def test_the_commands_reach_it_by_variables(store, tmp_path, monkeypatch, capsys):
    environment, objects = store
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRIBAR_HOME", str(tmp_path))
    monkeypatch.setenv("TRIBAR_PATHS__LAKE", URL)
    (tmp_path / "files").mkdir()
    made(300).write_parquet(tmp_path / "files" / "BTCUSDT-15m.parquet")
    assert run(["ingest", "--from-files", str(tmp_path / "files")]) == 0
    assert run(["coverage"]) == 0
    assert "3 of at least 90 days" in capsys.readouterr().out
    assert run(["lake", "export", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "bybit" / "BTCUSDT-15m.parquet").is_file()
    assert not (tmp_path / "data" / "lake").exists()
    assert objects.requests > 10


@pytest.mark.slow
def test_a_store_that_refuses_or_is_away_is_one_line(store):
    environment, objects = store
    lake = Lake(URL, storage_options=environment)
    lake.upsert_candles("bybit", "BTCUSDT", "15m", made(100))
    objects.refuse_writes = True
    with pytest.raises(LakeError, match="permission denied; give this user the right"):
        lake.upsert_candles("bybit", "BTCUSDT", "15m", made(200))
    assert stored(lake) == made(100).rows()
    away = Lake(URL, storage_options=environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    with pytest.raises(LakeError, match="the store does not answer"):
        away.series()
