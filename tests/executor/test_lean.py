"""The executor stays lean: checked in a fresh interpreter of its own environment."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEAN = ROOT / ".venv-executor" / "bin" / "python"
FORBIDDEN = (
    "prefect", "mlflow", "optuna", "sklearn", "pandas", "polars", "pyarrow",
    "great_expectations", "numba", "deltalake", "matplotlib", "flows", "executor.paper",
    "scipy", "xgboost",
)  # fmt: skip
CODE = """
import json, sys
import executor.__main__
light = sorted(sys.modules)
import executor.verbs
from executor.venue import lean_ccxt
lean_ccxt.exchange_class("bybit")
exchanges = [m for m in sys.modules if m.startswith(("ccxt.pro.", "ccxt.async_support."))]
memory = next(l for l in open("/proc/self/status") if l.startswith("VmRSS")).split()[1]
said = {"modules": sorted(sys.modules), "exchanges": exchanges, "rss_kb": int(memory)}
print(json.dumps({**said, "light": light}))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, object]:
    if not LEAN.exists():
        pytest.skip("the executor's own environment is not installed (.venv-executor)")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(LEAN), "-c", CODE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("name", FORBIDDEN)
def test_nothing_heavy_is_imported(loaded: dict[str, object], name: str) -> None:
    modules = loaded["modules"]
    assert isinstance(modules, list)
    assert [m for m in modules if m == name or m.startswith(name + ".")] == []


def test_one_exchange_is_imported_and_not_a_hundred(loaded: dict[str, object]) -> None:
    exchanges = loaded["exchanges"]
    assert isinstance(exchanges, list)
    named = {name.rsplit(".", 1)[-1] for name in exchanges}
    assert "bybit" in named
    assert not {"binance", "okx", "kucoin", "kraken"} & named


def test_imports_alone_leave_room_in_memory(loaded: dict[str, object]) -> None:
    rss_kb = loaded["rss_kb"]
    assert isinstance(rss_kb, int)
    assert rss_kb < 110_000


def test_a_health_check_loads_nothing_of_what_trades(loaded: dict[str, object]) -> None:
    light = loaded["light"]
    assert isinstance(light, list)
    heavy = ("xgboost", "ccxt", "scipy", "executor.app", "executor.venue", "executor.health")
    assert [m for m in light if m.startswith(heavy)] == []
