"""The page about the paper exchange names everything that there is."""

import re
from pathlib import Path

from executor.paper import rest_market
from executor.paper.commands import ENDPOINTS
from executor.paper.faults import KINDS
from executor.paper.scenarios import SCENARIOS
from executor.paper.server import SOCKETS
from executor.paper.websocket import PRIVATE_TOPICS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "PAPER-EXCHANGE.md").read_text()
UNSAID = {"greeks"}  # a topic of options, answered and always silent


def test_every_path_fault_scenario_and_topic_is_named() -> None:
    words = set(re.findall(r"`([^`\n]+)`", PAGE))
    paths = {path for _, path in (*ENDPOINTS, *rest_market.ENDPOINTS)}
    assert sorted(p for p in paths if not {p, "/".join(p.split("/")[3:])} & words) == []
    assert sorted(set(SOCKETS.values()) - words) == []
    assert sorted(set(KINDS) - words) == []
    assert sorted(set(SCENARIOS) - words) == []
    assert sorted(PRIVATE_TOPICS - words - UNSAID) == []
