"""Which keys keep the live environment shut: on the venue's own words, and on a real start."""

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.__main__ import main
from executor.errors import FatalError, RetryableError
from executor.settings.settings import LIVE_CONFIRMATION
from executor.venue.keys import check_keys, problems, read_facts
from features.errors import InputError
from tests.support.clocks import FakeClock
from tests.support.executor_program import free_port, toml
from tests.support.paper import paper_program
from tests.support.shared_data import shared_data
from tests.support.staging import paper_arguments

NOW_MS = FakeClock().now_ms()
NOW = datetime.fromtimestamp(NOW_MS / 1000, tz=UTC)
GOOD: dict[str, Any] = {
    "readOnly": 0,
    "permissions": {"ContractTrade": ["Order", "Position"], "Wallet": ["AccountTransfer"]},
    "ips": ["203.0.113.7"],
    "deadlineDay": -2,
    "expiredAt": "1970-01-01T00:00:00Z",
}


class FakeVenue:
    """A venue that says of our key what the test wants."""

    def __init__(self, says: Mapping[str, Any] | Exception) -> None:
        self._says = says

    async def key_info(self) -> Mapping[str, Any]:
        if isinstance(self._says, Exception):
            raise self._says
        return self._says


def found(**changes: Any) -> list[str]:
    return problems(read_facts({**GOOD, **changes}, NOW_MS), NOW_MS)


def in_days(days: float) -> dict[str, Any]:
    date = NOW + timedelta(days=days)
    return {"deadlineDay": int(days), "expiredAt": date.isoformat().replace("+00:00", "Z")}


def test_a_key_bound_to_an_address_that_only_trades_is_fit() -> None:
    assert found() == []
    assert found(**in_days(90)) == []
    assert found(**in_days(14)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"permissions": {**GOOD["permissions"], "Wallet": ["Withdraw"]}}, "withdraw"),
        ({"ips": ["*"]}, "any address"),
        ({"ips": []}, "any address"),
        ({"ips": ["203.0.113.7", "0.0.0.0/0"]}, "any address"),
        (in_days(13), "ends in 13 days"),
        (in_days(0), "ends in 0 days"),
        (in_days(-3), "ends in 0 days"),
        ({"deadlineDay": 400, "expiredAt": in_days(2)["expiredAt"]}, "ends in"),
        ({"readOnly": 1}, "cannot trade"),
        ({"permissions": {"ContractTrade": ["Order"], "Wallet": []}}, "cannot trade"),
    ],
)
def test_each_unfit_property_is_found_and_says_what_to_do(
    changes: dict[str, Any], said: str
) -> None:
    (problem,) = found(**changes)
    assert said in problem
    assert ":" in problem, "what to do stands behind the colon"


def test_the_venues_own_sample_is_read() -> None:
    sample = shared_data() / "reference/wire/bybit-v5/http_get_user_query_api.json"
    facts = read_facts(json.loads(sample.read_text())["result"], NOW_MS)
    assert facts.addresses == ("18.181.170.164", "13.212.45.47", "13.212.45.48")
    assert facts.ends_ms is None, "deadlineDay -2 and 1970 mean no end"
    assert problems(facts, NOW_MS) == ["it cannot trade: allow contract orders and positions"], (
        "the sample's key is read-only"
    )


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner),
            max_leaves=4,
        ),
    )
)
async def test_no_answer_opens_live_by_accident(says: dict[str, Any]) -> None:
    """Whatever comes: either it is a full and good description, or live stays shut."""
    if says == GOOD:
        return
    with pytest.raises(InputError) as caught:
        await check_keys(FakeVenue({**says, "ips": ["*"]}), "live", FakeClock())  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


async def test_live_is_shut_where_the_key_is_unfit_or_rejected() -> None:
    clock = FakeClock()
    for says, said in (
        ({**GOOD, "ips": ["*"], "readOnly": 1}, "any address.*cannot trade"),
        ({}, "cannot be read"),
        (FatalError("10003 API key is invalid"), "rejects it"),
    ):
        with pytest.raises(InputError, match=said):
            await check_keys(FakeVenue(says), "live", clock)  # type: ignore[arg-type]
        await check_keys(FakeVenue(says), "testnet", clock)  # type: ignore[arg-type]
        await check_keys(FakeVenue(says), "paper", clock)  # type: ignore[arg-type]
    with pytest.raises(RetryableError):
        await check_keys(FakeVenue(RetryableError("down")), "live", clock)  # type: ignore[arg-type]
    await check_keys(FakeVenue(RetryableError("down")), "paper", clock)  # type: ignore[arg-type]
    await check_keys(FakeVenue(GOOD), "live", clock)  # type: ignore[arg-type]


@pytest.mark.servers
def test_a_start_on_live_ends_with_one_line(
    tmp_path: Path, valkey_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The paper exchange's key works from any address: the program must not trade with it live."""
    with paper_program(*paper_arguments(5)) as paper:
        config = tmp_path / "executor.toml"
        sections: dict[str, dict[str, object]] = {
            "trading": {
                "environment": "live",
                "live_confirmation": LIVE_CONFIRMATION,
                "symbols": ["AAAUSDT"],
            },
            "venue": {
                "url": paper.url,
                "ws_url": paper.ws,
                "api_key": paper.api_key,
                "api_secret": paper.secret,
            },
            "control": {"token": "0123456789abcdef"},
            "redis": {"url": valkey_url, "prefix": f"{tmp_path.name}:"},
            "journal": {"path": str(tmp_path / "j.db")},
            "model": {"store": str(tmp_path / "models"), "registry_url": "http://127.0.0.1:1"},
            "health": {"port": free_port()},
            "log": {"file": ""},
        }
        config.write_text(toml(sections))
        assert main(["run", "--config", str(config)]) == 2
        assert "may not trade live: it works from any address" in capsys.readouterr().err
        with redirect_stdout(io.StringIO()) as out:
            assert main(["keys", "--config", str(config)]) == 1
        assert "withdraws    no" in out.getvalue()
        assert "unfit for live: it works from any address" in out.getvalue()
        assert paper.secret not in out.getvalue()
