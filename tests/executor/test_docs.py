"""The pages about settings and contracts name everything there is, as it is."""

import tomllib
from pathlib import Path

from executor.control.names import NAMES
from executor.core.contract import METRIC_FIELDS, Keys, Status
from executor.core.params import PROFILES, Params, with_profile

ROOT = Path(__file__).resolve().parents[2]
API = (ROOT / "docs" / "API.md").read_text()
CONFIGURATION = (ROOT / "docs" / "CONFIGURATION.md").read_text()


def test_every_key_of_the_executor_is_explained() -> None:
    page = CONFIGURATION.partition("## The executor")[2].partition("\n## ")[0]
    tables = tomllib.loads((ROOT / "configs" / "executor.toml").read_text())
    for section, keys in tables.items():
        part = page.partition(f"### [{section}]\n")[2].partition("\n### ")[0]
        assert [key for key in keys if f"| `{key}` |" not in part] == [], section


def test_the_profiles_are_told_as_they_are() -> None:
    (line,) = [row for row in CONFIGURATION.splitlines() if row.startswith("| risk per trade")]
    told = [float(cell.strip().removesuffix("%")) / 100 for cell in line.split("|")[2:5]]
    params = [with_profile(Params(interval_ms=1, instruments={}), name) for name in PROFILES]
    assert told == [one.sizing.risk_per_trade for one in params]
    (line,) = [row for row in CONFIGURATION.splitlines() if row.startswith("| one position")]
    told = [float(cell.strip().removesuffix("%")) / 100 for cell in line.split("|")[2:5]]
    assert told == [one.limits.position_fraction_max for one in params]


def test_every_name_that_crosses_a_process_is_explained() -> None:
    keys = {value for name, value in vars(Keys()).items() if name != "prefix"}
    assert [key for key in sorted(keys) if f"`{key}`" not in API] == []
    assert [word for word in Status if word not in API] == []
    assert [name for name in NAMES if f"`{name}`" not in API] == []
    assert [field for field in METRIC_FIELDS if field not in API] == []
