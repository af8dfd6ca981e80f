"""Settings: the file, the environment over it, and one clear line for anything wrong."""

from pathlib import Path

import pytest

from executor.core.params import PROFILES, Params, with_profile
from executor.settings.settings import (
    LIVE_CONFIRMATION,
    Settings,
    known_keys,
    load_settings,
    make_params,
)
from features.costs import Costs
from features.errors import InputError

MINIMAL = """
[venue]
url = "http://127.0.0.1:1"
ws_url = "ws://127.0.0.1:1"
api_key = "key-1234"
api_secret = "secret-1234"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    return tmp_path


def load(home: Path, text: str = MINIMAL, **env: str) -> Settings:
    (home / "configs" / "executor.toml").write_text(text)
    return load_settings(None, {"TRIBAR_HOME": str(home), **env})


def test_defaults_are_the_conservative_profile_on_paper(home: Path) -> None:
    settings = load(home)
    assert settings.trading.environment == "paper"
    assert settings.trading.symbols == ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    params = make_params(settings, {}, Costs())
    assert params.limits.leverage_max == 3.0
    assert params.limits.position_fraction_max == 0.10
    assert params.guard.daily_loss_max == 0.05
    assert params.interval_ms == 900_000


def test_paths_are_taken_from_the_projects_root(home: Path) -> None:
    settings = load(home)
    assert settings.journal.path == home / "data" / "journal.db"
    assert settings.model.store == home / "data" / "models"


def test_the_environment_beats_the_file(home: Path) -> None:
    settings = load(
        home,
        MINIMAL + '[redis]\nurl = "redis://file:1"\n[trading]\nsymbols = ["BTCUSDT"]\n',
        TRIBAR_REDIS__URL="redis://env:2",
        TRIBAR_TRADING__SYMBOLS="SOLUSDT, XRPUSDT",
        TRIBAR_LIMITS__LEVERAGE_MAX="2",
        TRIBAR_TUNING__ENABLED="false",
    )
    assert settings.redis.url.get_secret_value() == "redis://env:2"
    assert settings.trading.symbols == ("SOLUSDT", "XRPUSDT")
    params = make_params(settings, {}, Costs())
    assert params.limits.leverage_max == 2.0
    assert params.tuning.enabled is False


def test_the_names_other_tools_use_are_understood(home: Path) -> None:
    settings = load(home, REDIS_URL="redis://plain:3", MLFLOW_TRACKING_URI="http://ml:5")
    assert settings.redis.url.get_secret_value() == "redis://plain:3"
    assert settings.model.registry_url.get_secret_value() == "http://ml:5"
    both = load(home, REDIS_URL="redis://plain:3", TRIBAR_REDIS_URL="redis://ours:4")
    assert both.redis.url.get_secret_value() == "redis://ours:4"


def test_a_secret_may_come_from_a_file_or_from_dot_env(home: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("from-a-file\n")
    settings = load(home, TRIBAR_VENUE__API_KEY_FILE=str(key))
    assert settings.venue.api_key.get_secret_value() == "from-a-file"
    settings = load(home, MLFLOW_TRACKING_PASSWORD_FILE=str(key), MLFLOW_TRACKING_USERNAME="ann")
    assert settings.model.registry_password.get_secret_value() == "from-a-file"
    assert settings.model.registry_user == "ann"
    assert "from-a-file" in settings.secrets()
    with pytest.raises(InputError, match="REDIS_URL_FILE: cannot read"):
        load(home, REDIS_URL_FILE=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[redis]\nprefx = 'x'", "unknown key 'prefx'; did you mean 'prefix'?"),
        ("[rediss]\nprefix = 'x'", "unknown section 'rediss'; did you mean 'redis'?"),
        ("[limits]\nleverage_mx = 2", "unknown key 'leverage_mx'; did you mean 'leverage_max'?"),
        ("[limits]\nleverage_max = 'much'", "[limits] leverage_max: give a number"),
        ("[limits]\nleverage_max = -1", "leverage_max is -1.0; give a number of 0 or more"),
        ("[trading]\ninterval = '15min'", "did you mean '15m'?"),
        ("[trading]\nprofile = 'agressive'", "did you mean 'aggressive'?"),
        ("[trading]\nsymbols = ['BTC/USDT']", "'BTC/USDT' is not a venue id"),
        ("[trading]\nsymbols = []", "name at least one symbol"),
        ("[health]\nport = 70000", "executor.toml [health] port"),
        ("prefix = 'x'", "stands outside of a [section]"),
        ("[redis", "cannot be read as TOML"),
        ("[lease]\nttl_ms = 5500", "[lease] ttl_ms"),
        ("[tuning]\nenabled = 'perhaps'", "give true or false"),
        ("[session]\nactive_hours = 3", "[from, to] pairs"),
    ],
)
def test_bad_input_is_one_clear_line(home: Path, text: str, said: str) -> None:
    body = text + MINIMAL if text.startswith("prefix") else MINIMAL + text
    with pytest.raises(InputError) as caught:
        load(home, body)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variable_with_a_typo_is_refused_and_another_processs_is_not(home: Path) -> None:
    with pytest.raises(InputError, match=r"TRIBAR_REDIS__URLL.*did you mean 'url'"):
        load(home, TRIBAR_REDIS__URLL="redis://x")
    (home / "configs" / "flows.toml").write_text("[services]\nredis_port = 1\n[venue]\nother = 1\n")
    load(home, TRIBAR_SERVICES__REDIS_PORT="0", TRIBAR_VENUE__OTHER="x")


def test_every_missing_key_is_named_at_once(home: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(home, '[venue]\nurl = "http://x"\nws_url = "ws://x"\n')
    assert "TRIBAR_VENUE__API_KEY" in str(caught.value)
    assert "TRIBAR_VENUE__API_SECRET" in str(caught.value)


def test_live_needs_a_written_confirmation_a_token_and_no_lockstep(home: Path) -> None:
    live = MINIMAL + '[trading]\nenvironment = "live"\n'
    with pytest.raises(InputError) as caught:
        load(home, '[venue]\nurl = "u"\nws_url = "w"\n[trading]\nenvironment = "live"\n')
    for missing in ("API_KEY", "API_SECRET", "CONTROL__TOKEN", "live_confirmation"):
        assert missing in str(caught.value), "everything that is missing is named at once"
    token = {"TRIBAR_CONTROL__TOKEN": "0123456789abcdef"}
    with pytest.raises(InputError, match="live_confirmation"):
        load(home, live, **token)
    confirmed = live + f'live_confirmation = "{LIVE_CONFIRMATION}"\n'
    with pytest.raises(InputError, match="TOKEN"):
        load(home, confirmed)
    load(home, confirmed, **token)
    with pytest.raises(InputError, match="lockstep"):
        load(home, confirmed + '[feed]\nacknowledge_url="http://x"', **token)
    with pytest.raises(InputError, match="16 characters"):
        load(home, confirmed, TRIBAR_CONTROL__TOKEN="short-one")


def test_paper_without_an_address_says_how_to_start_it(home: Path) -> None:
    with pytest.raises(InputError, match=r"executor\.paper"):
        load(home, '[venue]\napi_key = "k"\napi_secret = "s"\n')


def test_a_missing_file_names_the_option(home: Path) -> None:
    with pytest.raises(InputError, match="--config"):
        load_settings(Path("nowhere.toml"), {"TRIBAR_HOME": str(home)})


def test_no_secret_is_shown(home: Path) -> None:
    settings = load(home, MINIMAL, REDIS_URL="redis://:hunter22@host:1/0")
    shown = repr(settings) + settings.model_dump_json() + str(settings)
    for secret in ("key-1234", "secret-1234", "hunter22"):
        assert secret not in shown
    assert set(settings.secrets()) == {"key-1234", "secret-1234", "hunter22"}


def test_the_secret_pieces_of_addresses_are_known_and_hosts_are_not(home: Path) -> None:
    settings = load(
        home,
        MINIMAL,
        TRIBAR_ALERTS__URLS="tgram://123456789:AAFtoken0/77, discord://98765432100/Ab%2Ftoken1",
        TRIBAR_ALERTS__PING_URL="https://hc-ping.com/5ca1ab1e-0000-4000-8000-000000000000",
        TRIBAR_CONTROL__TOKEN="control-token-0001",
    )
    known = settings.secrets()
    for secret in ("AAFtoken0", "98765432100", "Ab/token1", "control-token-0001"):
        assert secret in known
    assert any("5ca1ab1e" in secret for secret in known)
    assert not {"hc-ping.com", "127.0.0.1", "https"} & set(known)
    assert "AAFtoken0" not in repr(settings) + settings.model_dump_json()


def test_the_hash_follows_the_numbers_and_not_the_secrets(home: Path) -> None:
    first = load(home).config_hash()
    assert load(home, MINIMAL.replace("secret-1234", "other-5678")).config_hash() == first
    assert load(home, MINIMAL + "[limits]\nleverage_max = 2\n").config_hash() != first


def test_every_profile_can_be_loaded_and_overridden(home: Path) -> None:
    for profile in PROFILES:
        settings = load(
            home, MINIMAL + f'[trading]\nprofile = "{profile}"\n[sizing]\nrisk_per_trade = 0.001\n'
        )
        params = make_params(settings, {}, Costs())
        pure = with_profile(Params(interval_ms=1, instruments={}), profile)
        assert params.sizing.risk_per_trade == 0.001
        assert params.limits == pure.limits


def test_the_projects_own_file_holds_every_key_and_loads() -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / "configs" / "executor.toml").read_text()
    for section, keys in known_keys().items():
        assert f"[{section}]" in text
        for key in keys:
            assert f"{key} = " in text, f"[{section}] {key} is not explained"
