"""Settings: the environment beats the file, and a wrong name never passes unseen."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from flows.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]


def write(root: Path, text: str, name: str = "flows.toml") -> None:
    (root / "configs").mkdir(exist_ok=True)
    (root / "configs" / name).write_text(text)


def refused(root: Path, env: dict[str, str] | None = None) -> str:
    """Return the one line with which the settings are refused."""
    with pytest.raises(InputError) as raised:
        load_settings(root, env or {})
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_the_root_is_tribar_home_or_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}).paths.home == tmp_path
    other = tmp_path / "other"
    other.mkdir()
    assert load_settings(environ={"TRIBAR_HOME": str(other)}).paths.home == other


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="TRIBAR_HOME"):
        load_settings(environ={"TRIBAR_HOME": str(tmp_path / "nowhere")})


def test_paths_are_taken_from_the_root_and_urls_are_kept(tmp_path: Path) -> None:
    write(tmp_path, '[paths]\nlake = "s3://bucket/lake"\nreports = "out"\nlogs = "/var/log/x"\n')
    paths = load_settings(tmp_path, {}).paths
    assert paths.lake == "s3://bucket/lake"
    assert paths.reports == tmp_path / "out"
    assert paths.logs == Path("/var/log/x")
    assert paths.redis == tmp_path / "data" / "redis"


def test_the_environment_beats_the_file_and_the_file_beats_the_default(tmp_path: Path) -> None:
    write(tmp_path, '[data]\ninterval = "1h"\ndays = 90\n')
    data = load_settings(tmp_path, {"TRIBAR_DATA__DAYS": "30"}).data
    assert (data.interval, data.days, data.symbols[0]) == ("1h", 30, "BTCUSDT")


def test_a_list_in_the_environment_is_comma_separated(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"TRIBAR_DATA__SYMBOLS": "XRPUSDT, BNBUSDT ,"})
    assert settings.data.symbols == ("XRPUSDT", "BNBUSDT")


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({"REDIS_URL": "redis://a:1"}, "redis://a:1"),
        ({"REDIS_URL": "redis://a:1", "TRIBAR_REDIS_URL": "redis://b:1"}, "redis://b:1"),
        (
            {"TRIBAR_REDIS_URL": "redis://b:1", "TRIBAR_SERVICES__REDIS_URL": "redis://c:1"},
            "redis://c:1",
        ),
        ({"REDIS_URL": ""}, None),
    ],
)
def test_the_names_of_other_tools_are_understood(
    tmp_path: Path, env: dict[str, str], url: str | None
) -> None:
    assert load_settings(tmp_path, env).services.redis_url == url


def test_mlflow_and_prefect_addresses_lose_a_slash_at_the_end(tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_URI": "http://m:5000/", "PREFECT_API_URL": "http://p:4200/api/"}
    services = load_settings(tmp_path, env).services
    assert services.mlflow_url == "http://m:5000"
    assert services.prefect_url == "http://p:4200/api"


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"TRIBAR_DATA__SYMBOL": "X"}, "unknown key 'symbol'; did you mean 'symbols'?"),
        ({"TRIBAR_DAT__DAYS": "1"}, "TRIBAR_DAT__DAYS: unknown section 'dat'; did you mean"),
        ({"TRIBAR_DATA__DAYS": "many"}, "TRIBAR_DATA__DAYS: "),
        ({"TRIBAR_DATA__DAYS": "0"}, "TRIBAR_DATA__DAYS: "),
        ({"TRIBAR_DATA__INTERVAL": "15x"}, "did you mean '15m'?"),
        ({"TRIBAR_DATA__SYMBOLS": "btc/usdt"}, "'btc/usdt' is not a venue id such as BTCUSDT"),
        ({"TRIBAR_DATA__SYMBOLS": "AAUSDT,AAUSDT"}, "a symbol is named twice"),
        ({"TRIBAR_DATA__SYMBOLS": ","}, "name at least one symbol"),
        ({"MLFLOW_TRACKING_URI": "sqlite:///m.db"}, "MLFLOW_TRACKING_URI: must start with http"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL: must start with redis://"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    tmp_path: Path, env: dict[str, str], told: str
) -> None:
    assert told in refused(tmp_path, env)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[data]\nintervall = '1h'", "[data]: unknown key 'intervall'; did you mean 'interval'?"),
        ("[dta]\ndays = 1", "configs/flows.toml: unknown section 'dta'; did you mean 'data'?"),
        ("days = 1", "'days' stands outside of a [section]"),
        ("[data\n", "configs/flows.toml cannot be read as TOML"),
        ("[labels]\nprofit = -1", "configs/flows.toml [labels] profit: "),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    write(tmp_path, text)
    assert told in refused(tmp_path)


def test_a_variable_of_another_process_is_not_ours_to_refuse(tmp_path: Path) -> None:
    """The executor reads TRIBAR_<SECTION>__<KEY> too, declared by its own file."""
    write(tmp_path, "[limits]\nleverage_max = 3.0\n[venue]\nleverage = 3.0\n", "executor.toml")
    env = {"TRIBAR_LIMITS__LEVERAGE_MAX": "2", "TRIBAR_VENUE__LEVERAGE": "2"}
    load_settings(tmp_path, env)
    assert "did you mean" in refused(tmp_path, {"TRIBAR_VENUE__IDD": "okx"})


def test_a_secret_is_in_no_message_and_in_no_repr(tmp_path: Path) -> None:
    canary = "canary-4711"
    settings = load_settings(tmp_path, {"TRIBAR_VENUE__API_SECRET": canary})
    assert canary not in repr(settings)
    assert settings.venue.api_secret.get_secret_value() == canary
    told = refused(tmp_path, {"REDIS_URL": f"http://user:{canary}@host"})
    assert canary not in told


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    with pytest.raises(ValueError, match="frozen"):
        settings.data.days = 3


def test_the_project_s_own_file_says_the_defaults() -> None:
    """What `configs/flows.toml` shows as a default is the default, key by key."""
    tables = tomllib.loads((ROOT / "configs" / "flows.toml").read_text())
    defaults = Settings()
    for section, table in tables.items():
        for key, value in table.items():
            default = getattr(getattr(defaults, section), key)
            shown = list(default) if isinstance(default, tuple) else default
            assert (str(shown) if isinstance(default, Path) else shown) == value, (section, key)


@given(st.text(st.characters(categories=("Ll", "Nd")), min_size=1, max_size=20))
def test_no_unknown_key_passes(key: str) -> None:
    if key in Settings.model_fields["data"].default.__class__.model_fields:
        return
    with pytest.raises(InputError, match="unknown key"):
        load_settings(ROOT, {f"TRIBAR_DATA__{key.upper()}": "1"})
